// grpc++ as a third client: an independent implementation of HTTP/2 and gRPC against our framing.
// Prints what it sees, without ids, so that two servers can be compared.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "etcd/rpc.grpc.pb.h"

namespace {

using namespace etcdserverpb;  // NOLINT(google-build-using-namespace): a test program of one file

std::string shown(const mvccpb::KeyValue& kv) {
  return kv.key() + "=" +
         (kv.value().size() > 40 ? std::to_string(kv.value().size()) + " bytes" : kv.value()) + " c" +
         std::to_string(kv.create_revision()) + " m" + std::to_string(kv.mod_revision()) + " v" +
         std::to_string(kv.version());
}

void show(const char* name, const grpc::Status& status, const std::string& text) {
  if (status.ok()) {
    std::printf("%s: %s\n", name, text.c_str());
  } else {
    std::printf("%s: code %d %s\n", name, static_cast<int>(status.error_code()),
                status.error_message().c_str());
  }
}

class Session {
 public:
  explicit Session(const std::string& address)
      : stub_(KV::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {}

  void put(const char* name, const std::string& key, const std::string& value, bool previous = false) {
    PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_prev_kv(previous);
    PutResponse response;
    grpc::ClientContext context;
    limit(context);
    const grpc::Status status = stub_->Put(&context, request, &response);
    show(name, status, "r" + std::to_string(response.header().revision()) + " " + shown(response.prev_kv()));
  }

  void range(const char* name, const RangeRequest& request) {
    RangeResponse response;
    grpc::ClientContext context;
    limit(context);
    const grpc::Status status = stub_->Range(&context, request, &response);
    std::string text = std::to_string(response.count()) + (response.more() ? " more" : "");
    for (const auto& kv : response.kvs()) text += "; " + shown(kv);
    show(name, status, text);
  }

  void remove(const char* name, const std::string& key, const std::string& end) {
    DeleteRangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_prev_kv(true);
    DeleteRangeResponse response;
    grpc::ClientContext context;
    limit(context);
    const grpc::Status status = stub_->DeleteRange(&context, request, &response);
    std::string text =
        std::to_string(response.deleted()) + " r" + std::to_string(response.header().revision());
    for (const auto& kv : response.prev_kvs()) text += "; " + shown(kv);
    show(name, status, text);
  }

  void txn(const char* name, const TxnRequest& request) {
    TxnResponse response;
    grpc::ClientContext context;
    limit(context);
    const grpc::Status status = stub_->Txn(&context, request, &response);
    std::string text = response.succeeded() ? "then" : "else";
    for (const auto& part : response.responses()) {
      text += " " + std::to_string(static_cast<int>(part.response_case()));
      for (const auto& kv : part.response_range().kvs()) text += " " + shown(kv);
    }
    show(name, status, text);
  }

  void compact(const char* name, int64_t revision) {
    CompactionRequest request;
    request.set_revision(revision);
    CompactionResponse response;
    grpc::ClientContext context;
    limit(context);
    show(name, stub_->Compact(&context, request, &response), "done");
  }

  // Many calls on one connection at once.
  void burst(int calls) {
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<PutResponse> responses(calls);
    std::vector<grpc::Status> statuses(calls);
    std::vector<std::unique_ptr<grpc::ClientAsyncResponseReader<PutResponse>>> readers;
    grpc::CompletionQueue queue;
    for (int i = 0; i < calls; ++i) {
      PutRequest request;
      request.set_key("burst/" + std::to_string(i));
      request.set_value(std::string(static_cast<size_t>(i), 'x'));
      contexts.push_back(std::make_unique<grpc::ClientContext>());
      limit(*contexts.back());
      readers.push_back(stub_->AsyncPut(contexts.back().get(), request, &queue));
      readers.back()->Finish(&responses[static_cast<size_t>(i)], &statuses[static_cast<size_t>(i)], nullptr);
    }
    int good = 0;
    for (int i = 0; i < calls; ++i) {
      void* tag = nullptr;
      bool ok = false;
      if (!queue.Next(&tag, &ok)) break;
    }
    for (const grpc::Status& status : statuses) good += status.ok() ? 1 : 0;
    std::printf("burst: %d of %d\n", good, calls);
    queue.Shutdown();
  }

 private:
  static void limit(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  }
  std::unique_ptr<KV::Stub> stub_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: grpc_client HOST:PORT\n");
    return 2;
  }
  Session session(argv[1]);
  session.put("put", "g/a", "1");
  session.put("put again", "g/a", "2", true);
  session.put("put large", "g/large", std::string(1000 * 1000, 'x'));
  session.put("put empty key", "", "x");
  session.put("put too large", "g/too-large", std::string(1600 * 1000, 'x'));
  RangeRequest range;
  range.set_key("g/");
  range.set_range_end("g0");
  session.range("range", range);
  range.set_limit(1);
  session.range("range limit", range);
  range.set_limit(0);
  range.set_count_only(true);
  session.range("range count", range);
  range.set_count_only(false);
  range.set_keys_only(true);
  session.range("range keys", range);
  range.set_keys_only(false);
  range.set_min_mod_revision(3);
  range.set_max_mod_revision(3);
  session.range("range filter", range);
  range.clear_min_mod_revision();
  range.clear_max_mod_revision();
  range.set_revision(2);
  session.range("range old", range);
  range.set_revision(1000000);
  session.range("range future", range);
  range.clear_revision();

  TxnRequest txn;
  Compare* compare = txn.add_compare();
  compare->set_key("g/a");
  compare->set_target(Compare::VALUE);
  compare->set_value("2");
  txn.add_success()->mutable_request_put()->set_key("g/b");
  RequestOp* nested = txn.add_success();
  nested->mutable_request_txn()->add_success()->mutable_request_range()->set_key("g/b");
  txn.add_failure()->mutable_request_delete_range()->set_key("g/a");
  session.txn("txn", txn);
  compare->set_value("3");
  session.txn("txn else", txn);
  compare->set_target(Compare::VERSION);
  compare->set_result(Compare::NOT_EQUAL);
  compare->set_version(0);
  compare->set_range_end("h");
  session.txn("txn range compare", txn);
  compare->clear_range_end();
  compare->set_target(Compare::LEASE);
  compare->set_result(Compare::EQUAL);
  compare->set_lease(0);
  session.txn("txn lease compare", txn);
  compare->set_result(Compare::GREATER);
  session.txn("txn lease compare else", txn);
  TxnRequest empty;
  empty.add_success();
  session.txn("txn empty op", empty);
  session.compact("compact", 3);
  session.compact("compact again", 3);
  range.set_revision(2);
  session.range("range compacted", range);
  session.remove("delete", "g/a", "");
  session.remove("delete prefix", "g/", "g0");
  session.remove("delete nothing", "g/", "g0");
  session.burst(300);
  return 0;
}
