// decree-lab flp: consensus is impossible to guarantee in an asynchronous system, shown on the shipped core.

#include <fmt/format.h>

#include "lab/claims.h"
#include "lab/experiments.h"
#include "lab/flp/adversary.h"
#include "lab/flp/remedies.h"
#include "lab/flp/replica_world.h"
#include "lab/flp/valence.h"

namespace decree::lab {

namespace {

KernelOptions endless(uint32_t n) {
  KernelOptions o;
  o.voters = n;
  o.inputs = mixed_inputs(n);
  return o;
}

void initial(Claims& claims) {
  claims.out() << "A bivalent initial configuration (N=3, p1 and p2 run once each; every configuration):\n";
  const auto steps = walk_initial_configurations(3);
  bool mixed = false;
  for (const InitialStep& s : steps) {
    claims.out() << fmt::format("  inputs {}: {:<9} ({} configurations)\n", s.inputs, valence_name(s.valence),
                                s.configurations);
    mixed = mixed || s.valence == kBivalent;
  }
  claims.claim(steps.front().valence == kZeroValent && steps.back().valence == kOneValent,
               "all 0 can only decide 0, all 1 only 1");
  claims.claim(
      mixed, "on the way from one to the other, one input at a time, there is one from which both can come");
}

void graph(Claims& claims, uint64_t limit) {
  claims.out()
      << "\nEvery configuration (reliable network, one ballot for each of two proposers, inputs 0 and 1):\n"
         "  group                          configurations  bivalent  0-valent  1-valent  undecidable  "
         "critical\n";
  struct Row {
    const char* name;
    KernelOptions o;
  };
  std::vector<Row> rows;
  KernelOptions inside;
  inside.ballots_max = 1;
  inside.nacks = false;
  inside.voters = 3;
  inside.inputs = {0, 1, 0};
  inside.proposers = 0b110;
  rows.push_back({"3 members, two of them run", inside});
  KernelOptions outside = inside;
  outside.inputs = {0, 0, 0, 0, 1};
  outside.proposers = 0b110000;
  rows.push_back({"2 proposers and 3 acceptors", outside});
  for (const Row& row : rows) {
    const ValenceGraph g = explore_valence(row.o, limit);
    claims.out() << fmt::format("  {:<30} {:>14} {:>9} {:>9} {:>9} {:>12} {:>9}{}\n", row.name,
                                g.configurations, g.by_valence[3], g.by_valence[1], g.by_valence[2],
                                g.by_valence[0], g.critical, g.exhausted ? "  exhausted" : "  NOT exhausted");
    claims.claim(
        g.exhausted && g.disagreements == 0 && g.initial == kBivalent,
        fmt::format("agreement in all of them, and the initial one is bivalent ({} edges)", g.edges));
    claims.claim(
        g.critical > 0 && g.critical_with_fork == g.critical_at_one_process,
        fmt::format("{} critical configurations, {} with steps of opposite outcome, all of these steps at "
                    "one process",
                    g.critical, g.critical_with_fork));
    if (&row != &rows.front()) continue;
    claims.out() << "  one of them:\n";
    for (const std::string& line : g.critical_story) claims.out() << "    " << line << '\n';
  }
  claims.out()
      << "  (with a bounded number of ballots there must be critical configurations: the last ballot "
         "settles it)\n";
}

void siege_kernel(Claims& claims, uint32_t n, uint64_t rounds, uint64_t order_seed) {
  KernelWorld world(endless(n));
  PoolAdversary adversary(n, order_seed);
  uint64_t bivalent = 0;
  uint64_t next_print = 1;
  const SiegeResult r = besiege(world, adversary, rounds, [&](uint64_t round) {
    const Valence v = witnessed_valence(world);
    bivalent += v == kBivalent;
    if (round == next_print) {
      claims.out() << fmt::format("    round {:>6}: {}, {} messages under way\n", round, valence_name(v),
                                  world.pool().size());
      next_print *= 10;
    }
    return true;
  });
  claims.claim(
      !r.decided && r.rounds >= rounds && bivalent == r.rounds && r.drained,
      fmt::format("N={} kernel, {}: {} rounds, bivalent in every one, nobody crashed; {} messages delivered, "
                  "the longest waited for {} others, the {} under way at the end arrived later, too",
                  n, order_seed == 0 ? "oldest first" : "random order", r.rounds, r.delivered, r.longest_wait,
                  r.held_at_end));
}

// A replica cannot be copied, but its run can be repeated: the witnesses continue a repeated run.
Valence replica_valence(uint32_t n, uint64_t seed, uint64_t round) {
  Valence found = 0;
  for (uint32_t favourite = 1; favourite <= 2; ++favourite) {
    ReplicaWorld world(mixed_inputs(n), seed);
    PoolAdversary adversary(n, 0);
    besiege(world, adversary, round, [round](uint64_t r) { return r < round; });
    if (const auto d = let_win(world, favourite, 0, 200000)) found |= static_cast<Valence>(1u << *d);
  }
  return found;
}

void siege_replica(Claims& claims, uint32_t n, uint64_t rounds, uint64_t valence_rounds_max) {
  ReplicaWorld world(mixed_inputs(n), 1);
  PoolAdversary adversary(n, 0);
  const SiegeResult r = besiege(world, adversary, rounds, nullptr);
  bool bivalent = true;
  for (uint64_t round = 1; round <= std::min(rounds, valence_rounds_max); round *= 10) {
    const Valence v = replica_valence(n, 1, round);
    bivalent = bivalent && v == kBivalent;
    claims.out() << fmt::format("    round {:>6}: {} (both continuations were run)\n", round,
                                valence_name(v));
  }
  claims.claim(
      !r.decided && r.rounds >= rounds && r.drained && bivalent && world.broken_invariant().empty(),
      fmt::format("N={} shipped replica, whole: {} Elections without a leader, {} ticks of all clocks; {} "
                  "messages delivered, the longest waited for {} others, nobody crashed",
                  n, r.rounds, r.ticks, r.delivered, r.longest_wait));
}

void lemma(Claims& claims, uint32_t n, uint64_t stages) {
  const LemmaResult r = keep_bivalent(KernelWorld(endless(n)), stages, 5);
  claims.claim(
      !r.stuck && !r.decided && r.stages == stages,
      fmt::format("N={}: {} steps in turn, each process's oldest message when its turn comes, every "
                  "configuration after them bivalent; {} needed nothing else first, the longest detour had "
                  "{} steps; {} rounds, {} messages",
                  n, r.stages, r.direct, r.longest_detour, r.rounds, r.delivered));
}

void lasso(Claims& claims, uint32_t n) {
  const Lasso l = find_lasso(endless(n), 100000);
  claims.claim(
      l.found && l.fair && l.hash_at_head == l.hash_at_end && l.bivalent_configurations == l.length_steps,
      fmt::format("N={}: the configuration after step {} comes back after {} steps ({} rounds), shifted: "
                  "hash {:016x} = {:016x}; all messages of the head delivered, all processes stepped, all {} "
                  "configurations of the loop bivalent",
                  n, l.head_step, l.length_steps, l.length_rounds, l.hash_at_head, l.hash_at_end,
                  l.bivalent_configurations));
}

void remedies(Claims& claims, uint64_t seeds) {
  claims.out() << fmt::format(
      "\nThe same adversary with a bound of 20 ticks that nobody knows, {} runs each, N=3:\n", seeds);
  DuelOptions none;
  const DuelResult forever = run_duel(none);
  claims.claim(!forever.decided, fmt::format("without a remedy: undecided after {} rounds", forever.rounds));
  for (const Remedy remedy : {Remedy::back_off, Remedy::oracle, Remedy::synchrony}) {
    Distribution d;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      DuelOptions o;
      o.remedy = remedy;
      o.seed = seed;
      const DuelResult r = run_duel(o);
      ++d.runs;
      if (!r.decided) ++d.undecided;
      d.sorted.push_back(remedy == Remedy::back_off ? r.rounds : r.rounds_after_turn);
    }
    std::sort(d.sorted.begin(), d.sorted.end());
    claims.claim(d.undecided == 0, fmt::format("{}: {}", remedy_name(remedy), show(d)));
    claims.out() << fmt::format("          rounds{}: {}\n",
                                remedy == Remedy::back_off ? "" : " after the turn", histogram(d));
  }
}

void replica_remedies(Claims& claims, uint64_t seeds) {
  claims.out()
      << "\nThe shipped replica against the same adversary, bounded (its Election is given up after 30 "
         "ticks):\n";
  for (const uint64_t delay : {5, 15, 25, 40, 80}) {
    Distribution d;
    for (uint64_t seed = 1; seed <= seeds / 10; ++seed) {
      ReplicaWorld world(mixed_inputs(3), seed);
      PoolAdversary adversary(3, 0);
      const SiegeResult r = besiege_bounded(world, adversary, {delay, UINT64_MAX, 300});
      ++d.runs;
      if (!r.decided) ++d.undecided;
      if (r.decided) d.sorted.push_back(r.rounds);
    }
    std::sort(d.sorted.begin(), d.sorted.end());
    claims.out() << fmt::format("  votes delayed up to {:>2} ticks: {}\n", delay, show(d));
    if (delay < 30)
      claims.claim(d.undecided == 0, "votes that come before the Election is given up make a leader");
  }
  Distribution d;
  for (uint64_t seed = 1; seed <= seeds / 10; ++seed) {
    ReplicaWorld world(mixed_inputs(3), seed);
    PoolAdversary adversary(3, 0);
    besiege(world, adversary, 20 + seed % 30, nullptr);
    const uint64_t before = world.rounds();
    const SiegeResult r = besiege_bounded(world, adversary, {0, 0, 100});
    ++d.runs;
    if (!r.decided) ++d.undecided;
    d.sorted.push_back(world.rounds() - before);
  }
  std::sort(d.sorted.begin(), d.sorted.end());
  claims.claim(d.undecided == 0, "unbounded delay, then synchrony: " + show(d));
}

}  // namespace

