// Message soup: a scheduler that delivers, loses, repeats and reorders as it likes, syncs or crashes disks at
// any moment, and then lets the cluster recover. Small and fast; the laboratory does this at length.
// One seed again: DECREE_SEED=<n> paxos_tests --gtest_filter='RandomSchedule.*'
#include <cstdlib>
#include <set>

#include "paxos/prng.h"
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::TestCluster;

struct Schedule {
  explicit Schedule(uint64_t seed) : rng(seed) {}
  paxos::Prng rng;
  std::map<uint64_t, std::pair<Digest128, uint32_t>> decided;  // slot -> entry, first node that applied it
  std::set<RequestId> applied_ids;
  std::set<std::string> acknowledged;
  std::set<std::string> refused;
};

// Prefix agreement (I8) and exactly-once (I16), over everything any member ever applied.
void check_applied(TestCluster& c, Schedule& s, std::map<uint32_t, size_t>& seen, uint64_t seed) {
  for (auto& [node, m] : c.all()) {
    size_t& from = seen[node];
    if (m.applied.size() < from) from = 0;
    for (; from < m.applied.size(); ++from) {
      const DecidedEntry& d = m.applied[from];
      if (from > 0) {
        ASSERT_EQ(d.slot, m.applied[from - 1].slot.next()) << "seed " << seed;
        ASSERT_GE(d.term, m.applied[from - 1].term) << "seed " << seed;
      }
      const auto [it, fresh] = s.decided.emplace(d.slot.value, std::pair{d.entry.digest, node});
      ASSERT_EQ(it->second.first, d.entry.digest)
          << "I7/I8: slot " << d.slot.value << " differs between " << node << " and " << it->second.second
          << ", seed " << seed;
      if (d.entry.kind != EntryKind::command) continue;
      if (fresh) {
        ASSERT_TRUE(s.applied_ids.insert(d.entry.id).second) << "I16: applied twice, seed " << seed;
      }
      const std::string text(d.entry.bytes());
      if (d.entry.id.node.value == node && d.entry.id.boot == m.disk.boots) s.acknowledged.insert(text);
      ASSERT_FALSE(s.refused.contains(text)) << "chosen after 'definitely not', seed " << seed;
    }
    for (const OutcomeNotice& o : m.outcomes)
      if (o.outcome == Outcome::definitely_not)
        s.refused.insert(std::to_string(o.id.node.value) + "/" + std::to_string(o.id.boot) + "/" +
                         std::to_string(o.id.seq));
    m.outcomes.clear();
  }
}

void run(uint64_t seed) {
  Schedule s(seed);
  const uint32_t n = 3 + 2 * static_cast<uint32_t>(s.rng.below(2));
  Options options;
  options.accept_entries_max = 1 + static_cast<uint32_t>(s.rng.below(8));
  options.promise_runs_max = 1 + static_cast<uint32_t>(s.rng.below(3));
  options.inflight_bytes_max = 200 + static_cast<uint32_t>(s.rng.below(2000));
  options.cached_log_entries_min = 4;
  TestCluster c(n, options);
  std::map<uint32_t, size_t> seen;
  std::map<uint32_t, uint64_t> seqs;
  for (auto& [node, m] : c.all()) m.auto_sync = false;
  const uint64_t loss = s.rng.below(30);
  const uint64_t repeat = s.rng.below(10);
  const uint64_t crash = s.rng.below(4);
  for (int step = 0; step < 3000; ++step) {
    const uint64_t dice = s.rng.below(100);
    const uint32_t node = 1 + static_cast<uint32_t>(s.rng.below(n));
    if (dice < 60 && !c.net().empty()) {
      const size_t at = s.rng.below(2) == 0 ? 0 : s.rng.below(c.net().size());
      const testing::Frame f = c.net()[at];
      if (s.rng.below(100) >= repeat) c.net().erase(c.net().begin() + static_cast<ptrdiff_t>(at));
      if (s.rng.below(100) >= loss && c.up(f.to.value)) c.input(f.to.value, Received{f.from, f.message});
    } else if (dice < 75) {
      c.sync(node);
    } else if (dice < 85) {
      if (c.up(node)) {
        const uint64_t boot = c.member(node).disk.boots;
        const uint64_t seq = ++seqs[node];
        const std::string text =
            std::to_string(node) + "/" + std::to_string(boot) + "/" + std::to_string(seq);
        c.input(node, Propose{testing::command(node, seq, text, boot)});
      }
    } else if (dice < 96) {
      c.advance_time(1 + s.rng.below(3));
    } else if (s.rng.below(100) < crash * 8) {
      if (c.up(node)) {
        c.crash(node);
      } else {
        c.restart(node);
      }
    }
    check_applied(c, s, seen, seed);
    if (::testing::Test::HasFatalFailure()) return;
  }
  // Faults stop: everyone comes back, and all of them agree within ten election time-outs.
  for (auto& [node, m] : c.all()) {
    m.auto_sync = true;
    if (!c.up(node)) c.restart(node);
    c.sync(node);
  }
  for (auto& [node, m] : c.all()) c.link_all(node, true);
  c.deliver_all();
  const auto converged = [&] {
    for (auto& [node, m] : c.all())
      if (c.log(node) != c.log(1) || c.at(node).status().decided != c.at(1).status().decided ||
          c.leader() == 0)
        return false;
    return true;
  };
  c.tick(300);
  EXPECT_TRUE(c.tick_until(converged, 700)) << "no progress after the faults stopped, seed " << seed;
  check_applied(c, s, seen, seed);
  std::set<std::string> kept;
  for (const std::string& text : c.log(1)) kept.insert(text);
  for (const std::string& text : s.acknowledged)
    EXPECT_TRUE(kept.contains(text)) << "acknowledged and lost: " << text << ", seed " << seed;
  const uint32_t leader = c.leader();
  if (leader != 0) {
    const size_t before = c.log(leader).size();
    c.propose(leader, 1000000, "last");
    c.tick(20);
    EXPECT_EQ(c.log(leader).size(), before + 1) << "seed " << seed;
  }
}

TEST(RandomSchedule, NothingDecidedChangesAndEverythingRecovers) {
  if (const char* one = std::getenv("DECREE_SEED"); one != nullptr) {
    run(std::strtoull(one, nullptr, 10));
    return;
  }
  const char* many = std::getenv("DECREE_SEEDS");
  const uint64_t seeds = many != nullptr ? std::strtoull(many, nullptr, 10) : 300;
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) run(seed);
}

}  // namespace
}  // namespace decree
