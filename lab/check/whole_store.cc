// check_whole_store: see linearizability.h.
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "lab/check/linearizability.h"
#include "lab/check/naive_store.h"

namespace decree::lab {

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// By its own answer: did the operation take a revision of its own?
bool wrote(const Operation& op) {
  if (op.kind == OpKind::put) return true;
  if (op.kind == OpKind::remove) return op.answers[0].deleted > 0;
  if (op.kind == OpKind::range) return false;
  const std::vector<SimpleRequest>& ran = op.succeeded ? op.then_branch : op.else_branch;
  for (size_t i = 0; i < ran.size(); ++i)
    if (ran[i].kind == OpKind::put || (ran[i].kind == OpKind::remove && op.answers[i].deleted > 0))
      return true;
  return false;
}

bool needs_real_time(const Operation& op) { return !op.serializable; }

std::string difference(const Operation& op, const Executed& done) {
  if (op.kind == OpKind::txn && op.succeeded != done.succeeded)
    return done.succeeded ? "its compares should have held" : "its compares should not have held";
  for (size_t i = 0; i < op.answers.size() && i < done.answers.size(); ++i) {
    const SimpleAnswer& told = op.answers[i];
    const SimpleAnswer& right = done.answers[i];
    if (told == right) continue;
    if (told.deleted != right.deleted)
      return fmt::format("it says {} deleted, right is {}", told.deleted, right.deleted);
    if (told.count != right.count)
      return fmt::format("it says count {}, right is {}", told.count, right.count);
    for (size_t k = 0; k < std::max(told.kvs.size(), right.kvs.size()); ++k) {
      auto show = [k](const std::vector<SeenKv>& kvs) {
        if (k >= kvs.size()) return std::string("nothing");
        return fmt::format("{}={} (create {}, mod {}, version {})", kvs[k].key, kvs[k].value, kvs[k].create,
                           kvs[k].mod, kvs[k].version);
      };
      if (k >= told.kvs.size() || k >= right.kvs.size() || !(told.kvs[k] == right.kvs[k]))
        return fmt::format("it says {}, right is {}", show(told.kvs), show(right.kvs));
    }
  }
  return "its answer has another shape";
}

// ---- real time ----

// B began after A had ended: B's place in the order must be behind A's. Sweep over both ends.
std::string real_time_problem(const History& history) {
  struct End {
    int64_t time;
    bool is_return;  // at equal times invokes come first: touching operations overlap
    const Operation* op;
  };
  std::vector<End> ends;
  for (const Operation& op : history) {
    const bool placed = op.outcome == OpOutcome::ok || (op.outcome == OpOutcome::unknown && op.revision != 0);
    if (!placed) continue;
    ends.push_back({op.invoke_ns, false, &op});
    if (op.outcome == OpOutcome::ok) ends.push_back({op.return_ns, true, &op});
  }
  std::stable_sort(ends.begin(), ends.end(), [](const End& a, const End& b) {
    return a.time != b.time ? a.time < b.time : a.is_return < b.is_return;
  });
  const Operation* newest = nullptr;
  std::map<uint32_t, const Operation*> newest_at;  // per member
  for (const End& end : ends) {
    const Operation& op = *end.op;
    if (end.is_return) {
      if (newest == nullptr || op.revision > newest->revision) newest = &op;
      const Operation*& at = newest_at[op.member];
      if (op.member != 0 && (at == nullptr || op.revision > at->revision)) at = &op;
      continue;
    }
    const bool writes = op.outcome == OpOutcome::unknown || wrote(op);
    if (newest != nullptr && (needs_real_time(op) || writes)) {
      if (op.revision < newest->revision)
        return fmt::format("stale: {} began after revision {} had been seen by {}", describe(op),
                           newest->revision, describe(*newest));
      if (writes && op.revision == newest->revision)
        return fmt::format("{} took a revision that had been seen before it began, by {}", describe(op),
                           describe(*newest));
    }
    if (op.member != 0 && op.outcome == OpOutcome::ok) {
      const Operation* before = newest_at[op.member];
      if (before != nullptr && op.revision < before->revision)
        return fmt::format("I21: member {} went back: {} after {}", op.member, describe(op),
                           describe(*before));
    }
  }
  return "";
}

// ---- what answers say about who wrote what when ----
class Evidence {
 public:
  explicit Evidence(const History& history) {
    for (const Operation& op : history) {
      for (const SimpleAnswer& a : op.answers)
        for (const SeenKv& kv : a.kvs) see(kv, seen_until(op, kv));
      count_puts(op);
    }
  }

