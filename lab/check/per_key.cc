// check_keys: see linearizability.h. Revisions and modification revisions are ignored: only values and
// versions count. (Revisions say which order to try first.)
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "lab/check/linearizability.h"

namespace decree::lab {

namespace {

struct KeyState {
  bool exists = false;
  int64_t version = 0;
  std::string value;
  friend bool operator==(const KeyState&, const KeyState&) = default;
};

// One thing an operation does to the key, in order.
struct Effect {
  enum class Kind : uint8_t { put, remove, expect, compare, compare_any } kind = Kind::expect;
  std::string value;           // put
  std::optional<SeenKv> seen;  // expect: what a read saw; none = absent
  Comparison comparison;       // compare: must hold
};

// An operation as the one key sees it: any one of the alternatives happened, atomically.
struct KeyOperation {
  int64_t invoke = 0;
  int64_t ret = 0;  // max = never returned
  std::vector<std::vector<Effect>> alternatives;
  const Operation* op = nullptr;
  // Which of several to try first, and nothing else: what the revisions say decides no verdict, but a good
  // history is then found good without going back, however many operations overlap.
  std::pair<int64_t, bool> hint;
};

bool holds(const Comparison& c, const KeyState& s, bool* decidable) {
  int order = 0;
  if (c.target == CompareTarget::value) {
    if (!s.exists) return false;
    order = s.value.compare(c.value);
  } else if (c.target == CompareTarget::version || !s.exists || c.number == 0) {
    // create and mod revisions are unknown here, but zero for a missing key and positive otherwise
    const int64_t have = !s.exists ? 0 : c.target == CompareTarget::version ? s.version : 1;
    if (c.target != CompareTarget::version && s.exists && c.number > 0) *decidable = false;
    order = have < c.number ? -1 : have > c.number ? 1 : 0;
  } else {
    *decidable = false;
    return true;
  }
  switch (c.is) {
    case CompareIs::equal:
      return order == 0;
    case CompareIs::not_equal:
      return order != 0;
    case CompareIs::less:
      return order < 0;
    case CompareIs::greater:
      return order > 0;
  }
  return false;
}

bool run(const std::vector<Effect>& effects, KeyState* s) {
  for (const Effect& e : effects) {
    switch (e.kind) {
      case Effect::Kind::put:
        s->version = s->exists ? s->version + 1 : 1;
        s->exists = true;
        s->value = e.value;
        break;
      case Effect::Kind::remove:
        *s = KeyState{};
        break;
      case Effect::Kind::expect:
        if (s->exists != e.seen.has_value()) return false;
        if (s->exists && (s->value != e.seen->value || s->version != e.seen->version)) return false;
        break;
      case Effect::Kind::compare: {
        bool decidable = true;
        if (!holds(e.comparison, *s, &decidable) && decidable) return false;
        break;
      }
      case Effect::Kind::compare_any: {
        bool decidable = true;
        if (holds(e.comparison, *s, &decidable) && decidable) return false;  // must NOT hold
        break;
      }
    }
  }
  return true;
}

void add_request(const SimpleRequest& r, const SimpleAnswer* answer, const std::string& key,
                 std::vector<Effect>* out) {
  if (!in_range(key, r.key, r.range_end)) return;
  if (r.kind == OpKind::put) {
    out->push_back({Effect::Kind::put, r.value, {}, {}});
    return;
  }
  if (r.kind == OpKind::remove) {
    if (answer != nullptr && r.range_end.empty()) {
      // The count tells whether the key was there.
      Effect was{Effect::Kind::compare, "", {}, {}};
      was.comparison = {key, CompareTarget::version,
                        answer->deleted > 0 ? CompareIs::greater : CompareIs::equal, 0, ""};
      out->push_back(was);
    }
    out->push_back({Effect::Kind::remove, "", {}, {}});
    return;
  }
  if (answer == nullptr || r.at_revision != 0) return;
  Effect seen{Effect::Kind::expect, "", {}, {}};
  for (const SeenKv& kv : answer->kvs)
    if (kv.key == key) seen.seen = kv;
  if (!seen.seen && answer->count > static_cast<int64_t>(answer->kvs.size())) return;  // cut off by the limit
  out->push_back(std::move(seen));
}

std::vector<Effect> branch(const Operation& op, bool taken, bool answered, const std::string& key) {
  std::vector<Effect> effects;
  if (taken) {
    for (const Comparison& c : op.compare)
      if (c.key == key) effects.push_back({Effect::Kind::compare, "", {}, c});
  } else if (op.compare.size() == 1 && op.compare[0].key == key) {
    effects.push_back({Effect::Kind::compare_any, "", {}, op.compare[0]});
  }
  const std::vector<SimpleRequest>& requests = taken ? op.then_branch : op.else_branch;
  for (size_t i = 0; i < requests.size(); ++i)
    add_request(requests[i], answered ? &op.answers[i] : nullptr, key, &effects);
  return effects;
}

KeyOperation project(const Operation& op, const std::string& key) {
  KeyOperation k;
  k.op = &op;
  k.invoke = op.invoke_ns;
  k.hint = {op.revision != 0 ? op.revision : std::numeric_limits<int64_t>::max(), !op.may_write()};
  const bool answered = op.outcome == OpOutcome::ok;
  k.ret = answered ? op.return_ns : std::numeric_limits<int64_t>::max();
  if (op.kind != OpKind::txn) {
    std::vector<Effect> effects;
    add_request(op.request, answered ? &op.answers[0] : nullptr, key, &effects);
    if (!effects.empty()) k.alternatives.push_back(std::move(effects));
    return k;
  }
  if (!answered || op.succeeded) k.alternatives.push_back(branch(op, true, answered, key));
  if (!answered || !op.succeeded) k.alternatives.push_back(branch(op, false, answered, key));
  std::erase_if(k.alternatives, [](const std::vector<Effect>& e) { return e.empty(); });
  return k;
}

// Depth-first over linearization orders; remembers (set of done operations, state) that led nowhere.
class Search {
 public:
  Search(std::vector<KeyOperation> ops, uint64_t steps_max) : ops_(std::move(ops)), steps_max_(steps_max) {
    std::sort(ops_.begin(), ops_.end(),
              [](const KeyOperation& a, const KeyOperation& b) { return a.invoke < b.invoke; });
    done_.assign(ops_.size(), false);
    for (const KeyOperation& op : ops_) open_ += op.ret != std::numeric_limits<int64_t>::max();
  }
  Judgement run() {
    const bool found = descend(0, KeyState{});
    if (found) return Judgement::good;
    return steps_ > steps_max_ ? Judgement::undecided : Judgement::bad;
  }
  uint64_t steps() const { return steps_; }
  // The first operation (by return) that was never reached.
  const Operation* stuck_at() const { return stuck_; }

