// The program as a shell sees it: arguments and input in; output, messages and exit code out.
#include "cli/run.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <sstream>

#include "cli/exit_code.h"
#include "etcd/rpc.pb.h"
#include "tests/client/fake_etcd.h"

namespace decree::cli {
namespace {

using client::FakeAnswer;
using client::FakeEtcd;

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

Ran run_with(const std::vector<std::string>& arguments, const std::string& input = {}) {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  Ran ran;
  ran.code = run(arguments, Streams{in, out, err});
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

// One line, a full sentence, exit code 2.
void expect_usage(const std::vector<std::string>& arguments, const std::string& part) {
  const Ran ran = run_with(arguments);
  EXPECT_EQ(ran.code, exit_usage) << ran.err;
  EXPECT_NE(ran.err.find(part), std::string::npos) << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  EXPECT_TRUE(ran.out.empty()) << ran.out;
}

TEST(Run, RefusesWrongUseInOneSentence) {
  expect_usage({}, "a command is missing");
  expect_usage({"frob"}, "there is no command \"frob\"");
  expect_usage({"get"}, "KEY is required");
  expect_usage({"get", "a", "--frob"}, "--frob");
  expect_usage({"get", "a", "--limit", "x"}, "\"x\" is not a whole number");
  expect_usage({"get", "a", "--limit", "-1"}, "\"-1\" is not a whole number");
  expect_usage({"get", "a", "b", "--prefix"}, "only one of");
  expect_usage({"get", ""}, "must not be empty");
  expect_usage({"get", "a", "--sort-by", "size"}, "size");
  expect_usage({"--endpoints", "https://a:1", "get", "a"}, "TLS");
  expect_usage({"--endpoints", "a:b", "get", "a"}, "port");
  expect_usage({"--timeout", "soon", "get", "a"}, "\"soon\" is not a duration");
  expect_usage({"--timeout", "0s", "get", "a"}, "more than nothing");
  expect_usage({"-w", "xml", "get", "a"}, "xml");
  expect_usage({"put", "k", "v", "--lease", "xyz"}, "lease id");
  expect_usage({"put", "k", "v", "--ignore-value"}, "--ignore-value");
  expect_usage({"txn", "if foo(a) = 1 then get a"}, "line 1, column 4");
  expect_usage({"compact", "0"}, "from 1 up");
  expect_usage({"alarm"}, "subcommand");
  expect_usage({"explain"}, "subcommand");
  expect_usage({"explain", "slot", "0"}, "from 1 up");
  expect_usage({"explain", "key", ""}, "must not be empty");
  expect_usage({"bench", "put", "--clients", "0"}, "from 1 to");
  expect_usage({"bench", "put", "--key-size", "8"}, "no room");
  expect_usage({"bench", "put", "--duration", "never"}, "never");
}

TEST(Run, EveryCommandHasHelpWithExamples) {
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"get"},
                                                          {"put"},
                                                          {"del"},
                                                          {"txn"},
                                                          {"compact"},
                                                          {"status"},
                                                          {"members"},
                                                          {"alarm"},
                                                          {"alarm", "list"},
                                                          {"alarm", "disarm"},
                                                          {"version"},
                                                          {"move-leader"},
                                                          {"explain"},
                                                          {"explain", "slot"},
                                                          {"explain", "revision"},
                                                          {"explain", "key"},
                                                          {"bench"},
                                                          {"bench", "put"},
                                                          {"bench", "range"},
                                                          {"bench", "txn"},
                                                          {"bench", "mixed"}};
  for (std::vector<std::string> command : commands) {
    const std::string name = command.empty() ? "decree" : command.back();
    command.push_back("--help");
    const Ran ran = run_with(command);
    EXPECT_EQ(ran.code, exit_ok) << name;
    EXPECT_NE(ran.out.find("Examples:\n  "), std::string::npos) << name << "\n" << ran.out;
  }
}

TEST(Run, SaysItsVersion) {
  const Ran ran = run_with({"--version"});
  EXPECT_EQ(ran.code, exit_ok);
  EXPECT_EQ(ran.out.substr(0, 7), "decree ");
}

TEST(Run, ReportsThatNobodyListens) {
  const Ran ran = run_with({"--endpoints", "127.0.0.1:1", "put", "k", "v"});
  EXPECT_EQ(ran.code, exit_unavailable);
  EXPECT_NE(ran.err.find("127.0.0.1:1"), std::string::npos) << ran.err;
}

// A store of one thread, good enough for the command line.
class FakeStore {
 public:
  FakeStore()
      : server([this](std::string_view method, std::string_view message) { return serve(method, message); }) {
  }

