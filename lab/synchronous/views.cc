// The chain of indistinguishable runs. A full-information view holds all that any algorithm could know.
#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "lab/synchronous/explore.h"

namespace decree::lab {

namespace {

// Views by number: equal views get the same number.
class ViewTable {
 public:
  // The views of all processes after the last round; of a crashed one, 0.
  std::vector<uint32_t> of(const Execution& e) {
    std::vector<uint32_t> now(e.processes);
    for (uint32_t p = 0; p < e.processes; ++p) now[p] = number({0xffffffffu, p, e.input(p)});
    for (uint32_t round = 1; round <= e.rounds; ++round) {
      std::vector<uint32_t> next(e.processes, 0);
      for (uint32_t p = 0; p < e.processes; ++p) {
        if (e.crashed_by(p, round)) continue;
        std::vector<uint32_t> view = {p};
        for (uint32_t q = 0; q < e.processes; ++q) {
          const bool heard = !e.crashed_by(q, round - 1) && e.hears(round, q, p);
          view.push_back(heard ? now[q] : 0);
        }
        next[p] = number(view);
      }
      now = std::move(next);
    }
    return now;
  }
  size_t size() const { return numbers_.size(); }

 private:
  uint32_t number(const std::vector<uint32_t>& view) {
    return numbers_.emplace(view, static_cast<uint32_t>(numbers_.size() + 1)).first->second;
  }
  std::map<std::vector<uint32_t>, uint32_t> numbers_;
};

uint32_t root(std::vector<uint32_t>& parent, uint32_t x) {
  while (parent[x] != x) x = parent[x] = parent[parent[x]];
  return x;
}

// A survivor of both that sees the same in both.
struct Shared {
  std::vector<std::vector<uint32_t>> views;              // [execution][process]
  std::map<uint32_t, std::vector<uint32_t>> executions;  // by the view of a survivor
};

std::vector<ChainLink> shortest_chain(const std::vector<Execution>& all, const Shared& shared, uint32_t from,
                                      uint32_t to) {
  struct Step {
    uint32_t before = 0;
    uint32_t same_for = 0;
    bool seen = false;
  };
  std::vector<Step> steps(all.size());
  std::map<uint32_t, bool> used;
  std::deque<uint32_t> queue = {to};  // backwards, so that the links come out in order
  steps[to].seen = true;
  while (!queue.empty() && !steps[from].seen) {
    const uint32_t at = queue.front();
    queue.pop_front();
    for (uint32_t p = 0; p < all[at].processes; ++p) {
      const uint32_t view = shared.views[at][p];
      if (view == 0 || used[view]) continue;
      used[view] = true;
      for (const uint32_t other : shared.executions.at(view)) {
        if (steps[other].seen) continue;
        steps[other] = Step{at, p, true};
        queue.push_back(other);
      }
    }
  }
  std::vector<ChainLink> chain;
  for (uint32_t at = from; at != to; at = steps[at].before)
    chain.push_back(ChainLink{all[at], steps[at].same_for});
  chain.push_back(ChainLink{all[to], 0});
  return chain;
}

}  // namespace

Indistinguishability indistinguishable_runs(uint32_t n, uint32_t f, uint32_t rounds) {
  Indistinguishability result;
  ViewTable table;
  std::vector<Execution> all;
  Shared shared;
  uint32_t zeros = 0;
  uint32_t ones = 0;
  for_each_execution(FaultModel::crash, n, f, rounds, [&](const Execution& e) {
    const auto number = static_cast<uint32_t>(all.size());
    if (e.faulty == 0 && e.inputs == 0) zeros = number;
    if (e.faulty == 0 && e.inputs == (1u << n) - 1) ones = number;
    all.push_back(e);
    shared.views.push_back(table.of(e));
    for (const uint32_t view : shared.views.back())
      if (view != 0) shared.executions[view].push_back(number);
    return true;
  });
  std::vector<uint32_t> parent(all.size());
  std::iota(parent.begin(), parent.end(), 0u);
  for (const auto& [view, executions] : shared.executions)
    for (const uint32_t e : executions) parent[root(parent, e)] = root(parent, executions.front());
  for (uint32_t e = 0; e < all.size(); ++e) result.components += root(parent, e) == e ? 1 : 0;
  result.executions = all.size();
  result.views = shared.executions.size();
  result.connected = root(parent, zeros) == root(parent, ones);
  if (result.connected) result.chain = shortest_chain(all, shared, zeros, ones);
  return result;
}

bool same_view(const Execution& a, const Execution& b, uint32_t p) {
  ViewTable table;
  const uint32_t in_a = table.of(a)[p];
  return in_a != 0 && in_a == table.of(b)[p];
}

}  // namespace decree::lab
