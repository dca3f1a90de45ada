// check_keys: see linearizability.h. Revisions and modification revisions are ignored: only values and
// versions count. (Revisions say which order to try first.)
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "lab/check/linearizability.h"

namespace decree::lab {

namespace {

struct KeyState {
  bool exists = false;
  int64_t version = 0;
  size_t value = 0;  // its rank among all that occur: histories are long, and so are values
  friend bool operator==(const KeyState&, const KeyState&) = default;
};

// One thing an operation does to the key, in order.
struct Effect {
  enum class Kind : uint8_t { put, remove, expect, compare, compare_any } kind = Kind::expect;
  std::string value;           // put
  std::optional<SeenKv> seen;  // expect: what a read saw; none = absent
  Comparison comparison;       // compare: must hold
  size_t rank = 0;             // of the value of whichever it is

  const std::string& text() const {
    return kind == Kind::put ? value : kind == Kind::expect && seen ? seen->value : comparison.value;
  }
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

  bool returns() const { return ret != std::numeric_limits<int64_t>::max(); }
};

bool holds(const Effect& effect, const KeyState& s, bool* decidable) {
  const Comparison& c = effect.comparison;
  int order = 0;
  if (c.target == CompareTarget::value) {
    if (!s.exists) return false;
    order = s.value < effect.rank ? -1 : s.value > effect.rank ? 1 : 0;
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
        s->value = e.rank;
        break;
      case Effect::Kind::remove:
        *s = KeyState{};
        break;
      case Effect::Kind::expect:
        if (s->exists != e.seen.has_value()) return false;
        if (s->exists && (s->value != e.rank || s->version != e.seen->version)) return false;
        break;
      case Effect::Kind::compare: {
        bool decidable = true;
        if (!holds(e, *s, &decidable) && decidable) return false;
        break;
      }
      case Effect::Kind::compare_any: {
        bool decidable = true;
        if (holds(e, *s, &decidable) && decidable) return false;  // must NOT hold
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

// 128 bits of what a number stands for.
struct Mark {
  uint64_t hi = 0;
  uint64_t lo = 0;
  friend bool operator==(const Mark&, const Mark&) = default;
  Mark operator^(const Mark& other) const { return {hi ^ other.hi, lo ^ other.lo}; }
};
struct MarkHash {
  size_t operator()(const Mark& m) const { return m.lo; }
};
uint64_t mixed(uint64_t x) {  // SplitMix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}
Mark mark_of(uint64_t n) { return {mixed(n), mixed(~n)}; }

// Depth-first over linearization orders; remembers (set of done operations, state) that led nowhere. Of a set
// it remembers a mark of 128 bits: two of a billion sets that share one are not to be feared.
class Search {
 public:
  Search(std::vector<KeyOperation> ops, uint64_t steps_max) : ops_(std::move(ops)), steps_max_(steps_max) {
    std::sort(ops_.begin(), ops_.end(),
              [](const KeyOperation& a, const KeyOperation& b) { return a.invoke < b.invoke; });
    rank_values();
    next_.resize(ops_.size() + 1);
    previous_.resize(ops_.size() + 1);
    for (size_t i = 0; i <= ops_.size(); ++i) {
      next_[i] = i == ops_.size() ? 0 : i + 1;
      previous_[i] = i == 0 ? ops_.size() : i - 1;
    }
    for (const KeyOperation& op : ops_) open_ += op.returns();
  }
  Judgement run() {
    const bool found = descend(KeyState{});
    if (found) return Judgement::good;
    return steps_ > steps_max_ ? Judgement::undecided : Judgement::bad;
  }
  uint64_t steps() const { return steps_; }
  // The first operation (by return) that was never reached.
  const Operation* stuck_at() const { return stuck_; }

 private:
  void rank_values() {
    std::map<std::string_view, size_t> ranks;
    const auto each = [this](const auto& what) {
      for (KeyOperation& op : ops_)
        for (std::vector<Effect>& effects : op.alternatives)
          for (Effect& e : effects) what(e);
    };
    each([&ranks](const Effect& e) { ranks.emplace(e.text(), 0); });
    size_t rank = 0;
    for (auto& [text, r] : ranks) r = rank++;
    each([&ranks](Effect& e) { e.rank = ranks.at(e.text()); });
  }

  bool descend(const KeyState& state) {
    if (open_ == 0) return true;
    if (++steps_ > steps_max_) return false;
    int64_t limit = std::numeric_limits<int64_t>::max();
    const KeyOperation* earliest = nullptr;
    size_t candidate = kNone;
    size_t candidates = 0;
    for (size_t i = next_.back(); i < ops_.size() && ops_[i].invoke <= limit; i = next_[i], ++candidates) {
      if (candidate == kNone || ops_[i].hint < ops_[candidate].hint) candidate = i;
      if (ops_[i].ret >= limit) continue;
      limit = ops_[i].ret;
      earliest = &ops_[i];
    }
    if (earliest != nullptr && limit > furthest_) {
      furthest_ = limit;
      stuck_ = earliest->op;
    }
    if (!memory_.insert(done_ ^ mark_of(state)).second) return false;
    if (try_next(candidate, state)) return true;
    // A good history seldom comes here: no list of the others is kept for each step before.
    for (const size_t i : others(candidate, limit))
      if (steps_ > steps_max_ || try_next(i, state)) return steps_ <= steps_max_;
    return false;
  }

  bool try_next(size_t i, const KeyState& state) {
    const KeyOperation& op = ops_[i];
    for (const std::vector<Effect>& effects : op.alternatives) {
      KeyState next = state;
      if (!decree::lab::run(effects, &next)) continue;
      if (!op.returns() && next == state) continue;  // never happened is the same
      next_[previous_[i]] = next_[i];
      previous_[next_[i]] = previous_[i];
      done_ = done_ ^ mark_of(i);
      open_ -= op.returns();
      if (descend(next)) return true;
      next_[previous_[i]] = previous_[next_[i]] = i;
      done_ = done_ ^ mark_of(i);
      open_ += op.returns();
      if (steps_ > steps_max_) return false;
    }
    return false;
  }

  // What else may come next: everything invoked before the first of the open ones returned.
  std::vector<size_t> others(size_t tried, int64_t limit) const {
    std::vector<size_t> out;
    for (size_t i = next_.back(); i < ops_.size() && ops_[i].invoke <= limit; i = next_[i])
      if (i != tried) out.push_back(i);
    std::stable_sort(out.begin(), out.end(),
                     [this](size_t a, size_t b) { return ops_[a].hint < ops_[b].hint; });
    return out;
  }

  static Mark mark_of(size_t i) { return decree::lab::mark_of(i); }
  static Mark mark_of(const KeyState& s) {
    const uint64_t value = mixed(s.value + (s.exists ? 1 : 0));
    return {mixed(value ^ static_cast<uint64_t>(s.version)),
            mixed(~value + static_cast<uint64_t>(s.version))};
  }

  static constexpr size_t kNone = static_cast<size_t>(-1);

  std::vector<KeyOperation> ops_;
  const uint64_t steps_max_;
  // Those not done, in the order of their calls: a ring through the place behind the last.
  std::vector<size_t> next_;
  std::vector<size_t> previous_;
  Mark done_;
  size_t open_ = 0;  // not done, and returned
  uint64_t steps_ = 0;
  int64_t furthest_ = std::numeric_limits<int64_t>::min();
  const Operation* stuck_ = nullptr;
  std::unordered_set<Mark, MarkHash> memory_;
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