  Ran run(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.begin(), {"--endpoints", server.endpoint()});
    return run_with(arguments, input);
  }

  std::map<std::string, std::string> pairs;
  etcdserverpb::RangeRequest last_range;
  etcdserverpb::TxnRequest last_txn;
  FakeEtcd server;

 private:
  FakeAnswer serve(std::string_view method, std::string_view message) {
    const std::string bytes(message);
    if (method == "Put") {
      etcdserverpb::PutRequest request;
      request.ParseFromString(bytes);
      etcdserverpb::PutResponse response;
      response.mutable_header()->set_revision(7);
      if (request.prev_kv() && pairs.count(request.key()) != 0)
        response.mutable_prev_kv()->set_value(pairs[request.key()]);
      pairs[request.key()] = request.value();
      return FakeAnswer::reply(response.SerializeAsString());
    }
    if (method == "Range") {
      last_range.ParseFromString(bytes);
      etcdserverpb::RangeResponse response;
      for (const auto& [key, value] : pairs) {
        const bool in = last_range.range_end().empty()
                            ? key == last_range.key()
                            : key >= last_range.key() &&
                                  (last_range.range_end()[0] == '\0' || key < last_range.range_end());
        if (!in) continue;
        response.set_count(response.count() + 1);
        if (last_range.count_only()) continue;
        auto* kv = response.add_kvs();
        kv->set_key(key);
        kv->set_value(value);
      }
      return FakeAnswer::reply(response.SerializeAsString());
    }
    if (method == "DeleteRange") {
      etcdserverpb::DeleteRangeRequest request;
      request.ParseFromString(bytes);
      etcdserverpb::DeleteRangeResponse response;
      response.set_deleted(static_cast<int64_t>(pairs.erase(request.key())));
      return FakeAnswer::reply(response.SerializeAsString());
    }
    if (method == "Txn") {
      last_txn.ParseFromString(bytes);
      etcdserverpb::TxnResponse response;
      response.set_succeeded(last_txn.compare_size() == 0);
      response.add_responses()->mutable_response_put();
      return FakeAnswer::reply(response.SerializeAsString());
    }
    if (method == "Compact")
      return FakeAnswer::fail(http::GrpcCode::out_of_range,
                              "etcdserver: mvcc: required revision has been compacted");
    return FakeAnswer::fail(http::GrpcCode::unimplemented, "not in this test");
  }
};

TEST(Commands, PutGetDelTogether) {
  FakeStore store;
  Ran ran = store.run({"put", "greeting", "hello"});
  EXPECT_EQ(ran.code, exit_ok) << ran.err;
  EXPECT_EQ(ran.out, "ok, revision 7\n");
  ran = store.run({"get", "greeting"});
  EXPECT_EQ(ran.out, "hello\n");
  ran = store.run({"put", "greeting", "--prev"}, "from\nstdin");
  EXPECT_EQ(ran.out, "ok, revision 7\nbefore: hello\n");
  EXPECT_EQ(store.pairs["greeting"], "from\nstdin");
  store.pairs["greeting2"] = "tab\there";
  ran = store.run({"get", "greet", "--prefix"});
  EXPECT_EQ(ran.out, "greeting\tfrom\\nstdin\ngreeting2\ttab\\there\n");
  ran = store.run({"get", "", "--prefix", "--count-only"});
  EXPECT_EQ(ran.out, "2\n");
  EXPECT_EQ(store.last_range.key(), std::string(1, '\0'));
  EXPECT_EQ(store.last_range.range_end(), std::string(1, '\0'));
  ran = store.run({"del", "greeting"});
  EXPECT_EQ(ran.code, exit_ok);
  EXPECT_EQ(ran.out, "deleted 1\n");
  ran = store.run({"del", "greeting"});
  EXPECT_EQ(ran.code, exit_negative);
  ran = store.run({"get", "greeting"});
  EXPECT_EQ(ran.code, exit_negative);
  EXPECT_EQ(ran.out, "");
}

