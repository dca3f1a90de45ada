// Readmission with a new disk, and what survivors of a lost quorum hold together.
#include "server/recovery.h"

#include <gtest/gtest.h>

#include "server/readmission.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::server {
namespace {

using storage::DataDir;
using storage::MemoryFileSystem;

Membership named(uint32_t epoch = 1, uint32_t n = 3) {
  std::vector<decree::Member> list;
  for (uint32_t i = 1; i <= n; ++i) {
    decree::Member m;
    m.node = NodeId(i);
    m.member_id = 100 + i;
    m.incarnation = Incarnation(1000 + i);
    m.name = "m" + std::to_string(i);
    m.peer_urls = {"http://127.0.0.1:" + std::to_string(2380 + i)};
    list.push_back(m);
  }
  return make_membership(std::move(list), epoch, Slot(epoch == 0 ? 1 : 2));
}

transport::JoinAnswer answer(uint32_t from, const Membership& members, uint64_t incarnation = 0) {
  transport::JoinAnswer a;
  a.cluster = ClusterId(7);
  a.membership = members;
  a.from = NodeId(from);
  a.incarnation = Incarnation(incarnation != 0 ? incarnation : 1000 + from);
  return a;
}

std::string why_not(const std::vector<transport::JoinAnswer>& answers, const std::string& name = "m1") {
  Config config;
  config.name = name;
  const transport::JoinAnswer* newest = nullptr;
  NodeId self;
  return why_not_readmitted(answers, config, ClusterId(7), &newest, &self);
}

TEST(Readmission, NeedsAQuorumOfOtherVotersWithTheirOwnDisks) {
  const Membership three = named();
  EXPECT_EQ(why_not({answer(2, three), answer(3, three)}), "");
  EXPECT_NE(why_not({}).find("no other member answers"), std::string::npos);
  EXPECT_NE(why_not({answer(2, three)}).find("1 of the other members"), std::string::npos);
  EXPECT_NE(why_not({answer(2, three), answer(2, three)}), "") << "one voice twice";
  EXPECT_NE(why_not({answer(2, three), answer(3, three, 99)}), "")
      << "another one came back with a new disk just now";
  EXPECT_NE(why_not({answer(1, three), answer(2, three)}), "") << "its own old self does not count";
}

TEST(Readmission, ALearnersVoiceDoesNotCount) {
  Membership members = named();
  members.members[2].role = MemberRole::joining;
  resize_quorums(named(), &members);
  EXPECT_NE(why_not({answer(2, members), answer(3, members)}), "");
}

TEST(Readmission, TheNewestEpochDecides) {
  Membership old = named(1);
  Membership now = named(4);
  now.members[2].role = MemberRole::learner;
  resize_quorums(old, &now);
  EXPECT_NE(why_not({answer(2, now), answer(3, old)}), "") << "who was a voter may be none";
}

TEST(Readmission, NotBeforeTheDisksAreNamedAndNotForAStranger) {
  Membership young = named(0);
  for (decree::Member& m : young.members) m.incarnation = Incarnation(0);
  EXPECT_NE(why_not({answer(2, young), answer(3, young)}).find("so young"), std::string::npos);
  const Membership three = named();
  EXPECT_NE(why_not({answer(2, three), answer(3, three)}, "m9").find("does not list"), std::string::npos);
}

TEST(Readmission, AnotherClusterIsNotListenedTo) {
  transport::JoinAnswer stranger = answer(2, named());
  stranger.cluster = ClusterId(8);
  EXPECT_NE(why_not({stranger, answer(3, named())}), "");
}

// ---- recovery ----

Entry command(uint64_t seq, const std::string& text) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(1), 1, seq};
  e.payload = std::make_shared<const std::string>(text);
  e.digest = Digest128{seq, text.size()};
  return e;
}
Ballot ballot(uint32_t round, uint32_t epoch = 1) { return Ballot{epoch, round, 0, NodeId(1)}; }

struct Cluster {
  MemoryFileSystem files;
  std::vector<std::string> paths;