 private:
  bool descend(size_t first, const KeyState& state) {
    if (open_ == 0) return true;
    if (++steps_ > steps_max_) return false;
    while (first < ops_.size() && done_[first]) ++first;
    int64_t limit = std::numeric_limits<int64_t>::max();
    const KeyOperation* earliest = nullptr;
    for (size_t i = first; i < ops_.size() && ops_[i].invoke <= limit; ++i)
      if (!done_[i] && ops_[i].ret < limit) {
        limit = ops_[i].ret;
        earliest = &ops_[i];
      }
    if (earliest != nullptr && limit > furthest_) {
      furthest_ = limit;
      stuck_ = earliest->op;
    }
    if (!memory_.insert(fingerprint(first, state)).second) return false;
    for (const size_t i : candidates(first, limit)) {
      for (const std::vector<Effect>& effects : ops_[i].alternatives) {
        KeyState next = state;
        if (!decree::lab::run(effects, &next)) continue;
        const bool returns = ops_[i].ret != std::numeric_limits<int64_t>::max();
        if (!returns && next == state) continue;  // never happened is the same
        done_[i] = true;
        open_ -= returns;
        if (descend(first, next)) return true;
        done_[i] = false;
        open_ += returns;
        if (steps_ > steps_max_) return false;
      }
    }
    return false;
  }

