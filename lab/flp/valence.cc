#include "lab/flp/valence.h"

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "lab/flp/adversary.h"

namespace decree::lab {

const char* valence_name(Valence v) {
  constexpr const char* kNames[] = {"undecidable", "0-valent", "1-valent", "bivalent"};
  return kNames[v & 3];
}

namespace {

// Event codes: n >= 0 delivers pool[n], -p lets process p begin a ballot.
class Graph {
 public:
  Graph(const KernelOptions& options, uint64_t limit) : options_(options), limit_(limit) {}

  ValenceGraph explore() {
    add(KernelWorld(options_), 0, 0);
    while (!frontier_.empty() && states_.size() <= limit_) {
      const auto [id, world] = std::move(frontier_.front());
      frontier_.pop_front();
      expand(id, world);
    }
    result_.exhausted = frontier_.empty();
    result_.configurations = states_.size();
    result_.edges = edges_.size();
    propagate();
    classify();
    return std::move(result_);
  }

 private:
  struct State {
    uint32_t parent = 0;
    int32_t event = 0;
    Valence valence = 0;
  };
  struct Edge {
    uint32_t from = 0;
    uint32_t to = 0;
    int32_t event = 0;
    uint32_t process = 0;  // that takes the step
  };

  uint32_t add(KernelWorld world, uint32_t parent, int32_t event) {
    const auto fresh = static_cast<uint32_t>(states_.size());
    const auto [it, is_new] = ids_.emplace(world.configuration(false), fresh);
    if (!is_new) return it->second;
    State state{parent, event, 0};
    for (uint32_t p = 1; p <= world.processes(); ++p)
      if (const auto d = world.decision(p)) state.valence |= static_cast<Valence>(1u << *d);
    if (state.valence == kBivalent) ++result_.disagreements;
    states_.push_back(state);
    frontier_.emplace_back(fresh, std::move(world));
    return fresh;
  }

  void expand(uint32_t id, const KernelWorld& world) {
    for (uint32_t p = 1; p <= world.processes(); ++p) {
      if (!world.may_start(p)) continue;
      KernelWorld next = world;
      next.start(p);
      const int32_t event = -static_cast<int32_t>(p);
      edges_.push_back(Edge{id, add(std::move(next), id, event), event, p});
    }
    for (size_t i = 0; i < world.pool().size(); ++i) {
      KernelWorld next = world;
      next.deliver(i);
      const auto event = static_cast<int32_t>(i);
      edges_.push_back(Edge{id, add(std::move(next), id, event), event, world.pool()[i].to});
    }
  }

  // Backwards from the decided configurations.
  void propagate() {
    std::vector<std::vector<uint32_t>> before(states_.size());
    for (const Edge& e : edges_) before[e.to].push_back(e.from);
    std::deque<uint32_t> work;
    for (uint32_t s = 0; s < states_.size(); ++s)
      if (states_[s].valence != 0) work.push_back(s);
    while (!work.empty()) {
      const uint32_t s = work.front();
      work.pop_front();
      for (const uint32_t b : before[s]) {
        const auto joined = static_cast<Valence>(states_[b].valence | states_[s].valence);
        if (joined == states_[b].valence) continue;
        states_[b].valence = joined;
        work.push_back(b);
      }
    }
    for (const State& s : states_) ++result_.by_valence[s.valence];
    result_.initial = states_[0].valence;
  }

  void classify() {
    std::sort(edges_.begin(), edges_.end(), [](const Edge& a, const Edge& b) { return a.from < b.from; });
    for (size_t i = 0; i < edges_.size();) {
      size_t end = i;
      while (end < edges_.size() && edges_[end].from == edges_[i].from) ++end;
      if (states_[edges_[i].from].valence == kBivalent) classify_bivalent(i, end);
      i = end;
    }
  }

  void classify_bivalent(size_t begin, size_t end) {
    bool settles[4] = {};
    std::set<uint32_t> zero_at;
    std::set<uint32_t> one_at;
    for (size_t i = begin; i < end; ++i) {
      const Valence v = states_[edges_[i].to].valence;
      settles[v] = true;
      if (v == kZeroValent) zero_at.insert(edges_[i].process);
      if (v == kOneValent) one_at.insert(edges_[i].process);
    }
    if (settles[kBivalent]) return;
    ++result_.critical;
    if (!settles[kZeroValent] || !settles[kOneValent]) return;
    ++result_.critical_with_fork;
    const bool one_process = zero_at.size() == 1 && zero_at == one_at;
    if (!one_process) return;
    if (result_.critical_at_one_process++ == 0) tell(begin, end, *zero_at.begin());
  }

