#include "api/pending_replies.h"

#include <gtest/gtest.h>

#include <vector>

namespace decree::api {
namespace {

struct Port final : http::CallPort {
  void add_unary(std::string, http::GrpcService*, uint32_t) override {}
  void add_streaming(std::string, http::GrpcService*, uint32_t) override {}
  bool open(http::CallId) const override { return true; }
  void reply(http::CallId, std::string) override {}
  void fail(http::CallId call, http::GrpcCode, std::string_view text) override {
    failed.push_back(call.index);
    last_text = std::string(text);
  }
  void begin_reply(http::CallId, uint64_t) override {}
  void append_reply(http::CallId, std::string) override {}
  void send(http::CallId, std::string) override {}
  void finish(http::CallId, http::GrpcCode, std::string_view) override {}
  size_t unsent_bytes(http::CallId) const override { return 0; }
  net::SteadyTime deadline(http::CallId) const override { return net::SteadyTime::max(); }
  std::string_view metadata(http::CallId, std::string_view) const override { return {}; }
  std::vector<uint32_t> failed;
  std::string last_text;
};

struct Silent final : Consensus {
  void set_sink(ConsensusSink*) override {}
  uint64_t propose(std::string) override { return ++seq; }
  uint64_t read() override { return ++seq; }
  ConsensusStatus status() const override { return {}; }
  void transfer_leadership(NodeId) override {}
  const Membership& membership() const override { return members; }
  uint64_t change_members(Membership, bool) override { return ++seq; }
  Membership members;
  uint64_t seq = 0;
};

// A table's order is another one in every process: the simulator could not repeat what hung on it.
TEST(PendingReplies, CallsExpireOldestFirstWhateverTheTablesOrder) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < 500; ++i) {
    pending.propose({i, 1}, "x");
    all.push_back(i);
  }
  pending.expire(now + std::chrono::milliseconds(99));
  EXPECT_TRUE(port.failed.empty());
  pending.expire(now + std::chrono::milliseconds(100));
  EXPECT_EQ(port.failed, all);
  EXPECT_EQ(port.last_text, kTimeout.text);
}

}  // namespace
}  // namespace decree::api
