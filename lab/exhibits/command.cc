// decree-lab exhibit: the four group problems of the notes, small and exact.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "lab/claims.h"
#include "lab/exhibits/broadcast.h"
#include "lab/exhibits/bully.h"
#include "lab/exhibits/detector.h"
#include "lab/exhibits/mutex.h"
#include "lab/experiments.h"

namespace decree::lab {

namespace {

struct BroadcastTotals {
  uint64_t runs = 0, data = 0, consensus = 0, delivered = 0, instances = 0;
  std::vector<std::pair<std::string, uint64_t>> broken;  // property: runs
  std::string example;
};

BroadcastTotals count_broadcast(BroadcastOptions o, uint64_t seeds) {
  BroadcastTotals t;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    o.group.seed = seed;
    const BroadcastRun run = run_broadcast(o);
    ++t.runs;
    t.data += run.data_messages;
    t.consensus += run.consensus_messages;
    t.instances += run.instances;
    size_t longest = 0;
    for (const auto& list : run.delivered) longest = std::max(longest, list.size());
    t.delivered += longest;
    const auto verdicts = check_broadcast(run);
    t.broken.resize(verdicts.size());
    for (size_t i = 0; i < verdicts.size(); ++i) {
      if (t.broken[i].first.empty() || !verdicts[i].holds) t.broken[i].first = verdicts[i].property;
      if (verdicts[i].holds) continue;
      if (t.broken[i].second++ == 0 && t.example.empty()) t.example = verdicts[i].sentence;
    }
  }
  return t;
}

void broadcast(Claims& claims, uint64_t seeds) {
  claims.out()
      << "Uniform total-order broadcast on consensus (M3): 4 processes, 3 messages each, one crashes:\n";
  BroadcastOptions o;
  o.group.processes = 4;
  const BroadcastTotals ours = count_broadcast(o, seeds);
  for (const auto& [property, runs] : ours.broken)
    claims.claim(runs == 0, fmt::format("{} in {} runs", property, ours.runs));
  claims.out() << fmt::format(
      "    {} messages delivered; {:.1f} data and {:.1f} consensus messages each; {} instances\n",
      ours.delivered, static_cast<double>(ours.data) / static_cast<double>(ours.delivered),
      static_cast<double>(ours.consensus) / static_cast<double>(ours.delivered), ours.instances);

  claims.out() << "The same without consensus, delivered on receipt:\n";
  BroadcastOptions receipt = o;
  receipt.group.ordering = Ordering::receipt;
  const BroadcastTotals unordered = count_broadcast(receipt, seeds);
  claims.claim(unordered.broken[3].second > 0,
               fmt::format("total order breaks in {} of {} runs: {}", unordered.broken[3].second,
                           unordered.runs, unordered.example));
  BroadcastOptions lazy = receipt;
  lazy.group.relay = false;
  const BroadcastTotals split = count_broadcast(lazy, seeds);
  claims.claim(split.broken[2].second > 0,
               fmt::format("without relaying, a crashing sender splits the group in {} "
                           "runs (agreement)",
                           split.broken[2].second));

  claims.out() << "Consensus built back on broadcast: decide the first message delivered:\n";
  uint64_t broken = 0;
  uint64_t naive = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const PropertyVerdict& v :
         check_run(consensus_by_broadcast(GroupOptions{4, seed, Ordering::consensus, true}, 1)))
      broken += v.holds ? 0 : 1;
    naive += check_agreement(consensus_by_broadcast(GroupOptions{4, seed, Ordering::receipt, true}, 1)).holds
                 ? 0
                 : 1;
  }
  claims.claim(broken == 0, fmt::format("validity, integrity, agreement, termination in {} runs", seeds));
  claims.claim(naive > 0,
               fmt::format("on a broadcast without total order it is no consensus: {} runs disagree", naive));
}

