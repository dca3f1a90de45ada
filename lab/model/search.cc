#include "lab/model/search.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <functional>

#include "lab/model/replica_search.h"
#include "lab/model/start.h"
#include "lab/sim/check_hook.h"
#include "paxos/quorum.h"

namespace decree::lab::model {

namespace {

constexpr uint32_t kMembersMax = 5;
constexpr uint32_t kWidthMax = 2 * kMembersMax + 1;

enum class Do : uint8_t {
  deliver,
  install,
  start,
  lead,
  lead_initial,
  propose,
  propose_stop,
  decide,
  sync_next,
  sync_superblock,
  crash,
  crash_keep_hint,
  rot,
  wipe,
  sync_all,
};

struct Action {
  Do what = Do::deliver;
  uint32_t member = 0;
  uint32_t arg = 0;   // note, round, tuple of promises or slot
  uint32_t from = 0;  // who said the note
};

struct Outcome {
  uint32_t node = 0;
  uint32_t said = 0;  // set of notes
  uint32_t breach = 0;
  bool possible = true;
};

// Counts of used faults in one number.
struct Used {
  uint32_t crashes, wipes, rots;
  explicit Used(uint32_t packed) : crashes(packed & 255), wipes((packed >> 8) & 255), rots(packed >> 16) {}
  uint32_t packed() const { return crashes | (wipes << 8) | (rots << 16); }
};

class Search {
 public:
  Search(const Config& config, size_t pattern, const Limits& limits)
      : config_(config),
        limits_(limits),
        judge_(config, tables_),
        n_(config.members),
        states_(2 * config.members + 1) {
    start_ = make_start(config, pattern, tables_);
    top_ = start_.rounds.empty() ? start_.initial : start_.rounds.back();
    sets_.resize(n_);
    find_twins();
  }
  Found run();

 private:
  using State = std::array<uint32_t, kWidthMax>;  // node, set per member; faults used; the rest 0
  struct Successor {
    Action action;
    State state;
    uint32_t breach = 0;
    uint32_t added = 0;
  };

  void find_twins();
  const Outcome& outcome(uint32_t node, const Action& action, bool synced);
  void take(NodeStep& step, Node& node, const Action& action, bool* possible);
  bool attempt(const State& from, const Action& action);  // appends to next_ when something changes
  void expand(const State& from);
  void expand_member(const State& from, uint32_t m);
  void expand_faults(const State& from, uint32_t m, const Node& node);
  void expand_lead(const State& from, uint32_t m, const Node& node);
  bool keep_one_of(size_t begin, uint32_t m);
  bool faults_left(uint32_t used) const;
  bool synced(uint32_t used) const {
    return config_.writes_at_once || (limits_.reduce_order && !faults_left(used));
  }
  // Sorts members nobody can tell apart; `order` (may be null) is permuted along.
  void canonical(State& state, std::vector<uint32_t>* order) const;
  State load(size_t number) const {
    State state{};
    std::copy_n(states_.at(number), 2 * n_ + 1, state.begin());
    return state;
  }
  std::vector<uint32_t> said(const uint32_t* state) const;
  std::string look(const Successor& next, const State& from);
  bool is_goal(const State& state) const;
  std::vector<std::string> story(uint32_t last, const Successor* breaking);
  std::string tell(const Successor& step, const std::vector<uint32_t>& names) const;

