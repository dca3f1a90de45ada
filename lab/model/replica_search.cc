#include "lab/model/replica_search.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "decree/check.h"
#include "lab/model/replica_judge.h"
#include "lab/model/replica_step.h"
#include "lab/sim/check_hook.h"

namespace decree::lab::model {

namespace {

constexpr uint32_t kSitesMax = 5;
constexpr uint32_t kSiteWidthMax = 2 * kSitesMax + 2;

enum class Event : uint8_t {
  deliver,
  connect,
  run,
  command,
  change,
  tend,
  sync_next,
  crash,
  wipe,
  keep_image,
  put_image_back,
  retire,
  sync_all,
};

struct Move {
  Event what = Event::deliver;
  uint32_t member = 0;
  uint32_t arg = 0;   // word, number of the change, or whether the dead answer
  uint32_t from = 0;  // who said the word
};

// What was used up, in two numbers.
struct Spent {
  std::array<uint8_t, 8> count{};
  enum Index { elections, commands, changes, tendings, crashes, wipes, images, retired };
  explicit Spent(const uint32_t* words) {
    for (uint32_t i = 0; i < 8; ++i) count[i] = static_cast<uint8_t>(words[i / 4] >> (8 * (i % 4)));
  }
  void pack(uint32_t* words) const {
    words[0] = words[1] = 0;
    for (uint32_t i = 0; i < 8; ++i) words[i / 4] |= static_cast<uint32_t>(count[i]) << (8 * (i % 4));
  }
};

Membership first_members(const Cluster& cluster) {
  std::vector<Member> members;
  for (uint32_t m = 0; m < cluster.roles.size(); ++m)
    members.push_back(Member{NodeId(m + 1), {}, cluster.roles[m], 0, {}, {}});
  Membership first = make_membership(std::move(members), 0, Slot(1));
  if (cluster.election_quorum != 0) first.election_quorum = cluster.election_quorum;
  if (cluster.bill_quorum != 0) first.bill_quorum = cluster.bill_quorum;
  return first;
}

class ReplicaSearch {
 public:
  ReplicaSearch(const Config& config, const Limits& limits)
      : config_(config),
        cluster_(*config.cluster),
        limits_(limits),
        first_(first_members(cluster_)),
        n_(config.members),
        scratch_(RecoveredState{}, first_, timeless_options()),
        judge_(config, tables_, first_),
        states_(2 * config.members + 2) {}
  Found run();

 private:
  using State = std::array<uint32_t, kSiteWidthMax>;  // site, set per member; what was used up; the rest 0
  struct Outcome {
    uint32_t site = 0;
    uint32_t said = 0;
    uint32_t breach = 0;
    bool possible = true;
  };
  struct Successor {
    Move action;
    State state;
    uint32_t breach = 0;
    uint32_t added = 0;
  };

  State begin();
  void play(State& state, Before before);
  void everything_arrives(State& state);
  Membership as_told(Membership membership) const;
  void start_member(State& state, uint32_t m, const Membership& told);
  bool act(ReplicaStep& step, Site& site, const Move& action);
  const Outcome& outcome(uint32_t site, const Move& action, bool settled);
  bool attempt(const State& from, const Move& action);
  bool all_heard_of(State& state, uint32_t m);
  bool connect(State& state, uint32_t m, uint32_t y);
  void attempt_connect(const State& from, uint32_t m, uint32_t y);
  void forget_void(State& state, uint32_t m);
  uint32_t without_void(uint32_t set, uint32_t site);
  bool settled(const State& state) const;
  void expand(const State& from);
  void expand_leader(const State& from, uint32_t m, const Spent& used);
  void expand_faults(const State& from, uint32_t m, const Site& site, const Spent& used);
  const Site& site(const State& state, uint32_t m) const { return tables_.sites[state[2 * m]]; }
  std::string look(const Successor& next, const State& from);
  bool is_goal(const State& state) const;
  std::vector<std::string> story(uint32_t last, Successor breaking);
  std::string tell(const Successor& step, const State& from) const;
  State load(size_t number) const {
    State state{};
    std::copy_n(states_.at(number), 2 * n_ + 2, state.begin());
    return state;
  }