  void tell(size_t begin, size_t end, uint32_t process) {
    std::vector<int32_t> way;
    for (uint32_t s = edges_[begin].from; s != 0; s = states_[s].parent) way.push_back(states_[s].event);
    KernelWorld world(options_);
    const auto name = [&world](int32_t event) {
      return event < 0 ? fmt::format("p{} begins a ballot", -event)
                       : "deliver " + describe(world.pool()[static_cast<size_t>(event)]);
    };
    for (auto it = way.rbegin(); it != way.rend(); ++it) {
      result_.critical_story.push_back(name(*it));
      *it < 0 ? world.start(static_cast<uint32_t>(-*it)) : world.deliver(static_cast<size_t>(*it));
    }
    result_.critical_story.emplace_back("-- here nothing is settled, and any next step settles it:");
    for (size_t i = begin; i < end; ++i)
      result_.critical_story.push_back(
          fmt::format("   {} -> {}", name(edges_[i].event), valence_name(states_[edges_[i].to].valence)));
    result_.critical_story.push_back(fmt::format(
        "-- both outcomes hang on the order in which p{} takes its steps: while p{} is silent, nobody "
        "else can tell which it is",
        process, process));
  }

  const KernelOptions& options_;
  uint64_t limit_;
  std::unordered_map<std::string, uint32_t> ids_;
  std::vector<State> states_;
  std::vector<Edge> edges_;
  std::deque<std::pair<uint32_t, KernelWorld>> frontier_;
  ValenceGraph result_;
};

}  // namespace

ValenceGraph explore_valence(const KernelOptions& options, uint64_t configurations_max) {
  return Graph(options, configurations_max).explore();
}

Valence witnessed_valence(const KernelWorld& world) {
  Valence found = 0;
  const uint32_t n = world.processes();
  for (uint32_t silent = 0; silent <= n; ++silent) {
    for (uint32_t favourite = 1; favourite <= n && found != kBivalent; ++favourite) {
      if (favourite == silent) continue;
      KernelWorld copy = world;
      if (const auto d = let_win(copy, favourite, silent, 40ULL * n)) found |= static_cast<Valence>(1u << *d);
    }
  }
  return found;
}

std::vector<InitialStep> walk_initial_configurations(uint32_t voters) {
  std::vector<InitialStep> steps;
  // From all 0 to all 1, one input at a time.
  for (uint32_t ones = 0; ones <= voters; ++ones) {
    KernelOptions o;
    o.voters = voters;
    o.ballots_max = 1;
    o.proposers = 0b110;  // p1 and p2
    o.nacks = false;
    InitialStep step;
    for (uint32_t p = 0; p < voters; ++p) {
      o.inputs.push_back(p < ones ? 1 : 0);
      step.inputs += p < ones ? '1' : '0';
    }
    const ValenceGraph g = explore_valence(o, 5000000);
    step.valence = g.initial;
    step.configurations = g.configurations;
    steps.push_back(step);
  }
  return steps;
}

namespace {

bool is_bivalent(const KernelWorld& world) {
  return !world.any_decision() && witnessed_valence(world) == kBivalent;
}

// The step that is due for `p`: its oldest message, else its clock.
struct Due {
  uint32_t process = 0;
  uint64_t message = 0;  // 0 = clock
};

void play(KernelWorld& world, const Due& due, LemmaResult* result) {
  ++result->events;
  if (due.message == 0) return world.tick(due.process);
  const auto& pool = world.pool();
  for (size_t i = 0; i < pool.size(); ++i)
    if (pool[i].id == due.message) {
      ++result->delivered;
      return world.deliver(i);
    }
}

// Breadth first over the steps of others that are possible before `due`.
bool play_with_detour(KernelWorld& world, const Due& due, uint32_t detour_max, LemmaResult* result) {
  struct Node {
    KernelWorld world;
    LemmaResult counted;
    uint32_t depth = 0;
  };
  std::deque<Node> queue;
  queue.push_back(Node{world, *result, 0});
  std::set<std::string> seen;
  while (!queue.empty()) {
    Node node = std::move(queue.front());
    queue.pop_front();
    KernelWorld after = node.world;
    LemmaResult counted = node.counted;
    play(after, due, &counted);
    if (is_bivalent(after)) {
      world = std::move(after);
      *result = counted;
      result->direct += node.depth == 0;
      result->longest_detour = std::max<uint64_t>(result->longest_detour, node.depth);
      return true;
    }
    if (node.depth == detour_max) continue;
    std::vector<Due> others;
    for (const PoolMessage& m : node.world.pool())
      if (m.id != due.message) others.push_back(Due{m.to, m.id});
    for (uint32_t p = 1; p <= node.world.processes(); ++p)
      if (due.message != 0 || p != due.process) others.push_back(Due{p, 0});
    for (const Due& other : others) {
      Node next{node.world, node.counted, node.depth + 1};
      play(next.world, other, &next.counted);
      if (next.world.any_decision() || !seen.insert(next.world.quotient()).second) continue;
      queue.push_back(std::move(next));
    }
  }
  return false;
}

}  // namespace

LemmaResult keep_bivalent(KernelWorld world, uint64_t stages, uint32_t detour_max) {
  LemmaResult result;
  while (result.stages < stages && !result.stuck) {
    Due due;
    due.process = static_cast<uint32_t>(result.stages % world.processes()) + 1;
    for (const PoolMessage& m : world.pool())
      if (m.to == due.process) {
        due.message = m.id;
        break;
      }
    // A clock with nothing to do is a step, too: it need not begin a ballot while one of its own is under
    // way.
    if (due.message == 0 && world.process(due.process).active()) {
      ++result.stages;
      ++result.events;
      ++result.direct;
      continue;
    }
    result.stuck = !play_with_detour(world, due, detour_max, &result);
    if (!result.stuck) ++result.stages;
  }
  result.rounds = world.rounds();
  result.decided = world.any_decision();
  return result;
}

namespace {

uint64_t hash_of(const std::string& bytes) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

struct Moment {
  uint64_t step = 0;
  uint64_t rounds = 0;
  uint64_t last_id = 0;  // newest message under way
  uint64_t hash = 0;
};

}  // namespace

Lasso find_lasso(const KernelOptions& options, uint64_t steps_max) {
  Lasso lasso;
  KernelWorld world(options);
  PoolAdversary adversary(world.processes(), 0);
  std::unordered_map<std::string, Moment> moments;
  std::vector<uint32_t> stepped;  // who took the step
  std::vector<KernelWorld> worlds;
  while (world.steps() < steps_max) {
    adversary.watch(world);
    const std::string key = world.quotient() + adversary.state(world.quotient_rounds());
    const uint64_t newest = world.pool().empty() ? 0 : world.pool().back().id;
    const auto [it, fresh] =
        moments.emplace(key, Moment{world.steps(), world.rounds(), newest, hash_of(key)});
    if (!fresh) {
      lasso.found = true;
      lasso.head_step = it->second.step;
      lasso.length_steps = world.steps() - it->second.step;
      lasso.length_rounds = world.rounds() - it->second.rounds;
      lasso.hash_at_head = it->second.hash;
      lasso.hash_at_end = hash_of(key);
      const std::set<uint32_t> alive(stepped.begin() + static_cast<ptrdiff_t>(it->second.step),
                                     stepped.end());
      const bool all_delivered = world.pool().empty() || world.pool().front().id > it->second.last_id;
      lasso.fair = all_delivered && alive.size() == world.processes();
      for (size_t i = it->second.step; i < worlds.size(); ++i)
        lasso.bivalent_configurations += witnessed_valence(worlds[i]) == kBivalent;
      return lasso;
    }
    worlds.push_back(world);
    if (const auto index = adversary.choose(world)) {
      const PoolMessage m = world.pool()[*index];
      stepped.push_back(m.to);
      adversary.delivered(m);
      world.deliver(*index);
    } else {
      const uint32_t p = adversary.next_clock();
      stepped.push_back(p);
      world.tick(p);
    }
  }
  return lasso;
}

}  // namespace decree::lab
