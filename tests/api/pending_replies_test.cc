#include "api/pending_replies.h"

#include <gtest/gtest.h>

#include <vector>

namespace decree::api {
namespace {

struct Port final : http::CallPort {
  void add_unary(std::string, http::GrpcService*, uint32_t) override {}
  void add_streaming(std::string, http::GrpcService*, uint32_t) override {}
  bool open(http::CallId call) const override { return call.index != hung_up; }
  void reply(http::CallId call, std::string) override { replied.push_back(call.index); }
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
  std::vector<uint32_t> replied;
  uint32_t hung_up = ~0U;
  std::string last_text;
};

struct Silent final : Consensus {
  void set_sink(ConsensusSink*) override {}
  using Consensus::propose;
  uint64_t propose(std::shared_ptr<const std::string> command) override {
    proposed.push_back(std::move(command));
    return ++seq;
  }
  uint64_t read() override { return ++seq; }
  ConsensusStatus status() const override {
    ConsensusStatus status;
    status.leader_member_id = leader;
    return status;
  }
  void transfer_leadership(NodeId) override {}
  const Membership& membership() const override { return members; }
  uint64_t change_members(Membership, bool) override { return ++seq; }
  Membership members;
  uint64_t leader = 0;
  std::vector<std::shared_ptr<const std::string>> proposed;
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

// Seen as "etcdserver: leader changed" during a directed transfer: the client cannot tell that it never
// happened.
TEST(PendingReplies, AProposalWhoseLeaderWentIsSubmittedAgainAndItsClientHearsNothingOfIt) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  pending.propose({7, 1}, "x");
  pending.on_leader_gone(1);
  EXPECT_TRUE(port.failed.empty());
  EXPECT_EQ(consensus.proposed.size(), 1U) << "not from inside the sink";
  pending.expire(now + std::chrono::milliseconds(10));
  ASSERT_EQ(consensus.proposed.size(), 2U);
  EXPECT_EQ(consensus.proposed[0], consensus.proposed[1]) << "shared, not copied";
  EXPECT_EQ(pending.counters().proposals_waiting, 1U);
  EXPECT_EQ(pending.counters().proposals_again, 1U);
  pending.on_applied(1, Reply{});  // the number that was refused means nothing any more
  EXPECT_TRUE(port.replied.empty());
  pending.on_applied(2, Reply{});
  EXPECT_EQ(port.replied, std::vector<uint32_t>{7});
  EXPECT_EQ(pending.counters().proposals_waiting, 0U);
}

TEST(PendingReplies, WhatIsOverdueOrNobodyWaitsForIsNotSubmittedAgain) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  pending.propose({7, 1}, "x");
  pending.propose({8, 1}, "y");
  pending.on_leader_gone(1);
  pending.on_leader_gone(2);
  port.hung_up = 8;
  pending.expire(now + std::chrono::milliseconds(100));
  EXPECT_EQ(consensus.proposed.size(), 2U);
  EXPECT_EQ(port.failed, (std::vector<uint32_t>{7, 8}));
  EXPECT_EQ(pending.counters().proposals_waiting, 0U);
  EXPECT_EQ(pending.counters().proposals_failed, 2U);
}

// An unknown outcome submitted again could happen twice.
TEST(PendingReplies, WhatMayHaveHappenedIsNeverSubmittedAgain) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  pending.propose({7, 1}, "x");
  pending.on_outcome(1, Outcome::unknown);
  EXPECT_EQ(port.failed, std::vector<uint32_t>{7});
  pending.expire(now + std::chrono::milliseconds(10));
  EXPECT_EQ(consensus.proposed.size(), 1U);
}

// Replacing members under load ended one write in twelve as unknown: new members proposed them, and were too
// far behind to see them done in time.
TEST(PendingReplies, NothingIsProposedBeforeThisMemberHasCaughtUp) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  pending.hold();
  pending.propose({7, 1}, "x");
  pending.expire(now + std::chrono::milliseconds(50));
  EXPECT_TRUE(consensus.proposed.empty());
  pending.release(now + std::chrono::milliseconds(60));
  ASSERT_EQ(consensus.proposed.size(), 1U) << "at once, not with the next look at deadlines";
  pending.on_applied(1, Reply{});
  EXPECT_EQ(port.replied, std::vector<uint32_t>{7});
}

TEST(PendingReplies, WhatWaitedForAMemberThatDidNotCatchUpIsRefusedAndWasNeverProposed) {
  Port port;
  Silent consensus;
  consensus.leader = 5;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  pending.hold();
  pending.propose({7, 1}, "x");
  pending.expire(now + std::chrono::milliseconds(100));
  EXPECT_EQ(port.failed, std::vector<uint32_t>{7});
  EXPECT_EQ(port.last_text, kNotCaughtUp.text);
  pending.release(now + std::chrono::milliseconds(110));
  EXPECT_TRUE(consensus.proposed.empty());
  EXPECT_EQ(pending.counters().proposals_waiting, 0U);
}

struct Reader final : Finisher {
  void on_failed(http::CallId call, uint32_t, const EtcdError& error) override {
    told.emplace_back(call.index, std::string(error.text));
  }
  std::vector<std::pair<uint32_t, std::string>> told;
};

// They waited five seconds for a leader that a removed member does not have.
TEST(PendingReplies, AReadAtARemovedMemberIsToldAtOnceToGoElsewhere) {
  Port port;
  Silent consensus;
  net::SteadyTime now{};
  PendingReplies pending(port, consensus, {1000, std::chrono::milliseconds(100)}, [&now] { return now; });
  Reader reader;
  pending.read({1, 1}, &reader, 0);
  pending.read({2, 1}, &reader, 0);
  pending.propose({3, 1}, "x");
  pending.on_read(1, false);  // asked again at the next tick
  pending.leave();
  const std::string stopped(kStopped.text);
  EXPECT_EQ(reader.told, (std::vector<std::pair<uint32_t, std::string>>{{1, stopped}, {2, stopped}}));
  pending.read({4, 1}, &reader, 0);
  EXPECT_EQ(reader.told.back().first, 4U);
  EXPECT_TRUE(port.failed.empty()) << "a proposal ends by its own outcome";
  EXPECT_EQ(pending.counters().reads_waiting, 0U);
}

}  // namespace
}  // namespace decree::api
