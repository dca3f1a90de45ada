// decree-lab synchronous: every claim of the notes about synchronous systems, by exhaustive search for small
// groups.

#include <fmt/format.h>

#include "lab/claims.h"
#include "lab/experiments.h"
#include "lab/synchronous/explore.h"
#include "lab/synchronous/protocols.h"
#include "lab/synchronous/timing.h"

namespace decree::lab {

namespace {

using synchronous::FloodSet;

struct Size {
  uint32_t n;
  uint32_t f;
};

void flood_table(Claims& claims) {
  claims.out() << "FloodSet, crashes in mid-broadcast, every run (M8, M9):\n"
                  "   n  f  rounds      runs  disagree\n";
  for (const Size s : {Size{3, 1}, Size{4, 1}, Size{4, 2}}) {
    for (const uint32_t rounds : {s.f, s.f + 1}) {
      const RoundCount c = explore(FaultModel::crash, s.n, s.f, rounds, make_flood(rounds));
      claims.out() << fmt::format("  {:>2} {:>2} {:>7} {:>9} {:>9}\n", s.n, s.f, rounds, c.runs, c.disagree);
      if (rounds > s.f) {
        claims.claim(c.disagree_uniform + c.invalid + c.undecided == 0,
                     fmt::format("n={} f={}: f+1 rounds are enough, in all {} runs", s.n, s.f, c.runs));
      } else {
        claims.claim(c.disagree > 0, fmt::format("n={} f={}: f rounds are not, {} runs violate agreement",
                                                 s.n, s.f, c.disagree));
      }
    }
  }
}

std::string braces(const std::set<uint32_t>& values) {
  std::string out;
  for (const uint32_t v : values) out += fmt::format("{}{}", out.empty() ? "" : ",", v);
  return "{" + out + "}";
}

void tell_contradiction(uint32_t n, uint32_t f, Claims& claims) {
  const RoundCount count = explore(FaultModel::crash, n, f, f, make_flood(f));
  if (!count.first_disagreement) {
    claims.claim(false, "a violating schedule with f rounds exists");
    return;
  }
  const Execution& e = *count.first_disagreement;
  claims.out() << fmt::format(
      "\nThe proof by contradiction, run (n={}, f={}, only f={} rounds). inputs {}; {}\n", n, f, f,
      show_inputs(e), show_faults(e));
  const auto decisions = run_rounds(e, make_flood(f), [&](uint32_t round, const auto& processes) {
    claims.out() << fmt::format("  after round {}:", round);
    for (uint32_t p = 0; p < n; ++p) {
      if (e.crashed_by(p, round)) {
        claims.out() << fmt::format("  p{} crashed", p + 1);
      } else {
        claims.out() << fmt::format("  Values_{} = {}", p + 1, braces(processes[p].values()));
      }
    }
    claims.out() << '\n';
  });
  uint32_t i = 0;
  uint32_t j = 0;
  for (uint32_t p = 0; p < n; ++p) {
    if (!decisions[p].value || (e.faulty >> p & 1u) != 0) continue;
    (*decisions[p].value == 0 ? i : j) = p;
  }
  claims.out() << fmt::format(
      "  p{} has v=0 and p{} has not. Whoever passed v on to p{} without p{} learning it had to crash: one "
      "crash\n"
      "  in each of the {} rounds. In a run of f+1 rounds the same needs f+1={} crashes, and there are only "
      "{}.\n",
      i + 1, j + 1, i + 1, j + 1, f, f + 1, f);
  const RoundCount enough = explore(FaultModel::crash, n, f, f + 1, make_flood(f + 1));
  claims.claim(enough.disagree == 0,
               fmt::format("with f+1={} rounds none of {} runs has such a pair", f + 1, enough.runs));
}

void early_table(Claims& claims) {
  claims.out() << "\nEarly deciding, min(f'+2, f+1) rounds when f' really crash, every run:\n"
                  "   n  f      runs  uniform violations  latest decision by f'\n";
  uint64_t runs = 0;
  for (const Size s : {Size{3, 1}, Size{4, 1}, Size{4, 2}}) {
    const RoundCount c = explore(FaultModel::crash, s.n, s.f, s.f + 1, make_early(s.n, s.f + 1));
    runs += c.runs;
    std::string worst;
    bool bound = true;
    for (uint32_t k = 0; k <= s.f; ++k) {
      worst += fmt::format(" {}:{}", k, c.worst_round[k]);
      bound = bound && c.worst_round[k] == std::min(k + 2, s.f + 1);
    }
    claims.out() << fmt::format("  {:>2} {:>2} {:>9} {:>19}  {}\n", s.n, s.f, c.runs, c.disagree_uniform,
                                worst);
    claims.claim(
        bound && c.disagree_uniform + c.invalid + c.undecided == 0,
        fmt::format("n={} f={}: uniform agreement, and the latest decision is min(f'+2, f+1)", s.n, s.f));
  }
  claims.out() << fmt::format("  {} runs in all\n", runs);
}

void omission_table(Claims& claims) {
  claims.out()
      << "\nOmissions: a faulty process lives on, but any of its messages may be missing (f+1 rounds):\n"
         "   n  f  model               protocol     runs  correct disagree  any disagree\n";
  for (const Size s : {Size{3, 1}, Size{4, 1}}) {
    for (const FaultModel model : {FaultModel::send_omission, FaultModel::general_omission}) {
      const char* name = model == FaultModel::send_omission ? "send omission" : "general omission";
      const auto row = [&](const char* protocol, const RoundCount& c) {
        claims.out() << fmt::format("  {:>2} {:>2}  {:<18}  {:<9} {:>7} {:>17} {:>13}\n", s.n, s.f, name,
                                    protocol, c.runs, c.disagree, c.disagree_uniform);
      };
      const RoundCount flood = explore(model, s.n, s.f, s.f + 1, make_flood(s.f + 1));
      row("FloodSet", flood);
      const RoundCount relay = explore(model, s.n, s.f, s.f + 1, make_relay(s.f + 1));
      row("RelayOnce", relay);
      claims.claim(flood.disagree > 0 && relay.disagree == 0,
                   fmt::format("n={}: {} break FloodSet; passing a value on only when it is new bears them",
                               s.n, name));
      if (flood.first_disagreement && s.n == 3)
        claims.out() << fmt::format("    FloodSet fails first with inputs {}: {}\n",
                                    show_inputs(*flood.first_disagreement),
                                    show_faults(*flood.first_disagreement));
    }
  }
}

void chain_table(uint32_t n, uint32_t f, uint32_t rounds, Claims& claims) {
  claims.out()
      << "\nAny algorithm: runs joined when a survivor cannot tell them apart (it must decide the same "
         "in both):\n"
         "   n  f  rounds  executions  components  all-0 ~ all-1  meaning\n";
  struct Row {
    uint32_t n, f, rounds;
    bool connected;
  };
  for (const Row& r : {Row{3, 1, 1, true}, Row{3, 1, 2, false}, Row{4, 1, 1, true}, Row{4, 2, 1, true},
                       Row{4, 2, 2, true}, Row{4, 2, 3, false}, Row{2, 1, 1, false}}) {
    const Indistinguishability g = indistinguishable_runs(r.n, r.f, r.rounds);
    claims.out() << fmt::format("  {:>2} {:>2} {:>7} {:>11} {:>11}  {:<13}  {}\n", r.n, r.f, r.rounds,
                                g.executions, g.components, g.connected ? "connected" : "apart",
                                g.connected       ? "impossible for every algorithm"
                                : r.rounds <= r.f ? "possible: the bound needs f <= n-2"
                                                  : "FloodSet does it");
    bool chain = true;
    for (size_t i = 0; i + 1 < g.chain.size(); ++i)
      chain = chain && same_view(g.chain[i].execution, g.chain[i + 1].execution, g.chain[i].same_for);
    if (g.connected != r.connected || !chain)
      claims.claim(false, fmt::format("n={} f={} rounds={} is {}connected by a chain of equal views", r.n,
                                      r.f, r.rounds, r.connected ? "" : "not "));
  }
  const Indistinguishability g = indistinguishable_runs(n, f, rounds);
  claims.out() << fmt::format("\nThe chain for n={} f={} and {} round(s): {} runs\n", n, f, rounds,
                              g.chain.size());
  for (size_t i = 0; i < g.chain.size(); ++i) {
    const ChainLink& link = g.chain[i];
    const std::string why = i + 1 < g.chain.size()
                                ? fmt::format("p{} cannot tell it from the next", link.same_for + 1)
                                : "must decide 1";
    claims.out() << fmt::format("  {:>3}. inputs {}  {:<44} {}{}\n", i + 1, show_inputs(link.execution),
                                show_faults(link.execution), i == 0 ? "must decide 0; " : "", why);
  }
  claims.claim(g.connected,
               "0 = decision of the first run = ... = decision of the last run = 1: a contradiction for "
               "any algorithm");
}

void timing(Claims& claims) {
  claims.out()
      << "\nThe model as a world with clocks (delay <= 10 ms, step <= 1 ms, drift <= 100 ppm; n=3, f=1):\n";
  uint64_t clean = 0;
  uint64_t broken = 0;
  int64_t slack = 1 << 30;
  int64_t length = 0;
  for_each_execution(FaultModel::crash, 3, 1, 2, [&](const Execution& e) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      TimedOptions o;
      o.execution = e;
      o.seed = seed;
      const TimedResult r = run_timed(o);
      RoundCount c;
      c.worst_round.assign(2, 0);
      judge(e, r.decisions, &c);
      const bool ok = r.broken_bounds.empty() && c.disagree_uniform + c.undecided + c.invalid == 0;
      ++(ok ? clean : broken);
      slack = std::min(slack, r.slack_us_min);
      length = r.round_us;
    }
    return true;
  });
  claims.out() << fmt::format(
      "  rounds of {} us by drifting clocks, {} runs; the tightest message came {} us before "
      "the end of its round\n",
      length, clean + broken, slack);
  claims.claim(broken == 0 && clean > 0, "while the bounds hold, consensus is solved in every run (M7)");