  const Config& config_;
  const Limits& limits_;
  Tables tables_;
  Judge judge_;
  uint32_t n_;
  StateTable states_;
  Beginning start_;
  Ballot top_;
  std::vector<uint32_t> twins_;  // positions that may be sorted
  std::vector<uint32_t> parents_;
  std::vector<Successor> next_;
  FlatMap known_;
  std::vector<Outcome> outcomes_;
  Interner<std::vector<uint32_t>, HashNumbers> tuples_;
  std::vector<std::string> breaches_{""};
  std::vector<uint32_t> sets_;   // scratch: per member, what it has said
  std::vector<uint32_t> fresh_;  // scratch
};

void Search::find_twins() {
  if (!limits_.reduce_symmetry) return;
  for (uint32_t m = 0; m < n_; ++m) {
    const bool runs = std::find(start_.owners.begin(), start_.owners.end(), m) != start_.owners.end();
    const bool special =
        (config_.goal_decided > 0 && m == config_.goal_member) || (start_.dead >> m & 1u) != 0;
    if (runs || special || m == start_.initial_owner) continue;
    if (!twins_.empty() &&
        (start_.nodes[m] != start_.nodes[twins_[0]] || start_.sets[m] != start_.sets[twins_[0]]))
      continue;
    twins_.push_back(m);
  }
  if (twins_.size() < 2) twins_.clear();
}

void Search::canonical(State& state, std::vector<uint32_t>* order) const {
  for (size_t i = 1; i < twins_.size(); ++i)  // few: sorted by insertion
    for (size_t j = i; j > 0; --j) {
      const uint32_t a = twins_[j - 1];
      const uint32_t b = twins_[j];
      if (std::pair(state[2 * a], state[2 * a + 1]) <= std::pair(state[2 * b], state[2 * b + 1])) break;
      std::swap(state[2 * a], state[2 * b]);
      std::swap(state[2 * a + 1], state[2 * b + 1]);
      if (order != nullptr) std::swap((*order)[a], (*order)[b]);
    }
}

bool Search::faults_left(uint32_t packed) const {
  const Used used(packed);
  return used.crashes < config_.crashes || used.wipes < config_.wipes || used.rots < config_.rots;
}

std::vector<uint32_t> Search::said(const uint32_t* state) const {
  std::vector<uint32_t> sets(n_);
  for (uint32_t m = 0; m < n_; ++m) sets[m] = state[2 * m + 1];
  return sets;
}

void Search::take(NodeStep& step, Node& node, const Action& action, bool* possible) {
  switch (action.what) {
    case Do::deliver:
      return step.deliver(node, tables_.notes[action.arg]);
    case Do::install:
      return step.install(node, tables_.notes[action.arg]);
    case Do::start:
      return step.start_election(node, start_.rounds[action.arg]);
    case Do::lead:
      *possible = step.lead(node, tuples_[action.arg]);
      return;
    case Do::lead_initial:
      *possible = step.lead_initial(node);
      return;
    case Do::propose:
      *possible = step.propose(node, EntryKind::command);
      return;
    case Do::propose_stop:
      *possible = step.propose(node, EntryKind::stop_sign);
      return;
    case Do::decide:
      return step.decide(node, Slot(action.arg));
    case Do::sync_next:
      *possible = step.sync_next(node);
      return;
    case Do::sync_superblock:
      *possible = step.sync_superblock(node);
      return;
    case Do::crash:
      *possible = step.restart(node, NodeStep::Loss::plain);
      return;
    case Do::crash_keep_hint:
      *possible = step.restart(node, NodeStep::Loss::keep_hint);
      return;
    case Do::rot:
      *possible = step.restart(node, NodeStep::Loss::rot);
      return;
    case Do::wipe:
      return step.wipe(node);
    case Do::sync_all:
      return step.sync_all(node);
  }
}

// A member's step depends on its own state and the action only: taken once, remembered for ever.
const Outcome& Search::outcome(uint32_t number, const Action& action, bool synced) {
  const uint64_t key = (static_cast<uint64_t>(number) << 37) | (static_cast<uint64_t>(action.what) << 33) |
                       (static_cast<uint64_t>(synced) << 32) | action.arg;
  if (const uint32_t* at = known_.find(key)) return outcomes_[*at];
  Outcome result;
  result.node = number;
  Node node = tables_.nodes[number];
  NodeStep step(config_, start_.membership, start_.initial, tables_, synced);
  try {
    take(step, node, action, &result.possible);
    if (result.possible) {
      step.end_turn(node);
      result.node = tables_.nodes.number(node);
      result.said = tables_.sets.number(step.said);
    }
  } catch (const CheckFailed& check) {  // the kernel stopped itself
    result.possible = !config_.harm_only;
    step.breach = "the kernel's own check: " + check.sentence;
  }
  if (!step.breach.empty() && result.possible) {
    breaches_.push_back(step.breach);
    result.breach = static_cast<uint32_t>(breaches_.size() - 1);
  }
  outcomes_.push_back(result);
  known_.put(key, static_cast<uint32_t>(outcomes_.size() - 1));
  return outcomes_.back();
}

bool Search::attempt(const State& from, const Action& action) {
  const uint32_t m = action.member;
  uint32_t used = from[2 * n_];
  if (action.what >= Do::crash && action.what <= Do::wipe) {
    Used u(used);
    if (action.what == Do::wipe) ++u.wipes;
    if (action.what == Do::rot) ++u.rots;
    if (action.what == Do::crash || action.what == Do::crash_keep_hint) ++u.crashes;
    used = u.packed();
  }
  const Outcome done = outcome(from[2 * m], action, synced(used));
  if (!done.possible) return false;
  const uint32_t set = tables_.sets.unite(from[2 * m + 1], done.said);
  if (done.node == from[2 * m] && set == from[2 * m + 1] && done.breach == 0) return false;
  Successor next{action, from, done.breach, done.said};
  next.state[2 * m] = done.node;
  next.state[2 * m + 1] = set;
  next.state[2 * n_] = used;
  // With the last fault gone, what the others still have to write is as good as written.
  if (synced(used) && !synced(from[2 * n_]))
    for (uint32_t y = 0; y < n_; ++y) {
      if (y == m) continue;
      const Outcome rest = outcome(next.state[2 * y], Action{Do::sync_all, y, 0, y}, true);
      next.state[2 * y] = rest.node;
      next.state[2 * y + 1] = tables_.sets.unite(next.state[2 * y + 1], rest.said);
      if (rest.breach != 0) next.breach = rest.breach;
      next.added = tables_.sets.unite(next.added, rest.said);
    }
  next_.push_back(std::move(next));
  return true;
}

// The candidate picks any quorum of Promises among all that were ever said.
void Search::expand_lead(const State& from, uint32_t m, const Node& node) {
  std::vector<std::vector<uint32_t>> offers;
  for (uint32_t y = 0; y < n_; ++y) {
    std::vector<uint32_t> mine;
    for (uint32_t n : tables_.sets[from[2 * y + 1]]) {
      const Note& note = tables_.notes[n];
      if (note.kind == Note::Kind::promise && note.ballot == node.ballot) mine.push_back(n);
    }
    if (config_.draft == Draft::a16_mixed_captures) add_mixed(mine, config_.slots, tables_);
    if (!mine.empty()) offers.push_back(std::move(mine));
  }
  std::vector<uint32_t> picked;
  const std::function<void(size_t)> pick = [&](size_t at) {
    if (picked.size() + (offers.size() - at) < config_.election_quorum) return;
    if (at == offers.size()) {
      std::vector<uint32_t> tuple = picked;
      std::sort(tuple.begin(), tuple.end());
      attempt(from, Action{Do::lead, m, tuples_.number(tuple), m});
      return;
    }
    for (uint32_t n : offers[at]) {
      picked.push_back(n);
      pick(at + 1);
      picked.pop_back();
    }
    pick(at + 1);
  };
  pick(0);
}

void Search::expand_faults(const State& from, uint32_t m, const Node& node) {
  const Used used(from[2 * n_]);
  if (used.crashes < config_.crashes) {
    attempt(from, Action{Do::crash, m, 0, m});
    if (config_.learn && node.acceptor.decided() > node.disk.decided_hint)
      attempt(from, Action{Do::crash_keep_hint, m, 0, m});
  }
  if (used.rots < config_.rots) attempt(from, Action{Do::rot, m, 0, m});
  if (used.wipes < config_.wipes) attempt(from, Action{Do::wipe, m, 0, m});
}

void Search::expand_member(const State& from, uint32_t m) {
  if ((start_.dead >> m & 1u) != 0) return;
  const Node& node = tables_.nodes[from[2 * m]];
  if (node.mute) return;
  for (uint32_t y = 0; y < n_; ++y) {
    if (y == m) continue;
    for (uint32_t n : tables_.sets[from[2 * y + 1]]) {
      const Note::Kind kind = tables_.notes[n].kind;
      if (kind > Note::Kind::chosen || kind == Note::Kind::promise) continue;
      if (kind != Note::Kind::chosen || config_.laws) attempt(from, Action{Do::deliver, m, n, y});
      if (kind == Note::Kind::chosen && config_.snapshots) attempt(from, Action{Do::install, m, n, y});
    }
  }
  for (uint32_t round = 0; round < start_.rounds.size(); ++round)
    if (start_.owners[round] == m && start_.rounds[round] > node.acceptor.promised())
      attempt(from, Action{Do::start, m, round, m});
  if (node.role == Role::candidate && node.acceptor.promised() == node.ballot) expand_lead(from, m, node);
  if (m == start_.initial_owner) attempt(from, Action{Do::lead_initial, m, 0, m});
  if (node.role == Role::leader) {
    attempt(from, Action{Do::propose, m, 0, m});
    if (config_.stop) attempt(from, Action{Do::propose_stop, m, 0, m});
    if (config_.learn) {
      std::vector<Slot> positions{node.acceptor.durable_upto()};
      for (uint32_t y = 0; y < n_; ++y) {
        Slot upto;
        for (uint32_t n : tables_.sets[from[2 * y + 1]]) {
          const Note& note = tables_.notes[n];
          if (y != m && note.kind == Note::Kind::accepted && note.ballot == node.ballot)
            upto = std::max(upto, note.slot);
        }
        if (y != m) positions.push_back(upto);
      }
      const Slot reached = paxos::quorum_position(positions, config_.bill_quorum);
      for (Slot s = node.acceptor.decided().next(); s <= reached; s = s.next())
        attempt(from, Action{Do::decide, m, static_cast<uint32_t>(s.value), m});
    }
  }
  if (!synced(from[2 * n_]) && !node.queue.empty()) {
    attempt(from, Action{Do::sync_next, m, 0, m});
    attempt(from, Action{Do::sync_superblock, m, 0, m});
  }
  if (faults_left(from[2 * n_])) expand_faults(from, m, node);
}

// Partial-order reduction. Steps of different members never disturb one another: what was said stays said, so
// a step that is possible stays possible and has the same result. A member whose promise is the highest
// ballot there is, and that can only take that ballot's next Accept (or, leading it, propose the next value),
// has nothing else to do before: whatever others say meanwhile, it refuses or keeps for later. So this one
// step, alone, stands for all (a persistent set of one). Not with faults left, Laws or snapshots: these do
// compete.
bool Search::keep_one_of(size_t begin, uint32_t m) {
  if (next_.size() == begin) return false;
  size_t best = next_.size();
  for (size_t i = begin; i < next_.size(); ++i) {
    const Action& action = next_[i].action;
    if (action.what == Do::propose && next_.size() - begin == 1 &&
        tables_.nodes[next_[i].state[2 * m]].ballot == top_) {
      best = i;
      break;
    }
    if (action.what != Do::deliver) return false;
    const Note& note = tables_.notes[action.arg];
    if (note.kind != Note::Kind::accept || note.ballot != top_ || note.entries.size() != 1) return false;
    if (best == next_.size() || note.slot < tables_.notes[next_[best].action.arg].slot) best = i;
  }
  const Successor kept = std::move(next_[best]);
  next_.assign(1, kept);
  return true;
}

void Search::expand(const State& from) {
  next_.clear();
  const bool may_keep = limits_.reduce_order && !faults_left(from[2 * n_]) && !config_.learn &&
                        !config_.snapshots && config_.goal_decided == 0;
  for (uint32_t m = 0; m < n_; ++m) {
    const size_t begin = next_.size();
    expand_member(from, m);
    if (may_keep && tables_.nodes[from[2 * m]].acceptor.promised() == top_ && keep_one_of(begin, m)) return;
  }
}

std::string Search::look(const Successor& next, const State& from) {
  for (uint32_t m = 0; m < n_; ++m) sets_[m] = next.state[2 * m + 1];
  const uint32_t who = next.action.member;
  std::string problem;
  if (next.action.what >= Do::crash && next.action.what <= Do::wipe) {
    const Node& node = tables_.nodes[next.state[2 * who]];
    if (!node.mute) problem = judge_.look_at_restart(sets_, who, node.acceptor.promised());
  }
  for (uint32_t m = 0; m < n_ && problem.empty(); ++m) {
    if (sets_[m] == from[2 * m + 1]) continue;
    const std::vector<uint32_t>& now = tables_.sets[sets_[m]];
    const std::vector<uint32_t>& before = tables_.sets[from[2 * m + 1]];
    fresh_.clear();
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(fresh_));
    problem = judge_.look(sets_, m, fresh_);
  }
  return problem;
}

bool Search::is_goal(const State& state) const {
  return config_.goal_decided > 0 &&
         tables_.nodes[state[2 * config_.goal_member]].acceptor.decided().value >= config_.goal_decided;
}

Found Search::run() {
  const CatchChecks catching;
  const std::clock_t began = std::clock();
  Found found;
  State state{};
  for (uint32_t m = 0; m < n_; ++m) {
    state[2 * m] = start_.nodes[m];
    state[2 * m + 1] = start_.sets[m];
  }
  canonical(state, nullptr);
  states_.add(state.data());
  parents_.push_back(0);
  size_t level_end = 1;
  size_t at = 0;
  bool complete = true;
  for (; at < states_.size() && found.breach.empty() && !found.goal; ++at) {
    if (at == level_end) {
      ++found.depth;
      level_end = states_.size();
    }
    state = load(at);
    expand(state);
    if (limits_.outcomes && next_.empty()) found.outcomes.insert(judge_.outcome(said(state.data())));
    for (Successor& next : next_) {
      ++found.transitions;
      std::string problem = breaches_[next.breach];
      State canon = next.state;
      canonical(canon, nullptr);
      const bool is_new = states_.add(canon.data());
      if (is_new) parents_.push_back(static_cast<uint32_t>(at));
      if (is_new && problem.empty()) problem = look(next, state);
      if (!problem.empty()) {
        found.breach = problem;
        found.story = story(static_cast<uint32_t>(at), &next);
        break;
      }
      if (is_new && is_goal(canon)) {
        found.goal = true;
        found.story = story(static_cast<uint32_t>(at), &next);
        break;
      }
    }
    if (states_.size() >= limits_.states_max ||
        (config_.states_max != 0 && states_.size() >= config_.states_max)) {
      complete = false;
      break;
    }
  }
  found.exhausted = complete && found.breach.empty() && !found.goal;
  found.states = states_.size();
  found.seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  return found;
}

// ---- the story of a finding ----

std::string Search::tell(const Successor& step, const std::vector<uint32_t>& names) const {
  const auto name = [&](uint32_t m) { return std::string(1, static_cast<char>('A' + names[m])); };
  const std::string who = name(step.action.member);
  std::string text;
  switch (step.action.what) {
    case Do::deliver:
      text = who + " receives " + show(tables_.notes[step.action.arg]) + " of " + name(step.action.from);
      break;
    case Do::install:
      text = who + " installs a snapshot of " + name(step.action.from) + " through slot " +
             std::to_string(tables_.notes[step.action.arg].slot.value);
      break;
    case Do::start:
      text = who + " runs with ballot " + show(start_.rounds[step.action.arg]);
      break;
    case Do::lead:
      text = who + " leads, having";
      for (uint32_t n : tuples_[step.action.arg]) text += " " + show(tables_.notes[n]);
      break;
    case Do::lead_initial:
      text = who + " leads with the epoch's first ballot";
      break;
    case Do::propose:
    case Do::propose_stop:
      text = who + " proposes";
      break;
    case Do::decide:
      text = who + " counts a quorum of Accepted: slots up to " + std::to_string(step.action.arg) +
             " are decided";
      break;
    case Do::sync_next:
      text = who + "'s disk has the next record";
      break;
    case Do::sync_superblock:
      text = who + "'s superblock has the promise, its log not yet what came before";
      break;
    case Do::crash:
    case Do::crash_keep_hint:
      text = who + " loses power and starts again from what is durable";
      break;
    case Do::rot:
      text = who + " starts again and finds its newest log record damaged";
      break;
    case Do::wipe:
      text = who + " loses its disk and starts with an empty one";
      break;
    case Do::sync_all:
      text = who + "'s disk has everything";
      break;
  }
  std::string says;
  for (uint32_t n : tables_.sets[step.added]) says += (says.empty() ? "" : "; ") + show(tables_.notes[n]);
  return says.empty() ? text : text + " => " + says;
}

std::vector<std::string> Search::story(uint32_t last, const Successor* breaking) {
  const Successor final_step = *breaking;  // next_ is reused below
  std::vector<uint32_t> path;
  for (uint32_t s = last; s != 0; s = parents_[s]) path.push_back(s);
  std::reverse(path.begin(), path.end());
  std::vector<std::string> lines;
  // names[position] = member as it was called at the beginning; sorting moves members between positions.
  std::vector<uint32_t> names(n_);
  for (uint32_t m = 0; m < n_; ++m) names[m] = m;
  uint32_t before = 0;
  const auto without_old = [&](Successor step, const State& from) {
    std::vector<uint32_t> fresh;
    for (uint32_t n : tables_.sets[step.added])
      if (!tables_.sets.contains(from[2 * step.action.member + 1], n)) fresh.push_back(n);
    step.added = tables_.sets.number(fresh);
    return step;
  };
  State from;
  for (uint32_t s : path) {
    from = load(before);
    expand(from);
    for (Successor& next : next_) {
      State canon = next.state;
      std::vector<uint32_t> renamed = names;
      canonical(canon, &renamed);
      if (canon != load(s)) continue;
      lines.push_back(tell(without_old(next, from), names));
      names = renamed;
      break;
    }
    before = s;
  }
  from = load(before);
  lines.push_back(tell(without_old(final_step, from), names));
  return lines;
}

}  // namespace