void detector(Claims& claims, uint64_t seeds) {
  claims.out() << fmt::format(
      "Failure detectors on the same heartbeats (M4): every 100 ms, {} schedules of 60-120 s each, "
      "then a crash\n",
      seeds);
  struct Row {
    std::string name;
    Suspect suspect;
  };
  std::vector<Row> rows;
  for (const double t : {150.0, 250.0, 500.0, 1000.0, 2000.0})
    rows.push_back({fmt::format("timeout {:.0f} ms", t), timeout_detector(t)});
  for (const double phi : {1.0, 3.0, 8.0, 12.0})
    rows.push_back({fmt::format("phi {:.0f}, 200 gaps", phi), phi_accrual_detector(phi, 200, 20)});
  rows.push_back({"phi 8, no least deviation", phi_accrual_detector(8, 200, 0)});
  bool complete = true;
  bool trade = true;
  for (const HeartbeatKind kind :
       {HeartbeatKind::quiet, HeartbeatKind::rough, HeartbeatKind::bursts, HeartbeatKind::pauses}) {
    claims.out() << fmt::format("  {:<7} {:<26} {:>9} {:>10} {:>9} {:>10}\n", heartbeat_kind_name(kind),
                                "detector", "delay ms", "worst ms", "mistakes", "per hour");
    double last_rate = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < rows.size(); ++i) {
      const DetectorQuality q = judge_detector(rows[i].suspect, kind, seeds);
      claims.out() << fmt::format("          {:<26} {:>9.0f} {:>10.0f} {:>9} {:>10.1f}\n", rows[i].name,
                                  q.delay_ms(), q.delay_ms_max, q.mistakes, q.mistakes_per_hour());
      complete = complete && q.detected == q.schedules;
      if (i < 5) trade = trade && q.mistakes_per_hour() <= last_rate;
      last_rate = q.mistakes_per_hour();
    }
  }
  claims.claim(complete, "completeness: every crash is suspected in the end, by every detector");
  claims.claim(trade,
               "accuracy: a longer time-out accuses the living less often, and notices the dead later");
  const auto floor = judge_detector(rows[7].suspect, HeartbeatKind::bursts, seeds);
  const auto none = judge_detector(rows[9].suspect, HeartbeatKind::bursts, seeds);
  claims.claim(
      none.mistakes >= floor.mistakes && floor.mistakes > 0,
      fmt::format(
          "bursts after a quiet history break phi's assumption: {} accusations with a least deviation "
          "of 20 ms, {} without",
          floor.mistakes, none.mistakes));
  // FLP's key sentence: until the suspicion both look the same.
  const HeartbeatSchedule slow = draw_heartbeats(HeartbeatKind::pauses, 1);
  size_t longest = 1;
  for (size_t i = 1; i < slow.arrivals_ms.size(); ++i)
    if (slow.arrivals_ms[i] - slow.arrivals_ms[i - 1] >
        slow.arrivals_ms[longest] - slow.arrivals_ms[longest - 1])
      longest = i;
  const std::vector<double> seen(slow.arrivals_ms.begin(),
                                 slow.arrivals_ms.begin() + static_cast<ptrdiff_t>(longest));
  const double at = rows[2].suspect(seen, seen.size());
  claims.claim(
      at < slow.arrivals_ms[longest],
      fmt::format(
          "a slow process is not to be told from a failed one: silent from {:.0f} ms, suspected at {:.0f} "
          "ms by 'timeout 500 ms', and its heartbeat came at {:.0f} ms",
          seen.back(), at, slow.arrivals_ms[longest]));
}

void election(Claims& claims, uint64_t seeds) {
  claims.out() << "Leader election by bully (M5), 5 processes, the highest has crashed, delays <= 10 ms:\n";
  uint64_t settled = 0;
  uint64_t two = 0;
  uint64_t most = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    BullyOptions o;
    o.seed = seed;
    const BullyRun r = run_bully(o);
    settled += r.settled;
    two += r.two_coordinators;
    most = std::max(most, r.messages);
  }
  claims.claim(
      settled == seeds && two == 0,
      fmt::format("while the bound holds: one coordinator in {} runs, at most {} messages", seeds, most));
  claims.out() << "    messages when the lowest notices:";
  for (const uint32_t n : {3u, 5u, 7u, 9u}) {
    BullyOptions o;
    o.processes = n;
    claims.out() << fmt::format("  n={}: {}", n, run_bully(o).messages);
  }
  claims.out() << '\n';
  uint64_t late_runs = 0;
  uint64_t at_once = 0;
  uint64_t at_end = 0;
  std::optional<BullyRun> example;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BullyOptions o;
    o.seed = seed;
    const uint64_t messages = run_bully(o).messages;
    for (uint64_t late = 0; late < messages; ++late) {
      o.late_message = late;
      const BullyRun r = run_bully(o);
      ++late_runs;
      at_once += r.two_coordinators;
      at_end += r.two_at_the_end;
      if (r.two_coordinators && !example) example = r;
    }
  }
  claims.claim(at_once > 0,
               fmt::format("one message of 100 ms is enough: two coordinators at once in {} of {} runs, for "
                           "good in {}",
                           at_once, late_runs, at_end));
  if (example)
    for (const BullyNote& note : example->story)
      claims.out() << fmt::format("    {:>4} ms  {}\n", note.at_ms, note.text);
  claims.out()
      << "Beside it, leadership by ballots: the leader's Bill is delayed, another is elected, the Bill "
         "arrives:\n";
  for (const uint32_t n : {3u, 5u}) {
    const RivalLeaders r = run_rival_leaders(n, 1);
    claims.claim(
        r.both_lead && !r.old_decided_anything && r.refusals > 0 && r.decided && r.decided == r.new_value,
        fmt::format(
            "N={}: p{} and p{} both believe they lead; p{}'s Bill met {} refusals and decided nothing; "
            "p{}'s value stands",
            n, r.old_leader, r.new_leader, r.old_leader, r.refusals, r.new_leader));
  }
}