int flp_command(const FlpCommand& command, std::ostream& out) {
  Claims claims(out);
  const auto wanted = [&](const char* part) { return command.part == "all" || command.part == part; };
  if (wanted("initial")) initial(claims);
  if (wanted("graph")) graph(claims, 20000000);
  if (wanted("adversary")) {
    claims.out() << "\nAn adversary that only delays, and sees only the pool of messages:\n";
    for (const uint32_t n : {3u, 4u, 5u}) {
      siege_kernel(claims, n, command.rounds, 0);
      siege_kernel(claims, n, command.rounds, 7);
    }
    for (const uint32_t n : {3u, 4u, 5u}) siege_replica(claims, n, command.rounds, 1000);
  }
  if (wanted("lemma")) {
    claims.out()
        << "\nThe proof's own adversary: the step that is due, played so that both outcomes stay possible:\n";
    for (const uint32_t n : {3u, 4u, 5u}) lemma(claims, n, command.rounds / 10);
  }
  if (wanted("lasso")) {
    claims.out() << "\nThe endless run as a finite object (rounds shifted, their order kept):\n";
    for (const uint32_t n : {3u, 4u, 5u}) lasso(claims, n);
  }
  if (wanted("remedies")) {
    remedies(claims, command.seeds);
    replica_remedies(claims, command.seeds);
  }
  return claims.exit_code();
}

}  // namespace decree::lab
