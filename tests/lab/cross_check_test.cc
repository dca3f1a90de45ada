// The two checkers of histories against each other, and both against trying every order: they share no code.
#include <gtest/gtest.h>

#include <sstream>

#include "lab/check/history.h"
#include "lab/check/linearizability.h"
#include "lab/check/naive_store.h"
#include "lab/sim/random.h"
#include "lab/sim/world.h"
#include "tests/lab/random_history.h"

namespace decree::lab {
namespace {

SimpleRequest random_request(Random& rng, uint64_t unique, uint64_t keys) {
  SimpleRequest r;
  const uint64_t kind = rng.below(10);
  r.kind = kind < 5 ? OpKind::put : kind < 6 ? OpKind::remove : OpKind::range;
  r.key = std::string(1, static_cast<char>('a' + rng.below(keys)));
  if (r.kind == OpKind::put) r.value = "v" + std::to_string(unique);
  return r;
}

// Each operation takes effect at one moment between its invoke and its return; some answers get lost.
History correct_history(Random& rng, uint64_t operations, uint64_t keys) {
  std::vector<PendingOperation> all;
  for (uint64_t i = 0; i < operations; ++i) {
    PendingOperation p;
    p.op.client = static_cast<uint32_t>(i);
    p.op.invoke_ns = static_cast<int64_t>(rng.below(100));
    p.at = p.op.invoke_ns + static_cast<int64_t>(rng.below(40));
    p.op.return_ns = p.at + static_cast<int64_t>(rng.below(40));
    p.op.request = random_request(rng, i, keys);
    p.op.kind = p.op.request.kind;
    all.push_back(std::move(p));
  }
  return happen(rng, std::move(all), 0.5);
}

// One lie, which may or may not be noticeable.
void tell_a_lie(Random& rng, History* history) {
  Operation& op = (*history)[rng.below(history->size())];
  Operation& other = (*history)[rng.below(history->size())];
  switch (rng.below(5)) {
    case 0:
      if (op.outcome == OpOutcome::ok && op.kind == OpKind::put) op.outcome = OpOutcome::fail;
      break;
    case 1:
      // Only between reads that were answered: an answered read without an answer is no history at all.
      if (op.kind == OpKind::range && other.kind == OpKind::range && op.outcome == OpOutcome::ok &&
          other.outcome == OpOutcome::ok) {
        std::swap(op.answers, other.answers);
        std::swap(op.revision, other.revision);
      }
      break;
    case 2:
      for (SimpleAnswer& a : op.answers)
        for (SeenKv& kv : a.kvs) kv.version += rng.chance(0.5) ? 1 : -1;
      break;
    case 3:  // it was over before it began to matter
      op.return_ns = op.invoke_ns;
      break;
    default:
      for (SimpleAnswer& a : op.answers) {
        if (op.kind != OpKind::range) break;
        a.kvs.clear();
        a.count = 0;
      }
      break;
  }
}

// Every order that respects real time, on the naive store. With `revisions` the answers' revisions count too.
class EveryOrder {
 public:
  EveryOrder(const History& history, bool revisions) : history_(history), revisions_(revisions) {
    used_.assign(history.size(), false);
  }
  bool some_order_explains() { return descend(NaiveStore()); }