bool Found::as_expected(const Config& config) const {
  switch (config.expect) {
    case Expect::holds:
      return breach.empty() && (exhausted || (config.states_max != 0 && states >= config.states_max)) &&
             (goal || !config.passes_goal);
    case Expect::breaks:
      return !breach.empty();
    case Expect::reached:
      return breach.empty() && goal;
    case Expect::unreachable:
      return breach.empty() && exhausted && !goal;
  }
  return false;
}

Found search(const Config& config, size_t pattern, const Limits& limits) {
  return Search(config, pattern, limits).run();
}

Found search_all(const Config& config, const Limits& limits) {
  if (config.cluster) return search_replicas(config, limits);
  Found all;
  all.exhausted = true;
  for (size_t p = 0; p < config.owners.size() && all.breach.empty() && !all.goal; ++p) {
    Found one = search(config, p, limits);
    all.states += one.states;
    all.transitions += one.transitions;
    all.depth = std::max(all.depth, one.depth);
    all.seconds += one.seconds;
    all.exhausted = all.exhausted && one.exhausted;
    all.breach = one.breach;
    all.goal = one.goal;
    all.story = one.story;
    all.outcomes.insert(one.outcomes.begin(), one.outcomes.end());
  }
  return all;
}

}  // namespace decree::lab::model
