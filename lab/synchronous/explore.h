// Every run of a round-based protocol for small n and f: inputs x faults, none left out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "decree/check.h"
#include "decree/synchronous.h"

namespace decree::lab {

enum class FaultModel : uint8_t {
  crash,             // in one round it reaches any subset of the others, and is silent from then on
  send_omission,     // lives on, but in every round any of its messages may be missing
  general_omission,  // and any message to it, too
};

// One run: who hears whom in which round. Processes are 0..n-1 here and p1..pn where a person reads.
struct Execution {
  uint32_t processes = 0;
  uint32_t rounds = 0;
  uint32_t inputs = 0;                // bit p = x_p
  std::vector<uint32_t> reached;      // [round * processes + p]: who receives p's broadcast, one bit each
  std::vector<uint32_t> crash_round;  // [p], from 1; 0 = never
  uint32_t faulty = 0;                // one bit each

  uint32_t input(uint32_t p) const { return inputs >> p & 1u; }
  uint32_t faults() const { return static_cast<uint32_t>(__builtin_popcount(faulty)); }
  bool crashed_by(uint32_t p, uint32_t round) const { return crash_round[p] != 0 && crash_round[p] <= round; }
  bool hears(uint32_t round, uint32_t from, uint32_t to) const {
    return from == to || (reached[(round - 1) * processes + from] >> to & 1u) != 0;
  }
};

// Calls `visit` with every execution of n processes, at most f of them faulty, and all 2^n inputs; stops when
// it returns false. The count for crashes is 2^n * sum_k C(n,k) (rounds * 2^(n-1))^k.
void for_each_execution(FaultModel model, uint32_t n, uint32_t f, uint32_t rounds,
                        const std::function<bool(const Execution&)>& visit);

struct RoundDecision {
  std::optional<uint32_t> value;
  uint32_t round = 0;
};

// `make(p, input)` builds process p. `watch(round, processes)` is called after every round.
template <class Make, class Watch>
std::vector<RoundDecision> run_rounds(const Execution& e, const Make& make, const Watch& watch) {
  using Protocol = decltype(make(0u, 0u));
  std::vector<Protocol> processes;
  for (uint32_t p = 0; p < e.processes; ++p) processes.push_back(make(p, e.input(p)));
  std::vector<RoundDecision> decisions(e.processes);
  std::vector<std::optional<typename Protocol::Message>> sent(e.processes);
  for (uint32_t round = 1; round <= e.rounds; ++round) {
    for (uint32_t p = 0; p < e.processes; ++p) {
      sent[p].reset();
      if (!e.crashed_by(p, round - 1) && !processes[p].stopped()) sent[p] = processes[p].message();
    }
    for (uint32_t p = 0; p < e.processes; ++p) {
      if (e.crashed_by(p, round) || processes[p].stopped()) continue;
      for (uint32_t q = 0; q < e.processes; ++q)
        if (sent[q] && e.hears(round, q, p)) processes[p].receive(q, *sent[q]);
      processes[p].end_round();
      if (processes[p].decision()) decisions[p] = RoundDecision{*processes[p].decision(), round};
    }
    watch(round, processes);
  }
  return decisions;
}
template <class Make>
std::vector<RoundDecision> run_rounds(const Execution& e, const Make& make) {
  return run_rounds(e, make, [](uint32_t, const auto&) {});
}

// What exhaustive search found.
struct RoundCount {
  uint64_t runs = 0;
  uint64_t disagree = 0;                        // two correct processes decided differently
  uint64_t disagree_uniform = 0;                // two processes did, faulty ones included
  uint64_t invalid = 0;                         // a value that nobody proposed
  uint64_t undecided = 0;                       // a correct process without a decision at the end
  std::vector<uint32_t> worst_round;            // [f']: latest decision of a correct process with f' faulty
  std::optional<Execution> first_disagreement;  // of correct processes
  std::optional<Execution> first_uniform_disagreement;  // of any two
};

void judge(const Execution& e, const std::vector<RoundDecision>& decisions, RoundCount* count);

template <class Make>
RoundCount explore(FaultModel model, uint32_t n, uint32_t f, uint32_t rounds, const Make& make) {
  RoundCount count;
  count.worst_round.assign(f + 1, 0);
  for_each_execution(model, n, f, rounds, [&](const Execution& e) {
    judge(e, run_rounds(e, make), &count);
    return true;
  });
  return count;
}

// "p1 crashes in round 1, reaching only p2; ..."
std::string show_faults(const Execution& e);
std::string show_inputs(const Execution& e);

// ---- no algorithm can do it in f rounds ----

// Executions joined whenever a surviving process has the same full-information view in both, and so must
// decide the same in both, whatever the algorithm. If the failure-free executions with all inputs 0 and with
// all inputs 1 hang together, no algorithm decides within these rounds.
struct ChainLink {
  Execution execution;
  uint32_t same_for = 0;  // the survivor that cannot tell it from the next one
};
struct Indistinguishability {
  uint64_t executions = 0;
  uint64_t views = 0;
  uint64_t components = 0;
  bool connected = false;
  std::vector<ChainLink> chain;  // from all-0 to all-1, shortest; empty when not connected
};
Indistinguishability indistinguishable_runs(uint32_t n, uint32_t f, uint32_t rounds);

// True when process `p` has the same view in both: the chain's certificate, checked link by link without the
// graph.
bool same_view(const Execution& a, const Execution& b, uint32_t p);

}  // namespace decree::lab