  const Config& config_;
  const Cluster& cluster_;
  const Limits& limits_;
  Membership first_;
  uint32_t n_;
  SiteTables tables_;
  Replica scratch_;
  ReplicaJudge judge_;
  StateTable states_;
  std::vector<uint32_t> parents_;
  std::vector<Successor> next_;
  FlatMap known_;
  FlatMap without_;
  std::vector<Outcome> outcomes_;
  std::vector<std::string> breaches_{""};
};

// ---- one step ----

bool ReplicaSearch::act(ReplicaStep& step, Site& site, const Move& action) {
  switch (action.what) {
    case Event::deliver:
      return step.deliver(site, NodeId(action.from + 1), tables_.words[action.arg]);
    case Event::connect:
      return false;  // two members' step: connect()
    case Event::run:
      return step.run(site, action.arg != 0);
    case Event::command:
      return step.command(site);
    case Event::change:
      return step.change(site, cluster_.changes[action.arg]);
    case Event::tend:
      return step.tend(site);
    case Event::sync_next:
      return step.sync_next(site);
    case Event::crash:
      return step.crash(site);
    case Event::wipe:
      step.wipe(site, first_);
      return true;
    case Event::keep_image:
      return step.keep_image(site);
    case Event::put_image_back:
      return step.put_image_back(site);
    case Event::retire:
      step.retire(site);
      return true;
    case Event::sync_all:
      step.sync_all(site);
      return true;
  }
  return false;
}

// A member's step depends on its own state and the action only: taken once, remembered for ever.
const ReplicaSearch::Outcome& ReplicaSearch::outcome(uint32_t number, const Move& action, bool settled) {
  const uint64_t key = (static_cast<uint64_t>(number) << 36) | (static_cast<uint64_t>(action.what) << 32) |
                       (static_cast<uint64_t>(settled) << 31) | (static_cast<uint64_t>(action.from) << 28) |
                       action.arg;
  if (const uint32_t* at = known_.find(key)) return outcomes_[*at];
  Outcome result;
  result.site = number;
  Site site = tables_.sites[number];
  ReplicaStep step(config_, tables_, scratch_, settled);
  try {
    result.possible = act(step, site, action);
    if (result.possible) {
      result.site = tables_.sites.number(site);
      result.said = tables_.sets.number(step.said);
    }
  } catch (const CheckFailed& check) {  // the replica stopped itself
    result.possible = !config_.harm_only;
    step.breach = "the replica's own check: " + check.sentence;
  }
  if (!step.breach.empty() && result.possible) {
    breaches_.push_back(step.breach);
    result.breach = static_cast<uint32_t>(breaches_.size() - 1);
  }
  outcomes_.push_back(result);
  known_.put(key, static_cast<uint32_t>(outcomes_.size() - 1));
  return outcomes_.back();
}

bool ReplicaSearch::settled(const State& state) const {
  const Spent used(&state[2 * n_]);
  return used.count[Spent::crashes] >= cluster_.crashes && used.count[Spent::wipes] >= cluster_.wipes &&
         used.count[Spent::images] >= cluster_.images;
}

bool ReplicaSearch::attempt(const State& from, const Move& action) {
  const uint32_t m = action.member;
  Successor next{action, from, 0, 0};
  Spent used(&from[2 * n_]);
  const auto uses = [&]() -> uint8_t* {
    switch (action.what) {
      case Event::run:
        return &used.count[Spent::elections];
      case Event::command:
        return &used.count[Spent::commands];
      case Event::change:
        return &used.count[Spent::changes];
      case Event::tend:
        return &used.count[Spent::tendings];
      case Event::crash:
        return &used.count[Spent::crashes];
      case Event::wipe:
        return &used.count[Spent::wipes];
      case Event::put_image_back:
        return &used.count[Spent::images];
      default:
        return nullptr;
    }
  }();
  if (uses != nullptr) ++*uses;
  used.pack(&next.state[2 * n_]);
  if (action.what == Event::put_image_back && cluster_.image_after_beat && !all_heard_of(next.state, m))
    return false;
  const bool calm = settled(next.state);
  const Outcome done = outcome(next.state[2 * m], action, calm);
  if (!done.possible) return false;
  const uint32_t set = tables_.sets.unite(next.state[2 * m + 1], done.said);
  if (done.site == from[2 * m] && set == from[2 * m + 1] && done.breach == 0) return false;
  next.breach = done.breach;
  next.added = done.said;
  next.state[2 * m] = done.site;
  next.state[2 * m + 1] = set;
  if (calm && !settled(from))  // what the others still have to write is as good as written
    for (uint32_t y = 0; y < n_; ++y) {
      if (y == m || site(next.state, y).gone) continue;
      const Outcome rest = outcome(next.state[2 * y], Move{Event::sync_all, y, 0, y}, true);
      next.state[2 * y] = rest.site;
      next.state[2 * y + 1] = tables_.sets.unite(next.state[2 * y + 1], rest.said);
      if (rest.breach != 0) next.breach = rest.breach;
    }
  if (limits_.reduce_order && calm && cluster_.images == 0) forget_void(next.state, m);
  if (next.state == from && done.breach == 0) return false;
  next_.push_back(std::move(next));
  return true;
}

// Words that can do nothing any more need not be told apart from words that were never said. Not while a
// restart may make their receiver forget; nor where they tell how much a disk held.
void ReplicaSearch::forget_void(State& state, uint32_t m) {
  for (uint32_t y = 0; y < n_; ++y) {
    if (y == m) continue;
    state[2 * y + 1] = without_void(state[2 * y + 1], state[2 * m]);
    state[2 * m + 1] = without_void(state[2 * m + 1], state[2 * y]);
  }
}

uint32_t ReplicaSearch::without_void(uint32_t set, uint32_t number) {
  const uint64_t key = (static_cast<uint64_t>(set) << 32) | number;
  if (const uint32_t* known = without_.find(key)) return *known;
  std::vector<uint32_t> kept;
  for (uint32_t n : tables_.sets[set])
    if (!is_void(tables_.words[n], tables_.sites[number])) kept.push_back(n);
  const uint32_t result = tables_.sets.number(std::move(kept));
  without_.put(key, result);
  return result;
}

// A beat of `m` reaches everybody: false when somebody is not connected to it.
bool ReplicaSearch::all_heard_of(State& state, uint32_t m) {
  ReplicaStep step(config_, tables_, scratch_, false);
  const uint32_t word = tables_.words.number(step.beat(site(state, m)));
  for (uint32_t y = 0; y < n_; ++y) {
    if (y == m || site(state, y).gone) continue;
    const Outcome heard = outcome(state[2 * y], Move{Event::deliver, y, word, m}, false);
    if (!heard.possible) return false;
    state[2 * y] = heard.site;
    state[2 * y + 1] = tables_.sets.unite(state[2 * y + 1], heard.said);
  }
  return true;
}

// `m` calls `y`. Whether they are connected both judge, each by what it knows now. False: nothing came of it.
bool ReplicaSearch::connect(State& state, uint32_t m, uint32_t y) {
  if (site(state, m).gone || site(state, y).gone) return false;
  const auto linked = [&](uint32_t a, uint32_t b) {
    return site(state, a).replica.peer_boot(NodeId(b + 1)) == site(state, b).boot;
  };
  if (linked(m, y) && linked(y, m)) return false;
  const ReplicaStep step(config_, tables_, scratch_, false);
  const auto hears = [&](State& now, uint32_t who, uint32_t whom) {
    const uint32_t word = tables_.words.number(step.hello(site(now, whom), NodeId(who + 1)));
    const Outcome done = outcome(now[2 * who], Move{Event::deliver, who, word, whom}, settled(state));
    if (!done.possible) return false;
    now[2 * who] = done.site;
    now[2 * who + 1] = tables_.sets.unite(now[2 * who + 1], done.said);
    return true;
  };
  State met = state;
  if (!linked(y, m) && !hears(met, y, m)) return false;
  const bool let_in = site(met, y).replica.peer_boot(NodeId(m + 1)) == site(met, m).boot;
  if (let_in && !linked(m, y) && !hears(met, m, y)) return false;
  if (let_in && site(met, m).replica.peer_boot(NodeId(y + 1)) != site(met, y).boot) return false;
  state = met;
  return true;
}

void ReplicaSearch::attempt_connect(const State& from, uint32_t m, uint32_t y) {
  Successor next{Move{Event::connect, m, 0, y}, from, 0, 0};
  if (!connect(next.state, m, y) || next.state == from) return;
  next.added = next.state[2 * m + 1];
  if (limits_.reduce_order && settled(next.state) && cluster_.images == 0) {
    forget_void(next.state, m);
    forget_void(next.state, y);
  }
  next_.push_back(next);
}

// ---- what can happen in a state ----

void ReplicaSearch::expand_leader(const State& from, uint32_t m, const Spent& used) {
  if (used.count[Spent::commands] < cluster_.commands) attempt(from, Move{Event::command, m, 0, m});
  if (used.count[Spent::changes] < cluster_.changes.size())
    attempt(from, Move{Event::change, m, used.count[Spent::changes], m});
  if (used.count[Spent::tendings] < cluster_.tendings) attempt(from, Move{Event::tend, m, 0, m});
}

void ReplicaSearch::expand_faults(const State& from, uint32_t m, const Site& site, const Spent& used) {
  if (!site.queue.empty()) attempt(from, Move{Event::sync_next, m, 0, m});
  if ((cluster_.at_risk >> m & 1u) == 0) return;
  if (used.count[Spent::crashes] < cluster_.crashes) attempt(from, Move{Event::crash, m, 0, m});
  if (used.count[Spent::wipes] < cluster_.wipes) attempt(from, Move{Event::wipe, m, 0, m});
  if (used.count[Spent::images] < cluster_.images) {
    attempt(from, Move{Event::keep_image, m, 0, m});
    attempt(from, Move{Event::put_image_back, m, 0, m});
  }
}

void ReplicaSearch::expand(const State& from) {
  next_.clear();
  const Spent used(&from[2 * n_]);
  for (uint32_t m = 0; m < n_; ++m) {
    const Site& member = site(from, m);
    if (member.gone) continue;
    for (uint32_t y = 0; y < n_; ++y) {
      if (y == m) continue;
      if (cluster_.disks) attempt_connect(from, m, y);
      for (uint32_t n : tables_.sets[from[2 * y + 1]]) {
        const Word& word = tables_.words[n];
        if (word.kind == Word::Kind::message && word.to == member.node)
          attempt(from, Move{Event::deliver, m, n, y});
      }
    }
    if (used.count[Spent::elections] < cluster_.elections) attempt(from, Move{Event::run, m, 0, m});
    if (member.replica.role() == Role::leader) expand_leader(from, m, used);
    expand_faults(from, m, member, used);
    if (cluster_.retire_removed) {
      std::array<uint32_t, kSitesMax> sets{};
      for (uint32_t y = 0; y < n_; ++y) sets[y] = from[2 * y + 1];
      if (judge_.may_retire(std::span(sets.data(), n_), member.node))
        attempt(from, Move{Event::retire, m, 0, m});
    }
  }
}

std::string ReplicaSearch::look(const Successor& next, const State& from) {
  std::array<uint32_t, kSitesMax> sets{};
  for (uint32_t m = 0; m < n_; ++m) sets[m] = next.state[2 * m + 1];
  sets[next.action.member] = tables_.sets.unite(sets[next.action.member], next.added);
  const std::span<const uint32_t> said(sets.data(), n_);
  std::string problem;
  for (uint32_t m = 0; m < n_ && problem.empty(); ++m) {
    if (sets[m] == from[2 * m + 1]) continue;
    const std::vector<uint32_t>& now = tables_.sets[sets[m]];
    const std::vector<uint32_t>& before = tables_.sets[from[2 * m + 1]];
    std::vector<uint32_t> added;
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(added));
    problem = judge_.look(said, m, added);
  }
  if (!problem.empty() || next.action.what != Event::retire) return problem;
  std::vector<const Site*> sites;
  for (uint32_t m = 0; m < n_; ++m) sites.push_back(&site(next.state, m));
  return judge_.look_at_loss(said, sites);
}

bool ReplicaSearch::is_goal(const State& state) const {
  for (uint32_t m = 0; m < n_ && config_.goal_round > 0; ++m)
    if (!site(state, m).gone && site(state, m).replica.acceptor().promised().round >= config_.goal_round)
      return true;
  if (config_.goal_epoch == 0 || site(state, config_.goal_member).gone) return false;
  const ReplicaValue& replica = site(state, config_.goal_member).replica;
  return replica.membership().epoch >= config_.goal_epoch && replica.votes() &&
         replica.applied() >= replica.membership().base;
}

// ---- the beginning ----

void ReplicaSearch::start_member(State& state, uint32_t m, const Membership& told) {
  Site site;
  site.node = NodeId(m + 1);
  site.incarnation = Incarnation(11 + m);
  site.boot = 1000 * (m + 1);
  site.disk.identity.node = site.node;
  ReplicaStep step(config_, tables_, scratch_, settled(state));
  step.start(site, RecoveredState{}, told);
  DECREE_CHECK(step.breach.empty(), "a member starts without breaking anything");
  state[2 * m] = tables_.sites.number(site);
  state[2 * m + 1] = tables_.sets.number(step.said);
}

// Everything that was said arrives, in the order of members and words, until there is no news.
void ReplicaSearch::everything_arrives(State& state) {
  for (bool news = true; news;) {
    news = false;
    for (uint32_t m = 0; m < n_; ++m) {
      for (uint32_t y = 0; y < n_; ++y) {
        if (site(state, m).gone || site(state, y).gone || y == m) continue;
        if (cluster_.disks) news = connect(state, m, y) || news;
        for (uint32_t n : std::vector<uint32_t>(tables_.sets[state[2 * y + 1]])) {
          const Word& word = tables_.words[n];
          if (word.to != site(state, m).node || word.kind != Word::Kind::message) continue;
          const Outcome done = outcome(state[2 * m], Move{Event::deliver, m, n, y}, settled(state));
          const uint32_t set = tables_.sets.unite(state[2 * m + 1], done.said);
          news = news || (done.possible && (done.site != state[2 * m] || set != state[2 * m + 1]));
          if (done.possible) state[2 * m] = done.site, state[2 * m + 1] = set;
        }
        while (!site(state, m).queue.empty()) {
          const Outcome done = outcome(state[2 * m], Move{Event::sync_next, m, 0, m}, settled(state));
          state[2 * m] = done.site;
          state[2 * m + 1] = tables_.sets.unite(state[2 * m + 1], done.said);
          news = true;
        }
      }
    }
  }
}

// A17: the draft's stop signs name no epoch, and its epochs no base.
Membership ReplicaSearch::as_told(Membership membership) const {
  if (config_.draft == Draft::a17_any_stop_sign) membership.base = Slot(1);
  return membership;
}

void ReplicaSearch::play(State& state, Before before) {
  uint32_t leader = 0;
  for (uint32_t m = 0; m < n_; ++m)
    if (!site(state, m).gone && site(state, m).replica.role() == Role::leader) leader = m;
  if (before == Before::newcomer) {
    for (uint32_t m = 0; m < n_; ++m)
      if ((cluster_.silent >> m & 1u) != 0)
        start_member(state, m, as_told(site(state, leader).replica.membership()));
    return;
  }
  Spent used(&state[2 * n_]);
  Move action{Event::run, leader, 1, leader};  // the dead are not dead yet
  if (before == Before::elect_a && site(state, leader).replica.role() == Role::leader) return;  // alone
  if (before == Before::command) action.what = Event::command;
  if (before == Before::tend) action.what = Event::tend;
  if (before == Before::change) {
    action.what = Event::change;
    action.arg = used.count[Spent::changes]++;
  }
  used.pack(&state[2 * n_]);
  const Outcome done = outcome(state[2 * action.member], action, settled(state));
  DECREE_CHECK(done.possible && done.breach == 0, "what happens before the search is possible");
  state[2 * action.member] = done.site;
  state[2 * action.member + 1] = tables_.sets.unite(state[2 * action.member + 1], done.said);
  everything_arrives(state);
}

ReplicaSearch::State ReplicaSearch::begin() {
  State state{};
  for (uint32_t m = 0; m < n_; ++m) {
    Site nobody;
    nobody.node = NodeId(m + 1);
    nobody.gone = true;
    nobody.key = "gone " + std::to_string(m + 1);
    state[2 * m] = tables_.sites.number(nobody);
    if ((cluster_.silent >> m & 1u) == 0) start_member(state, m, first_);
  }
  everything_arrives(state);
  for (const Before before : cluster_.before) play(state, before);
  for (uint32_t m = 0; m < n_; ++m) {
    if ((cluster_.dead >> m & 1u) == 0) continue;
    Site dead = site(state, m);
    ReplicaStep(config_, tables_, scratch_, true).retire(dead);
    state[2 * m] = tables_.sites.number(dead);
  }
  for (uint32_t m = 0; m < n_ && limits_.reduce_order && settled(state) && cluster_.images == 0; ++m)
    forget_void(state, m);
  return state;
}

// ---- the search ----

Found ReplicaSearch::run() {
  const CatchChecks catching;
  const std::clock_t began = std::clock();
  Found found;
  State state = begin();
  states_.add(state.data());
  parents_.push_back(0);
  size_t level_end = 1;
  bool complete = true;
  const bool stops = config_.expect == Expect::reached || config_.expect == Expect::unreachable;
  for (size_t at = 0; at < states_.size() && found.breach.empty() && !(found.goal && stops); ++at) {
    if (at == level_end) {
      ++found.depth;
      level_end = states_.size();
    }
    state = load(at);
    expand(state);
    for (Successor& next : next_) {
      ++found.transitions;
      std::string problem = breaches_[next.breach];
      const bool is_new = states_.add(next.state.data());
      if (is_new) parents_.push_back(static_cast<uint32_t>(at));
      if (is_new && problem.empty()) problem = look(next, state);
      const bool goal = is_new && !found.goal && is_goal(next.state);
      found.goal = found.goal || goal;
      if (!problem.empty() || (goal && stops)) {
        found.breach = problem;
        found.story = story(static_cast<uint32_t>(at), next);
        break;
      }
    }
    if (states_.size() >= limits_.states_max ||
        (config_.states_max != 0 && states_.size() >= config_.states_max)) {
      complete = false;
      break;
    }
  }
  found.exhausted = complete && found.breach.empty() && !(found.goal && stops);
  found.states = states_.size();
  found.seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  return found;
}

std::string ReplicaSearch::tell(const Successor& step, const State& from) const {
  const auto name = [](uint32_t m) { return std::string(1, static_cast<char>('A' + m)); };
  const std::string who = name(step.action.member);
  const auto text = [&]() -> std::string {
    switch (step.action.what) {
      case Event::deliver:
        return who + " receives " + show(tables_.words[step.action.arg]) + ", of " + name(step.action.from);
      case Event::connect:
        return who + " calls " + name(step.action.from);
      case Event::run:
        return who + " suspects everybody and runs";
      case Event::command:
        return who + " proposes a command";
      case Event::change:
        return who + " is asked to change the members";
      case Event::tend:
        return who + " sees to the members by itself";
      case Event::sync_next:
        return who + "'s disk has the next record";
      case Event::crash:
        return who + " loses power and starts again from what is durable";
      case Event::wipe:
        return who + " loses its disk and starts with an empty one";
      case Event::keep_image:
        return "an image of " + who + "'s disk is kept";
      case Event::put_image_back:
        return "the image of " + who + "'s disk is put back, and it starts";
      case Event::retire:
        return "the operator wipes " + who;
      case Event::sync_all:
        return who + "'s disk has everything";
    }
    return "";
  }();
  std::string says;
  for (uint32_t n : tables_.sets[step.added])
    if (!tables_.sets.contains(from[2 * step.action.member + 1], n))
      says += (says.empty() ? "" : "; ") + show(tables_.words[n]);
  return says.empty() ? text : text + " => " + says;
}

std::vector<std::string> ReplicaSearch::story(uint32_t last, Successor breaking) {
  std::vector<uint32_t> path;
  for (uint32_t s = last; s != 0; s = parents_[s]) path.push_back(s);
  std::reverse(path.begin(), path.end());
  std::vector<std::string> lines;
  uint32_t before = 0;
  for (uint32_t s : path) {
    const State from = load(before);
    expand(from);
    const State to = load(s);
    const auto step =
        std::find_if(next_.begin(), next_.end(), [&](const Successor& n) { return n.state == to; });
    if (step != next_.end()) lines.push_back(tell(*step, from));
    before = s;
  }
  lines.push_back(tell(breaking, load(before)));
  return lines;
}

}  // namespace

Found search_replicas(const Config& config, const Limits& limits) {
  return ReplicaSearch(config, limits).run();
}

}  // namespace decree::lab::model