void mutex(Claims& claims, uint64_t seeds) {
  claims.out() << "Mutual exclusion by Ricart and Agrawala (M6), every process enters 5 times:\n";
  for (const uint32_t n : {2u, 4u, 7u}) {
    bool safe = true;
    bool fair = true;
    bool count = true;
    uint64_t entries = 0;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      RicartOptions o;
      o.processes = n;
      o.seed = seed;
      const RicartRun r = run_ricart_agrawala(o);
      safe = safe && !r.two_inside;
      fair = fair && r.waiting_for_ever == 0;
      count = count && r.messages == r.entries * 2 * (n - 1);
      entries += r.entries;
    }
    claims.claim(
        safe && fair && count,
        fmt::format(
            "n={}: never two inside, nobody waits for ever, exactly 2(n-1) = {} messages per entry, {} "
            "entries",
            n, 2 * (n - 1), entries));
  }
  uint64_t blocked = 0;
  uint64_t impatient = 0;
  uint64_t after = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    RicartOptions o;
    o.seed = seed;
    o.crash = static_cast<uint32_t>(seed % 4 + 1);
    const RicartRun r = run_ricart_agrawala(o);
    blocked += r.waiting_for_ever == 3;
    after += r.entries;
    RicartOptions bad;
    bad.seed = seed;
    bad.impatient = true;
    impatient += run_ricart_agrawala(bad).two_inside;
  }
  claims.claim(
      blocked == seeds,
      fmt::format("one crash blocks all: in {} of {} runs the other three wait for ever", blocked, seeds));
  claims.claim(impatient > 0,
               fmt::format("broken on purpose (time stamps ignored): two inside in {} runs", impatient));

  claims.out() << "The same lock on the replicated log, with fencing tokens:\n";
  struct Case {
    const char* name;
    LockOptions o;
  };
  Case cases[3];
  cases[0].name = "nobody fails";
  cases[1].name = "the first holder crashes";
  cases[1].o.crash_holder = true;
  cases[2].name = "the first holder sleeps, is taken for dead, and goes on";
  cases[2].o.sleep_holder = true;
  for (Case& c : cases) {
    uint64_t stale = 0, unserved = 0, grants = 0, refused = 0, messages = 0;
    bool agree = true;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      c.o.seed = seed;
      const LockRun r = run_fenced_lock(c.o);
      stale += r.stale_write;
      unserved += r.unserved;
      grants += r.grants;
      refused += r.refused;
      messages += r.messages;
      agree = agree && r.logs_agree;
    }
    claims.claim(
        stale == 0 && unserved == 0 && agree && (!c.o.sleep_holder || refused > 0),
        fmt::format(
            "{}: everybody alive is served in {} runs, no stale write, {} refused by the fence; {:.1f} "
            "messages per grant",
            c.name, seeds, refused, static_cast<double>(messages) / static_cast<double>(grants)));
  }
  uint64_t stale = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    LockOptions o = cases[2].o;
    o.seed = seed;
    o.fencing = false;
    stale += run_fenced_lock(o).stale_write;
  }
  claims.claim(
      stale > 0,
      fmt::format("without the fence the sleeper writes over its successor in {} of {} runs: no lock "
                  "can prevent that alone",
                  stale, seeds));
}

}  // namespace

int exhibit_command(const ExhibitCommand& command, std::ostream& out) {
  Claims claims(out);
  if (command.name == "broadcast") broadcast(claims, command.seeds);
  if (command.name == "detector") detector(claims, command.seeds);
  if (command.name == "election") election(claims, command.seeds);
  if (command.name == "mutex") mutex(claims, command.seeds);
  return claims.exit_code();
}

}  // namespace decree::lab
