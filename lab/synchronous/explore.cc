#include "lab/synchronous/explore.h"

#include <fmt/format.h>

namespace decree::lab {

namespace {

Execution blank(uint32_t n, uint32_t rounds, uint32_t inputs) {
  Execution e;
  e.processes = n;
  e.rounds = rounds;
  e.inputs = inputs;
  e.reached.assign(static_cast<size_t>(n) * rounds, (1u << n) - 1);
  e.crash_round.assign(n, 0);
  return e;
}

// Spreads the bits of `subset` over all processes but p.
uint32_t others(uint32_t subset, uint32_t p) {
  const uint32_t low = subset & ((1u << p) - 1);
  return low | (subset >> p) << (p + 1);
}

class Enumerator {
 public:
  Enumerator(FaultModel model, uint32_t f, const std::function<bool(const Execution&)>& visit)
      : model_(model), f_(f), visit_(visit) {}

  // Decides the fate of process p and of those after it. False: stopped.
  bool from(Execution& e, uint32_t p) {
    if (p == e.processes) return visit_(e);
    if (!from(e, p + 1)) return false;
    if (e.faults() == f_) return true;
    e.faulty |= 1u << p;
    const bool more = model_ == FaultModel::crash ? crashes(e, p) : omissions(e, p, 1);
    e.faulty &= ~(1u << p);
    return more;
  }

 private:
  bool crashes(Execution& e, uint32_t p) {
    const uint32_t subsets = 1u << (e.processes - 1);
    for (uint32_t round = 1; round <= e.rounds; ++round) {
      e.crash_round[p] = round;
      for (uint32_t subset = 0; subset < subsets; ++subset) {
        const std::vector<uint32_t> before = e.reached;
        e.reached[(round - 1) * e.processes + p] = others(subset, p);
        for (uint32_t later = round; later < e.rounds; ++later) e.reached[later * e.processes + p] = 0;
        if (!from(e, p + 1)) return false;
        e.reached = before;
      }
    }
    e.crash_round[p] = 0;
    return true;
  }

  bool omissions(Execution& e, uint32_t p, uint32_t round) {
    if (round > e.rounds) return from(e, p + 1);
    const uint32_t subsets = 1u << (e.processes - 1);
    const uint32_t received = model_ == FaultModel::general_omission ? subsets : 1;
    const std::vector<uint32_t> before = e.reached;
    for (uint32_t sent = 0; sent < subsets; ++sent) {
      for (uint32_t missed = 0; missed < received; ++missed) {
        e.reached = before;
        // Of two faulty processes either may be the one that omits: only what still arrives can go missing.
        e.reached[(round - 1) * e.processes + p] &= ~others(sent, p);
        for (uint32_t q = 0; q < e.processes; ++q)
          if ((others(missed, p) >> q & 1u) != 0) e.reached[(round - 1) * e.processes + q] &= ~(1u << p);
        if (!omissions(e, p, round + 1)) return false;
      }
    }
    e.reached = before;
    return true;
  }

  FaultModel model_;
  uint32_t f_;
  const std::function<bool(const Execution&)>& visit_;
};

}  // namespace

void for_each_execution(FaultModel model, uint32_t n, uint32_t f, uint32_t rounds,
                        const std::function<bool(const Execution&)>& visit) {
  DECREE_CHECK(n >= 1 && n <= 8 && f < n && rounds >= 1, "exhaustive search is for small groups");
  Enumerator enumerator(model, f, visit);
  for (uint32_t inputs = 0; inputs < 1u << n; ++inputs) {
    Execution e = blank(n, rounds, inputs);
    if (!enumerator.from(e, 0)) return;
  }
}

void judge(const Execution& e, const std::vector<RoundDecision>& decisions, RoundCount* count) {
  ++count->runs;
  uint32_t correct_values = 0;  // bit v: a correct process decided v
  uint32_t all_values = 0;
  bool invalid = false;
  bool undecided = false;
  for (uint32_t p = 0; p < e.processes; ++p) {
    const bool correct = (e.faulty >> p & 1u) == 0;
    if (!decisions[p].value) {
      undecided = undecided || correct;
      continue;
    }
    const uint32_t v = *decisions[p].value;
    const uint32_t all_inputs = (1u << e.processes) - 1;
    if (v == 0 ? e.inputs == all_inputs : e.inputs == 0) invalid = true;
    all_values |= 1u << v;
    if (!correct) continue;
    correct_values |= 1u << v;
    uint32_t& worst = count->worst_round[e.faults()];
    worst = std::max(worst, decisions[p].round);
  }
  if (invalid) ++count->invalid;
  if (undecided) ++count->undecided;
  if (correct_values == 3) {
    if (count->disagree++ == 0) count->first_disagreement = e;
  }
  if (all_values == 3) {
    if (count->disagree_uniform++ == 0) count->first_uniform_disagreement = e;
  }
}

namespace {

std::string names(uint32_t mask, uint32_t n) {
  std::string out;
  for (uint32_t p = 0; p < n; ++p)
    if ((mask >> p & 1u) != 0) out += fmt::format("{}p{}", out.empty() ? "" : ",", p + 1);
  return out.empty() ? "nobody" : out;
}

}  // namespace

std::string show_inputs(const Execution& e) {
  std::string out;
  for (uint32_t p = 0; p < e.processes; ++p) out += e.input(p) != 0 ? '1' : '0';
  return out;
}

std::string show_faults(const Execution& e) {
  std::string out;
  const auto add = [&out](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  const uint32_t everybody = (1u << e.processes) - 1;
  for (uint32_t p = 0; p < e.processes; ++p) {
    if ((e.faulty >> p & 1u) == 0) continue;
    if (e.crash_round[p] != 0) {
      const uint32_t to = e.reached[(e.crash_round[p] - 1) * e.processes + p] & ~(1u << p);
      add(fmt::format("p{} crashes in round {}, reaching {}", p + 1, e.crash_round[p],
                      to == (everybody & ~(1u << p)) ? "all" : names(to, e.processes)));
      continue;
    }
    for (uint32_t round = 1; round <= e.rounds; ++round) {
      const uint32_t to = e.reached[(round - 1) * e.processes + p] & ~(1u << p);
      if (to != (everybody & ~(1u << p)))
        add(fmt::format("p{} in round {} reaches {}", p + 1, round, names(to, e.processes)));
    }
  }
  return out.empty() ? "no fault" : out;
}

}  // namespace decree::lab