TEST(Commands, GetHandsEveryFlagOn) {
  FakeStore store;
  store.run({"get", "a", "--from-key", "--rev", "9", "--limit", "4", "--sort-by", "mod", "--order", "descend",
             "--keys-only", "--serializable"});
  const etcdserverpb::RangeRequest& r = store.last_range;
  EXPECT_EQ(r.range_end(), std::string(1, '\0'));
  EXPECT_EQ(r.revision(), 9);
  EXPECT_EQ(r.limit(), 4);
  EXPECT_EQ(r.sort_target(), etcdserverpb::RangeRequest::MOD);
  EXPECT_EQ(r.sort_order(), etcdserverpb::RangeRequest::DESCEND);
  EXPECT_TRUE(r.keys_only());
  EXPECT_TRUE(r.serializable());
}

TEST(Commands, KeysThatLookLikeFlagsFollowTwoDashes) {
  FakeStore store;
  EXPECT_EQ(store.run({"put", "--", "-x", "--y"}).code, exit_ok);
  EXPECT_EQ(store.pairs["-x"], "--y");
}

TEST(Commands, TxnFromArgumentsAndFromInput) {
  FakeStore store;
  EXPECT_EQ(store.run({"txn", "then put a 1"}).code, exit_ok);
  const Ran ran = store.run({"txn"}, "mod(\"a\") > \"0\"\n\nput a 2\n\n\n");
  EXPECT_EQ(ran.code, exit_negative);
  EXPECT_EQ(ran.out, "not succeeded\nput: ok\n");
  EXPECT_EQ(store.last_txn.compare(0).key(), "a");
  EXPECT_EQ(store.run({"txn", "-i"}, "mod(\"b\") > \"0\"\n\nput a 2\n\n\n").code, exit_negative);
  EXPECT_EQ(store.last_txn.compare(0).key(), "b");
}

TEST(Commands, JsonIsTheApisOwn) {
  FakeStore store;
  store.run({"put", "a", "b"});
  EXPECT_EQ(store.run({"get", "a", "-w", "json"}).out,
            "{\"kvs\":[{\"key\":\"YQ==\",\"value\":\"Yg==\"}],\"count\":\"1\"}\n");
}

TEST(Commands, ARefusalEndsWithItsOwnCode) {
  FakeStore store;
  const Ran ran = store.run({"compact", "3"});
  EXPECT_EQ(ran.code, exit_refused);
  EXPECT_EQ(ran.err, "decree: compact: etcdserver: mvcc: required revision has been compacted\n");
}

TEST(Commands, AnUnknownOutcomeEndsWithItsOwnCode) {
  FakeEtcd server([](std::string_view, std::string_view) { return FakeAnswer::cut(); });
  const Ran ran = run_with({"--endpoints", server.endpoint(), "put", "k", "v"});
  EXPECT_EQ(ran.code, exit_unknown);
  EXPECT_NE(ran.err.find("may or may not have been done"), std::string::npos) << ran.err;
}

TEST(Commands, BenchReportsInBothForms) {
  FakeStore store;
  const Ran text = store.run({"bench", "put", "--total", "50", "--warmup", "0s", "--clients", "4"});
  EXPECT_EQ(text.code, exit_ok) << text.err;
  EXPECT_NE(text.out.find("throughput"), std::string::npos);
  const Ran json = store.run({"-w", "json", "bench", "mixed", "--total", "50", "--warmup", "0s", "--clients",
                              "4", "--prefill", "10", "--keys", "10"});
  EXPECT_EQ(json.code, exit_ok) << json.err;
  EXPECT_EQ(json.out.front(), '{');
  EXPECT_NE(json.out.find("\"requests\":50,"), std::string::npos) << json.out;
}

}  // namespace
}  // namespace decree::cli