  // One member's directory with these records, each a batch of its own.
  void member(uint32_t n, const std::vector<Record>& records, uint64_t cluster = 7) {
    storage::OpenOptions options;
    options.create = Identity{ClusterId(cluster), NodeId(n), 100 + n, Incarnation(1000 + n)};
    options.wal.segment_bytes = 64 << 10;
    options.wal.block_bytes = 512;
    const std::string path = "/old/m" + std::to_string(n);
    auto dir = DataDir::open(files, path, options);
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    const auto write = [&](const Record& record) {
      std::vector<PersistedRecord> batch;
      if (const auto* a = std::get_if<AcceptRecord>(&record))
        batch.push_back(PersistedRecord{LogToken(1), PromiseRecord{a->ballot}});
      batch.push_back(PersistedRecord{LogToken(2), record});
      ASSERT_TRUE((*dir)->wal().commit(batch).ok());
    };
    write(EpochRecord{named(), initial_ballot(named())});
    for (const Record& record : records) write(record);
    ASSERT_TRUE((*dir)->close().ok());
    paths.push_back(path);
  }
  RecoveryPlan plan() {
    auto plan = plan_recovery(files, paths);
    EXPECT_TRUE(plan.ok()) << plan.error().message;
    return *plan;
  }
};

std::string said(const RecoveryPlan& plan) {
  std::string all;
  for (const std::string& line : describe(plan)) all += line + "\n";
  return all;
}

TEST(Recovery, TwoOfThreeHoldEverythingThatWasAcknowledged) {
  Cluster c;
  c.member(2, {AcceptRecord{ballot(2), Slot(1), {command(1, "a"), command(2, "b")}}, DecidedRecord{Slot(1)}});
  c.member(3, {AcceptRecord{ballot(2), Slot(1), {command(1, "a"), command(2, "b"), command(3, "c")}}});
  const RecoveryPlan plan = c.plan();
  EXPECT_EQ(plan.upto, Slot(3));
  EXPECT_EQ(plan.decided, Slot(1));
  EXPECT_TRUE(plan.is_complete());
  EXPECT_NE(said(plan).find("no acknowledged write is missing"), std::string::npos) << said(plan);
  EXPECT_NE(said(plan).find("slots 2..3 were accepted"), std::string::npos) << said(plan);
}

TEST(Recovery, OneOfThreeMayLackWhatTheOthersAcknowledged) {
  Cluster c;
  c.member(2, {AcceptRecord{ballot(2), Slot(1), {command(1, "a")}}});
  EXPECT_FALSE(c.plan().is_complete());
  EXPECT_NE(said(c.plan()).find("MAY BE LOST"), std::string::npos);
}

TEST(Recovery, TheHighestBallotWinsAndALawAboveAll) {
  Cluster c;
  c.member(2, {AcceptRecord{ballot(9), Slot(1), {command(1, "lost"), command(2, "new")}}});
  c.member(3,
           {AcceptRecord{ballot(2), Slot(2), {command(3, "old")}}, LawRecord{Slot(1), {command(4, "law")}}});
  const RecoveryPlan plan = c.plan();
  EXPECT_EQ(plan.entries.at(Slot(1)).bytes(), "law");
  EXPECT_EQ(plan.entries.at(Slot(2)).bytes(), "new");
}

TEST(Recovery, AHoleEndsTheStateAndIsNamed) {
  Cluster c;
  c.member(2, {AcceptRecord{ballot(2), Slot(1), {command(1, "a")}},
               AcceptRecord{ballot(2), Slot(3), {command(3, "c")}}});
  const RecoveryPlan plan = c.plan();
  EXPECT_EQ(plan.upto, Slot(1));
  EXPECT_NE(said(plan).find("LOST: slots 2..3"), std::string::npos) << said(plan);
}

TEST(Recovery, DirectoriesOfTwoClustersOrInUseAreRefused) {
  Cluster c;
  c.member(2, {});
  c.member(3, {}, 8);
  auto mixed = plan_recovery(c.files, c.paths);
  ASSERT_FALSE(mixed.ok());
  EXPECT_EQ(mixed.error().code, ErrorCode::identity);
  storage::OpenOptions options;
  options.wal.block_bytes = 512;
  auto held = DataDir::open(c.files, c.paths[0], options);
  ASSERT_TRUE(held.ok());
  auto used = plan_recovery(c.files, {c.paths[0]});
  ASSERT_FALSE(used.ok());
  EXPECT_EQ(used.error().code, ErrorCode::locked);
}

}  // namespace
}  // namespace decree::server