  // What may come next: everything invoked before the first of the open ones returned.
  std::vector<size_t> candidates(size_t first, int64_t limit) const {
    std::vector<size_t> out;
    for (size_t i = first; i < ops_.size() && ops_[i].invoke <= limit; ++i)
      if (!done_[i]) out.push_back(i);
    std::stable_sort(out.begin(), out.end(),
                     [this](size_t a, size_t b) { return ops_[a].hint < ops_[b].hint; });
    return out;
  }

  std::string fingerprint(size_t first, const KeyState& s) {
    std::string f = std::to_string(first);
    f += s.exists ? '+' : '-';
    f += std::to_string(s.version);
    f += '=';
    // A number for the value: long values times millions of remembered states would not fit into memory.
    f += std::to_string(value_numbers_.try_emplace(s.value, value_numbers_.size()).first->second);
    f += '|';
    // Beyond `first` only few are done: those that overlap it, and unknown ones.
    for (size_t i = first, end = last_done() + 1; i < end && i < done_.size(); ++i) f += done_[i] ? '1' : '0';
    return f;
  }
  size_t last_done() const {
    for (size_t i = done_.size(); i > 0; --i)
      if (done_[i - 1]) return i - 1;
    return 0;
  }

  std::vector<KeyOperation> ops_;
  const uint64_t steps_max_;
  std::vector<bool> done_;
  size_t open_ = 0;
  uint64_t steps_ = 0;
  int64_t furthest_ = std::numeric_limits<int64_t>::min();
  const Operation* stuck_ = nullptr;
  std::unordered_set<std::string> memory_;
  std::unordered_map<std::string, size_t> value_numbers_;
};

std::set<std::string> single_keys(const History& history) {
  std::set<std::string> keys;
  auto add = [&](const SimpleRequest& r) {
    if (!r.key.empty()) keys.insert(r.key);
  };
  for (const Operation& op : history) {
    if (op.kind != OpKind::txn) add(op.request);
    for (const Comparison& c : op.compare) keys.insert(c.key);
    for (const SimpleRequest& r : op.then_branch) add(r);
    for (const SimpleRequest& r : op.else_branch) add(r);
    for (const SimpleAnswer& a : op.answers)
      for (const SeenKv& kv : a.kvs) keys.insert(kv.key);
  }
  return keys;
}

}  // namespace

Verdict check_keys(const History& history, const CheckLimits& limits) {
  Verdict verdict;
  for (const std::string& key : single_keys(history)) {
    std::vector<KeyOperation> ops;
    for (const Operation& op : history) {
      if (op.outcome == OpOutcome::fail || op.serializable) continue;
      if (op.outcome == OpOutcome::unknown && !op.may_write()) continue;
      KeyOperation k = project(op, key);
      if (!k.alternatives.empty()) ops.push_back(std::move(k));
    }
    if (ops.size() > limits.key_operations_max) {
      verdict.judgement = Judgement::undecided;
      verdict.problem = fmt::format("key {} has {} operations, too many for this search", key, ops.size());
      continue;
    }
    Search search(std::move(ops), limits.steps_max);
    const Judgement judgement = search.run();
    verdict.steps += search.steps();
    if (judgement == Judgement::bad) {
      verdict.judgement = Judgement::bad;
      verdict.problem =
          fmt::format("key {} is not linearizable; no order reaches beyond: {}", key,
                      search.stuck_at() ? describe(*search.stuck_at()) : std::string("the start"));
      return verdict;
    }
    if (judgement == Judgement::undecided) {
      verdict.judgement = Judgement::undecided;
      verdict.problem = fmt::format("key {}: the search was given up after {} steps", key, search.steps());
    }
  }
  return verdict;
}

}  // namespace decree::lab