  // May `op`, executed as revision r and having changed `keys`, be what happened there?
  bool allows(const NaiveStore& store, int64_t r, const std::vector<std::string>& keys) const {
    const auto facts = at_.find(r);
    if (facts != at_.end())
      for (const SeenKv& fact : facts->second) {
        const SeenKv* now = store.find(fact.key, r);
        if (now == nullptr || !(*now == fact)) return false;
      }
    for (const std::string& key : keys) {
      const auto spans = quiet_.find(key);
      if (spans != quiet_.end()) {
        auto it = spans->second.lower_bound(r);  // spans that start below r
        if (it != spans->second.begin() && std::prev(it)->second >= r) return false;
      }
      const SeenKv* now = store.find(key, r);
      if (now == nullptr) continue;
      const auto puts = puts_.find({key, now->value});
      const auto mod = mods_.find({key, now->value});
      if (puts != puts_.end() && puts->second == 1 && mod != mods_.end() && mod->second != r) return false;
    }
    return true;
  }

 private:
  static int64_t seen_until(const Operation& op, const SeenKv& kv) {
    const int64_t at = op.kind == OpKind::range ? op.request.at_revision : 0;
    if (op.kind == OpKind::txn) return kv.mod;  // the transaction itself may have written the key
    return at != 0 ? std::min(at, op.revision) : op.revision;
  }
  void see(const SeenKv& kv, int64_t until) {
    std::vector<SeenKv>& facts = at_[kv.mod];
    if (std::find(facts.begin(), facts.end(), kv) == facts.end()) facts.push_back(kv);
    int64_t& end = quiet_[kv.key][kv.mod];
    end = std::max(end, until);
    mods_[{kv.key, kv.value}] = kv.mod;
  }
  void count_puts(const Operation& op) {
    if (op.outcome == OpOutcome::fail) return;
    auto add = [this](const SimpleRequest& r) {
      if (r.kind == OpKind::put) ++puts_[{r.key, r.value}];
    };
    add(op.request);
    for (const SimpleRequest& r : op.then_branch) add(r);
    for (const SimpleRequest& r : op.else_branch) add(r);
  }

  std::map<int64_t, std::vector<SeenKv>> at_;
  std::map<std::string, std::map<int64_t, int64_t>> quiet_;  // key -> (mod, until]: not written in between
  std::map<std::pair<std::string, std::string>, int> puts_;
  std::map<std::pair<std::string, std::string>, int64_t> mods_;
};

// ---- the replay ----
class Replay {
 public:
  Replay(const History& history, const CheckLimits& limits)
      : history_(history), limits_(limits), evidence_(history) {}

  Verdict run() {
    if (std::string problem = sort_into_revisions(); !problem.empty())
      return {Judgement::bad, problem, steps_};
    check_reads_at(1);
    while (failure_.empty() && store_.revision() < last_) advance();
    while (!failure_.empty()) {
      if (!backtrack()) return {Judgement::bad, failure_, steps_};
      if (steps_ > limits_.steps_max)
        return {Judgement::undecided, "too many ways to place unknown operations", steps_};
      while (failure_.empty() && store_.revision() < last_) advance();
    }
    return {Judgement::good, "", steps_};
  }

 private:
  struct Gap {
    int64_t revision;
    std::vector<size_t> candidates;  // indexes into unknown_
    size_t next = 0;
    size_t used = SIZE_MAX;
    std::set<std::string> keys;  // of all candidates
  };

  std::string sort_into_revisions() {
    for (const Operation& op : history_) {
      if (op.outcome == OpOutcome::fail) continue;
      if (op.outcome == OpOutcome::unknown) {
        if (!op.may_write()) continue;
        if (op.revision == 0)
          unknown_.push_back(&op);
        else if (!writes_.emplace(op.revision, &op).second)
          return fmt::format("revision {} was taken twice, by {} and by {}", op.revision, describe(op),
                             describe(*writes_[op.revision]));
        last_ = std::max(last_, op.revision);
        continue;
      }
      if (op.revision < 1) return "no revision: " + describe(op);
      if (wrote(op)) {
        if (!writes_.emplace(op.revision, &op).second)
          return fmt::format("revision {} was given twice, to {} and to {}", op.revision, describe(op),
                             describe(*writes_[op.revision]));
      } else {
        reads_[op.revision].push_back(&op);
      }
      last_ = std::max(last_, op.revision);
    }
    used_.assign(unknown_.size(), false);
    // deadline_[r]: whoever took revision r began before anyone had seen r or more.
    int64_t deadline = kNever;
    std::map<int64_t, int64_t> earliest_return;
    for (const Operation& op : history_) {
      if (op.outcome != OpOutcome::ok) continue;
      const auto [it, is_new] = earliest_return.emplace(op.revision, op.return_ns);
      if (!is_new) it->second = std::min(it->second, op.return_ns);
    }
    for (auto it = earliest_return.rbegin(); it != earliest_return.rend(); ++it) {
      deadline = std::min(deadline, it->second);
      deadline_[it->first] = deadline;
    }
    return "";
  }