 private:
  bool descend(const NaiveStore& store) {
    bool all_answered = true;
    for (size_t i = 0; i < history_.size(); ++i)
      all_answered = all_answered && (used_[i] || history_[i].outcome != OpOutcome::ok);
    if (all_answered) return true;
    for (size_t i = 0; i < history_.size(); ++i) {
      if (used_[i] || history_[i].outcome == OpOutcome::fail || !may_be_next(history_[i])) continue;
      NaiveStore next = store;
      const Executed done = next.execute(history_[i]);
      const Operation& op = history_[i];
      if (op.outcome == OpOutcome::ok) {
        if (revisions_ ? op.answers != done.answers || op.revision != done.revision
                       : !same_values(op.answers, done.answers))
          continue;
      }
      used_[i] = true;
      const bool found = descend(next);
      used_[i] = false;
      if (found) return true;
    }
    return false;
  }
  bool may_be_next(const Operation& op) const {
    for (size_t i = 0; i < history_.size(); ++i)
      if (!used_[i] && history_[i].outcome == OpOutcome::ok && history_[i].return_ns < op.invoke_ns)
        return false;
    return true;
  }
  // What check_keys looks at: values and versions, not revisions.
  static bool same_values(const std::vector<SimpleAnswer>& a, const std::vector<SimpleAnswer>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i].deleted != b[i].deleted || a[i].count != b[i].count || a[i].kvs.size() != b[i].kvs.size())
        return false;
      for (size_t k = 0; k < a[i].kvs.size(); ++k)
        if (a[i].kvs[k].value != b[i].kvs[k].value || a[i].kvs[k].version != b[i].kvs[k].version)
          return false;
    }
    return true;
  }

  const History& history_;
  const bool revisions_;
  std::vector<bool> used_;
};

std::string show(const History& history) {
  std::string out;
  for (const Operation& op : history) out += encode_operation(op) + "\n";
  return out;
}

TEST(CrossCheck, BothAgreeWithTryingEveryOrderOfSmallHistories) {
  int bad = 0;
  int good = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random rng(seed);
    History h = correct_history(rng, 2 + rng.below(5), 1);
    if (rng.chance(0.7)) tell_a_lie(rng, &h);
    const bool explained = EveryOrder(h, true).some_order_explains();
    const bool values_explained = EveryOrder(h, false).some_order_explains();
    const Verdict whole = check_whole_store(h);
    const Verdict keys = check_keys(h);
    ASSERT_EQ(whole.judgement, explained ? Judgement::good : Judgement::bad)
        << "seed " << seed << ": " << whole.problem << "\n"
        << show(h);
    ASSERT_EQ(keys.judgement, values_explained ? Judgement::good : Judgement::bad)
        << "seed " << seed << ": " << keys.problem << "\n"
        << show(h);
    (explained ? good : bad) += 1;
  }
  EXPECT_GT(bad, 200);
  EXPECT_GT(good, 200);
}

// The search per key sees less: whatever it calls bad, the replay by revisions must call bad as well.
TEST(CrossCheck, WhatTheSearchPerKeyRefusesTheReplayRefuses) {
  int whole_bad = 0;
  int keys_bad = 0;
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    Random rng(seed);
    History h = correct_history(rng, 40, 4);
    tell_a_lie(rng, &h);
    const Verdict whole = check_whole_store(h);
    const Verdict keys = check_keys(h);
    ASSERT_NE(whole.judgement, Judgement::undecided) << "seed " << seed;
    whole_bad += whole.judgement == Judgement::bad;
    keys_bad += keys.judgement == Judgement::bad;
    if (keys.judgement == Judgement::bad) {
      ASSERT_EQ(whole.judgement, Judgement::bad) << "seed " << seed << ": " << keys.problem << "\n"
                                                 << show(h);
    }
  }
  EXPECT_GT(keys_bad, 50);
  EXPECT_GE(whole_bad, keys_bad);
}

TEST(CrossCheck, BothAcceptWhatTheSimulatorRecords) {
  RunOptions options;
  options.limits.scale = 0.1;
  uint64_t operations = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::stringstream text;
    options.history = &text;
    ASSERT_FALSE(World(seed, options).run().breach) << "seed " << seed;
    Result<History> h = read_history(text);
    ASSERT_TRUE(h.ok()) << h.error().message;
    CheckLimits limits;
    limits.steps_max = 500'000;
    EXPECT_EQ(check_whole_store(h.value()).judgement, Judgement::good) << "seed " << seed;
    EXPECT_NE(check_keys(h.value(), limits).judgement, Judgement::bad) << "seed " << seed;
    operations += h.value().size();
  }
  EXPECT_GT(operations, 2000u);
}

}  // namespace
}  // namespace decree::lab