  TimedOptions o;
  uint64_t late_runs = 0;
  uint64_t disagree = 0;
  std::optional<TimedOptions> example;
  for_each_execution(FaultModel::crash, 3, 1, 2, [&](const Execution& e) {
    for (uint32_t from = 0; from < 3; ++from)
      for (uint32_t to = 0; to < 3; ++to)
        for (uint32_t round = 1; round <= 2; ++round) {
          if (from == to || e.crashed_by(from, round - 1) || !e.hears(round, from, to)) continue;
          o.execution = e;
          o.late = LateMessage{from, to, round, 30000};
          const TimedResult r = run_timed(o);
          RoundCount c;
          c.worst_round.assign(2, 0);
          judge(e, r.decisions, &c);
          ++late_runs;
          if (c.disagree == 0) continue;
          if (disagree++ == 0) example = o;
        }
    return true;
  });
  claims.claim(disagree > 0,
               fmt::format("one message of 30 ms is enough: {} of {} runs with a single late message "
                           "violate agreement",
                           disagree, late_runs));
  if (!example) return;
  const TimedResult r = run_timed(*example);
  claims.out() << fmt::format("  inputs {}; {}\n", show_inputs(example->execution),
                              show_faults(example->execution));
  for (const std::string& line : r.story) claims.out() << "    " << line << '\n';
  for (const std::string& line : r.broken_bounds)
    claims.out() << "  FAILED RUN, bound broken: " << line << '\n';
  claims.out() << "  Paxos knows no such bound: decree-lab synod keeps agreement whatever the delays (M10)\n";
}

}  // namespace

int synchronous_command(const SynchronousCommand& command, std::ostream& out) {
  Claims claims(out);
  const auto wanted = [&](const char* part) { return command.part == "all" || command.part == part; };
  const uint32_t rounds = command.rounds == 0 ? command.faults : command.rounds;
  if (wanted("flood")) flood_table(claims);
  if (wanted("contradiction")) tell_contradiction(command.processes, command.faults, claims);
  if (wanted("early")) early_table(claims);
  if (wanted("omission")) omission_table(claims);
  if (wanted("chain")) chain_table(command.processes, command.faults, rounds, claims);
  if (wanted("timing")) timing(claims);
  return claims.exit_code();
}

}  // namespace decree::lab
