// The whole front on a loopback port, over a consensus that decides at once (or as the test wants), and a
// client on the same loop: one thread, no waiting for anything but sockets.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "api/server_front.h"
#include "etcd/rpc.pb.h"
#include "kv/applier.h"
#include "tests/http/test_client.h"

namespace decree::api {

class FakeConsensus final : public Consensus {
 public:
  explicit FakeConsensus(kv::Store& store) : store_(store) {
    status_.identity.cluster = ClusterId(77);
    status_.identity.node = NodeId(1);
    status_.identity.member_id = 1001;
    status_.replica.role = Role::leader;
    status_.replica.term = 5;
    status_.replica.ready = true;
    status_.leader_member_id = 1001;
    for (uint32_t i = 1; i <= 3; ++i) {
      PeerStatus peer;
      peer.member.node = NodeId(i);
      peer.member.member_id = 1000 + i;
      peer.member.name = "m" + std::to_string(i);
      peer.member.peer_urls = {"http://127.0.0.1:2380" + std::to_string(i)};
      status_.members.push_back(peer);
    }
    std::vector<Member> members;
    for (const PeerStatus& p : status_.members) members.push_back(p.member);
    membership_ = make_membership(std::move(members));
  }
  // The change asked last is decided: the next epoch is the present one.
  void decide_change() {
    membership_ = changes.back().second;
    std::vector<PeerStatus> before;
    before.swap(status_.members);
    for (const Member& m : membership_.members) {
      PeerStatus p;
      for (const PeerStatus& old : before)
        if (old.member.node == m.node) p = old;
      p.member = m;
      status_.members.push_back(p);
    }
    sink_->on_applied(changes.back().first, Reply{});
  }
  void set_sink(ConsensusSink* sink) override { sink_ = sink; }
  using Consensus::propose;
  uint64_t propose(std::shared_ptr<const std::string> command) override {
    proposals_.emplace_back(++seq_, *command);
    return seq_;
  }
  uint64_t read() override {
    reads_.push_back(++seq_);
    ++reads_asked;
    return seq_;
  }
  ConsensusStatus status() const override { return status_; }
  void transfer_leadership(NodeId to) override { transfer_asked = to; }
  const Membership& membership() const override { return membership_; }
  uint64_t change_members(Membership next, bool) override {
    changes.emplace_back(++seq_, std::move(next));
    return seq_;
  }

  void turn() {
    if (hold) return;
    std::deque<std::pair<uint64_t, std::string>> proposals;
    proposals.swap(proposals_);
    for (auto& [seq, command] : proposals) {
      if (outcome != Outcome::chosen) {
        sink_->on_outcome(seq, outcome);
        continue;
      }
      status_.replica.applied = status_.replica.decided = status_.replica.decided.next();
      Reply reply = store_.apply({status_.replica.applied, status_.replica.term, true}, command);
      sink_->on_applied(seq, std::move(reply));
    }
    std::vector<uint64_t> reads;
    reads.swap(reads_);
    for (const uint64_t seq : reads) sink_->on_read(seq, reads_ok);
  }

  ConsensusStatus status_;
  Membership membership_;
  std::vector<std::pair<uint64_t, Membership>> changes;
  ConsensusSink* sink() { return sink_; }
  Outcome outcome = Outcome::chosen;
  bool hold = false;
  bool reads_ok = true;
  int reads_asked = 0;
  NodeId transfer_asked;
  size_t waiting() const { return proposals_.size() + reads_.size(); }

 private:
  kv::Store& store_;
  ConsensusSink* sink_ = nullptr;
  std::deque<std::pair<uint64_t, std::string>> proposals_;
  std::vector<uint64_t> reads_;
  uint64_t seq_ = 0;
};

class Wire final : public net::ConnectionHandler {
 public:
  std::shared_ptr<net::Connection> connection;
  http::TestClient client;
  bool closed = false;
  void on_bytes(std::string_view bytes) override { client.feed(bytes); }
  void on_closed(const std::string&) override { closed = true; }
  void on_flush() override { connection->out() += client.pull(); }
};

class Front : public testing::Test {
 protected:
  void SetUp() override { make({}); }
  void make(FrontOptions options) {
    front.reset();
    options.announce = announce;
    options.listen = {{"127.0.0.1", 0}};
    options.advertise_client_urls = {"http://127.0.0.1:1"};
    front = std::make_unique<ServerFront>(loop, consensus, store, options,
                                          [this](const std::string& s) { log.push_back(s); });
    ASSERT_TRUE(front->bind().ok());
    const Result<void> listening = front->open();
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    connect();
  }
  void TearDown() override {
    if (wire && wire->connection) wire->connection->start(nullptr);
  }
  void connect() {
    if (wire && wire->connection) wire->connection->start(nullptr);
    wire = std::make_unique<Wire>();
    net::connect_tcp(loop, {"127.0.0.1", front->ports()[0]}, std::chrono::seconds(2),
                     [this](Result<std::shared_ptr<net::Connection>> c) {
                       ASSERT_TRUE(c.ok());
                       wire->connection = std::move(*c);
                       wire->connection->start(wire.get());
                     });
    ASSERT_TRUE(run_until([&] { return wire->connection != nullptr; }));
  }
  void turn() {
    if (wire && wire->connection) wire->connection->want_flush();
    loop.wait(std::chrono::milliseconds(1));
    consensus.turn();
    front->tick(std::chrono::steady_clock::now() + skipped);
    while (store.background_slice()) {
    }
    front->slice(std::chrono::milliseconds(1));
    loop.flush();
  }
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      turn();
    }
    return true;
  }
  int32_t start(const std::string& path, const google::protobuf::Message& request,
                const http::TestClient::Fields& fields = {}) {
    return wire->client.call(path, request.SerializeAsString(), fields);
  }
  http::TestAnswer& finish(int32_t stream) {
    EXPECT_TRUE(run_until([&] { return wire->client.answer(stream).ended; }));
    return wire->client.answer(stream);
  }
  struct Outcome2 {
    int code = -1;
    std::string text;
  };
  // Response filled when the code is 0.
  Outcome2 ask(const std::string& path, const google::protobuf::Message& request,
               google::protobuf::Message* response, const http::TestClient::Fields& fields = {}) {
    const http::TestAnswer& answer = finish(start(path, request, fields));
    Outcome2 outcome;
    outcome.code = answer.field("grpc-status").empty() ? -1 : std::stoi(answer.field("grpc-status"));
    outcome.text = http::percent_decode(answer.field("grpc-message"));
    if (outcome.code == 0 && response != nullptr) {
      EXPECT_TRUE(response->ParseFromString(answer.message()));
    }
    return outcome;
  }
  Outcome2 put(const std::string& key, const std::string& value,
               etcdserverpb::PutResponse* response = nullptr) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    return ask("/etcdserverpb.KV/Put", request, response);
  }
  Outcome2 get(const std::string& key, etcdserverpb::RangeResponse* response, bool serializable = false) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    request.set_serializable(serializable);
    return ask("/etcdserverpb.KV/Range", request, response);
  }
  http::TestAnswer http_get(const std::string& path) {
    return finish(wire->client.request(path, "", {{":method", "GET"}, {"content-type", "text/plain"}}));
  }

  bool announce = false;
  std::chrono::milliseconds skipped{0};  // how far the front's clock runs ahead
  net::EventLoop loop;
  kv::Store store{kv::StoreConfig{77, 1001}};
  FakeConsensus consensus{store};
  std::vector<std::string> log;
  std::unique_ptr<ServerFront> front;
  std::unique_ptr<Wire> wire;
};

}  // namespace decree::api