  void fail(std::string problem, std::set<std::string> keys) {
    if (!failure_.empty()) return;
    failure_ = std::move(problem);
    failure_keys_ = std::move(keys);
    if (first_failure_.empty()) first_failure_ = failure_;
  }

  static std::set<std::string> keys_of(const Operation& op) {
    std::set<std::string> keys;
    bool ranges = false;
    auto add = [&](const SimpleRequest& r) {
      keys.insert(r.key);
      ranges = ranges || !r.range_end.empty();
    };
    if (op.kind != OpKind::txn) add(op.request);
    for (const Comparison& c : op.compare) keys.insert(c.key);
    for (const SimpleRequest& r : op.then_branch) add(r);
    for (const SimpleRequest& r : op.else_branch) add(r);
    if (ranges) keys.insert("");  // "" = any key
    return keys;
  }

  void check_reads_at(int64_t r) {
    const auto it = reads_.find(r);
    if (it == reads_.end()) return;
    for (const Operation* op : it->second) {
      ++steps_;
      const Executed done = store_.dry_run(*op);
      if (done.changed || op->answers != done.answers || op->succeeded != done.succeeded)
        return fail(fmt::format("wrong answer: {}: {}", describe(*op),
                                done.changed ? "it should have changed the store" : difference(*op, done)),
                    keys_of(*op));
    }
  }

  void advance() {
    const int64_t r = store_.revision() + 1;
    const auto it = writes_.find(r);
    if (it == writes_.end()) {
      open_gap(r);
      return;
    }
    ++steps_;
    const Operation& op = *it->second;
    const Executed done = store_.execute(op);
    if (!done.changed)
      return fail(fmt::format("took revision {} but should have changed nothing: {}", r, describe(op)),
                  keys_of(op));
    if (op.outcome == OpOutcome::ok && (op.answers != done.answers || op.succeeded != done.succeeded))
      return fail(fmt::format("wrong answer: {}: {}", describe(op), difference(op, done)), keys_of(op));
    check_reads_at(r);
  }

  void open_gap(int64_t r) {
    Gap gap;
    gap.revision = r;
    const auto deadline = deadline_.lower_bound(r);
    const int64_t before = deadline == deadline_.end() ? kNever : deadline->second;
    for (size_t i = 0; i < unknown_.size(); ++i) {
      if (used_[i] || unknown_[i]->invoke_ns >= before) continue;
      ++steps_;
      if (!store_.execute(*unknown_[i]).changed) continue;
      if (evidence_.allows(store_, r, store_.last_changed())) {
        gap.candidates.push_back(i);
        for (const std::string& key : store_.last_changed()) gap.keys.insert(key);
      }
      store_.undo();
    }
    if (gap.candidates.empty())
      return fail(
          fmt::format(
              "revision {} was taken by nobody: no acknowledged operation has it and no unknown one fits", r),
          {""});
    gaps_.push_back(std::move(gap));
    fill_gap();
  }

  // The store stands right before the newest gap.
  void fill_gap() {
    Gap& gap = gaps_.back();
    gap.used = gap.candidates[gap.next++];
    used_[gap.used] = true;
    ++steps_;
    store_.execute(*unknown_[gap.used]);
    check_reads_at(gap.revision);
  }

  bool backtrack() {
    while (!gaps_.empty()) {
      Gap& gap = gaps_.back();
      while (store_.revision() >= gap.revision) store_.undo();
      used_[gap.used] = false;
      const bool may_help = failure_keys_.count("") != 0 ||
                            std::any_of(gap.keys.begin(), gap.keys.end(),
                                        [this](const std::string& k) { return failure_keys_.count(k) != 0; });
      if (may_help) failure_keys_.insert(gap.keys.begin(), gap.keys.end());
      if (may_help && gap.next < gap.candidates.size()) {
        failure_.clear();
        fill_gap();
        return true;
      }
      gaps_.pop_back();
    }
    failure_ = first_failure_;
    return false;
  }

  const History& history_;
  const CheckLimits limits_;
  const Evidence evidence_;
  NaiveStore store_;
  std::map<int64_t, const Operation*> writes_;
  std::map<int64_t, std::vector<const Operation*>> reads_;
  std::map<int64_t, int64_t> deadline_;
  std::vector<const Operation*> unknown_;
  std::vector<bool> used_;
  std::vector<Gap> gaps_;
  int64_t last_ = 1;
  uint64_t steps_ = 0;
  std::string failure_;
  std::set<std::string> failure_keys_;
  std::string first_failure_;
};

}  // namespace

Verdict check_whole_store(const History& history, const CheckLimits& limits) {
  Replay replay(history, limits);
  Verdict verdict = replay.run();
  if (verdict.judgement == Judgement::bad) return verdict;
  if (std::string problem = real_time_problem(history); !problem.empty())
    return {Judgement::bad, problem, verdict.steps};
  return verdict;
}

}  // namespace decree::lab
