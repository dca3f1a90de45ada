#include "lab/shrink/shrink.h"
#include "lab/cpu_clock.h"

#include <ctime>

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <utility>

#include "lab/sim/script.h"

namespace decree::lab {

namespace {

// Who sees a broken promise first depends on the schedule: any checker of safety stands for any other. What
// comes to rest too late is another matter, and so is an assertion.
bool is_safety(const std::string& checker) { return checker.size() > 1 && checker[0] == 'I'; }
bool same_breach(const std::string& wanted, const std::string& found) {
  return wanted == found || (is_safety(wanted) && is_safety(found));
}

class Shrinker {
 public:
  Shrinker(Schedule recorded, const ShrinkLimits& limits)
      : recorded_(std::move(recorded)), limits_(limits), deadline_(cpu_now() + limits.cpu_seconds_max) {}

  bool run() {
    if (!reproduce()) return false;
    classes();
    prefix();
    for (size_t before = SIZE_MAX; before > best_.length() && !late();) {
      before = best_.length();
      stretches_of([](const Step& s) { return s.kind == StepKind::request; });
      stretches_of([](const Step& s) { return s.kind != StepKind::request && s.kind != StepKind::deliver; });
      stretches();
      fewer_members();
      automate();
      gather_time();
    }
    if (best_.length() > limits_.length_goal) {
      automate_messages();
      stretches();
      gather_time();
    }
    shorten_times();
    ordinary_limits();
    stretches();
    pairs();
    return true;
  }
  const Schedule& best() const { return best_; }
  uint64_t tries() const { return tries_; }

 private:
  bool late() const { return cpu_now() > deadline_; }

  // Still broken: keeps it, cut off behind the step that broke it.
  bool keep(Schedule candidate) {
    if (late()) return false;
    ++tries_;
    const ScriptResult result = follow(candidate);
    if (!same_breach(candidate.checker, result.run.breach.invariant)) return false;
    candidate.checker = result.run.breach.invariant;
    if (result.steps_followed != Script::kAll) {
      candidate.steps.resize(std::min(candidate.steps.size(), result.steps_followed));
      candidate.settle = false;
    }
    best_ = std::move(candidate);
    return true;
  }

  static void drop(Schedule* schedule, const std::function<bool(const Step&)>& which) {
    std::erase_if(schedule->steps, which);
  }
  bool try_without(const std::function<bool(const Step&)>& which) {
    Schedule candidate = best_;
    drop(&candidate, which);
    return candidate.steps.size() < best_.steps.size() && keep(std::move(candidate));
  }

  // The coarsest form in which the recording still breaks: with a network that delivers everything only what
  // the world does is left. The finest is the recording itself.
  bool reproduce() {
    for (const bool forks : {false, true})
      for (int form = -1; form < 8; ++form) {
        if (forks && recorded_.checker != "I10") return false;
        Schedule candidate = recorded_;
        candidate.forks = forks;
        if (form < 7) candidate.automatic_turns = ~0u;
        if (form < 5) candidate.automatic_works = ~0u;
        if (form < 4) candidate.automatic_notices = ~0u;
        if (form < 2) candidate.automatic_disks = ~0u;
        const bool beats = form == 0 || form == 2;
        for (size_t kind = 0; kind < kMessageKinds; ++kind)
          if (is_beat(kind) || form < 0) candidate.automatic_messages[kind] = beats || form < 0;
        if (form < 6) {
          candidate.started = true;
          std::array<bool, kMembersMax + 1> seen{};
          drop(&candidate, [&seen](const Step& s) {
            return s.kind == StepKind::start && !std::exchange(seen[s.member], true);
          });
        }
        drop(&candidate, [&candidate](const Step& s) { return is_automatic(candidate, s); });
        if (form < 0) gather_time_in(&candidate);
        if (keep(std::move(candidate))) return true;
      }
    return false;
  }

  static bool is_beat(size_t kind) {
    const std::string name = message_kind_name(kind);
    return name == "Beat" || name == "BeatReply";
  }
  // Steps that the schedule's automatic part makes superfluous.
  static bool is_automatic(const Schedule& s, const Step& step) {
    switch (step.kind) {
      case StepKind::turn:
        return (s.automatic_turns >> step.member & 1) != 0;
      case StepKind::disk:
        return (s.automatic_disks >> step.member & 1) != 0;
      case StepKind::hold:
        return (s.automatic_disks >> step.member & 1) == 0;
      case StepKind::work:
        return (s.automatic_works >> step.member & 1) != 0;
      case StepKind::notice:
        return (s.automatic_notices >> step.member & 1) != 0;
      case StepKind::deliver:
        return s.automatic_messages[step.what];
      default:
        return false;
    }
  }

  void classes() {
    if (best_.settle) {
      Schedule candidate = best_;
      candidate.settle = false;
      keep(std::move(candidate));
    }
    for (const StepKind kind : {StepKind::pause, StepKind::resume, StepKind::give_up, StepKind::disconnect,
                                StepKind::connect, StepKind::transfer, StepKind::jump, StepKind::harm,
                                StepKind::compact, StepKind::hold, StepKind::crash})
      try_without([kind](const Step& s) { return s.kind == kind; });
    for (uint32_t client = 0; client < 32 && !late(); ++client)
      try_without([client](const Step& s) {
        return (s.kind == StepKind::request || s.kind == StepKind::give_up) && s.n == client;
      });
    try_without([this](const Step& s) {
      return s.kind == StepKind::request && best_.operations[s.operation].kind == OpKind::range;
    });
    fewer_members();
    for (size_t kind = 0; kind < kMessageKinds && !late(); ++kind)
      try_without([kind](const Step& s) { return s.kind == StepKind::deliver && s.what == kind; });
  }

  void prefix() {
    for (const size_t share : {2, 4, 8, 16}) {
      bool again = true;
      while (again && !late() && best_.steps.size() > 200) {
        Schedule candidate = best_;
        const size_t n = candidate.steps.size() - candidate.steps.size() / share;
        // The last part alone for 1/2; all but the first part for the finer ones.
        const size_t from = share == 2 ? n : candidate.steps.size() / share;
        candidate.steps.erase(candidate.steps.begin(),
                              candidate.steps.begin() + static_cast<ptrdiff_t>(from));
        again = keep(std::move(candidate));
      }
    }
  }

  // Delta debugging: ever smaller stretches, from the back, since what is early is mostly needed longest.
  void stretches() {
    for (size_t size = std::max<size_t>(best_.steps.size() / 2, 1);; size /= 2) {
      for (size_t end = best_.steps.size(); end > 0 && !late();) {
        const size_t begin = end > size ? end - size : 0;
        Schedule candidate = best_;
        candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(begin),
                              candidate.steps.begin() + static_cast<ptrdiff_t>(end));
        keep(std::move(candidate));
        end = std::min(begin, best_.steps.size());
      }
      if (size <= 1 || late()) return;
    }
  }

  // The same among the steps of one sort: what is needed of the others stays.
  void stretches_of(const std::function<bool(const Step&)>& which) {
    const auto places = [&] {
      std::vector<size_t> at;
      for (size_t i = 0; i < best_.steps.size(); ++i)
        if (which(best_.steps[i])) at.push_back(i);
      return at;
    };
    std::vector<size_t> at = places();
    for (size_t size = at.size(); size > 0 && !late(); size /= 2) {
      for (size_t end = at.size(); end > 0 && !late();) {
        const size_t begin = end > size ? end - size : 0;
        Schedule candidate = best_;
        for (size_t i = end; i-- > begin;)
          candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(at[i]));
        if (keep(std::move(candidate))) at = places();
        end = std::min(begin, at.size());
      }
    }
  }

  // A crash and its start, a cut and its end: neither can go alone.
  void pairs() {
    constexpr size_t kStepsMax = 80;
    for (size_t i = 0; i < best_.steps.size() && best_.steps.size() <= kStepsMax; ++i)
      for (size_t j = i + 1; j < best_.steps.size() && !late(); ++j) {
        Schedule candidate = best_;
        candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(j));
        candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(i));
        if (keep(std::move(candidate))) j = i;
      }
  }

  void fewer_members() {
    for (uint32_t n = best_.swarm.members; n >= 1 && best_.swarm.members > 1 && !late(); --n) {
      Schedule candidate = best_;
      --candidate.swarm.members;
      drop(&candidate, [n](const Step& s) { return s.member == n || (names_other(s) && s.other == n); });
      const auto renumber = [n](uint8_t& m) { m = static_cast<uint8_t>(m > n ? m - 1 : m); };
      for (Step& s : candidate.steps) {
        renumber(s.member);
        if (names_other(s)) renumber(s.other);
      }
      for (uint32_t* bits : {&candidate.automatic_turns, &candidate.automatic_disks,
                             &candidate.automatic_works, &candidate.automatic_notices}) {
        const uint32_t low = *bits & ((1u << n) - 1);
        *bits = *bits == ~0u ? ~0u : low | ((*bits >> (n + 1)) << n);
      }
      keep(std::move(candidate));
    }
  }
  static bool names_other(const Step& s) { return s.kind != StepKind::compact; }

  void automate() {
    if (!best_.started) {
      Schedule candidate = best_;
      candidate.started = true;
      keep(std::move(candidate));
    }
    for (uint32_t Schedule::*bits : {&Schedule::automatic_turns, &Schedule::automatic_notices,
                                     &Schedule::automatic_works, &Schedule::automatic_disks}) {
      if (best_.*bits == ~0u) continue;
      Schedule all = best_;
      all.*bits = ~0u;
      drop(&all, [&all](const Step& s) { return is_automatic(all, s); });
      if (keep(std::move(all))) continue;
      for (uint32_t n = 1; n <= best_.swarm.members && !late(); ++n) {
        Schedule candidate = best_;
        candidate.*bits |= 1u << n;
        drop(&candidate, [&candidate](const Step& s) { return is_automatic(candidate, s); });
        keep(std::move(candidate));
      }
    }
    for (size_t kind = 0; kind < kMessageKinds; ++kind)
      if (is_beat(kind)) automate_message(kind);
  }

  void automate_message(size_t kind) {
    if (best_.automatic_messages[kind] || late()) return;
    Schedule candidate = best_;
    candidate.automatic_messages[kind] = true;
    drop(&candidate, [&candidate](const Step& s) { return is_automatic(candidate, s); });
    keep(std::move(candidate));
  }
  void automate_messages() {
    std::vector<std::pair<size_t, size_t>> kinds;  // number of steps, kind
    for (size_t kind = 0; kind < kMessageKinds; ++kind)
      kinds.emplace_back(
          std::count_if(best_.steps.begin(), best_.steps.end(),
                        [kind](const Step& s) { return s.kind == StepKind::deliver && s.what == kind; }),
          kind);
    std::sort(kinds.rbegin(), kinds.rend());
    for (const auto& [steps, kind] : kinds)
      if (steps > 0 && best_.length() > limits_.length_goal) automate_message(kind);
  }

  // Several clocks that go on one after the other: one stretch of time for all.
  static bool gather_time_in(Schedule* schedule) {
    std::vector<Step> out;
    std::vector<uint32_t> ticks(kMembersMax + 1, 0);
    const auto flush = [&] {
      const uint32_t most = *std::max_element(ticks.begin(), ticks.end());
      if (most == 0) return;
      Step all;
      all.kind = StepKind::time;
      all.n = most;
      out.push_back(all);
      std::fill(ticks.begin(), ticks.end(), 0);
    };
    for (const Step& s : schedule->steps) {
      if (s.kind == StepKind::time) {
        ticks[s.member] += s.n;
        continue;
      }
      flush();
      out.push_back(s);
    }
    flush();
    if (out.size() >= schedule->steps.size()) return false;
    schedule->steps = std::move(out);
    return true;
  }
  void gather_time() {
    Schedule candidate = best_;
    if (gather_time_in(&candidate)) keep(std::move(candidate));
    gather_time_of_each();
    move_time_forward();
  }
  void gather_time_of_each() {
    for (size_t i = 0; i + 1 < best_.steps.size() && !late(); ++i) {
      const Step& s = best_.steps[i];
      const Step& next = best_.steps[i + 1];
      if (s.kind != StepKind::time || next.kind != StepKind::time || s.member != next.member) continue;
      Schedule candidate = best_;
      candidate.steps[i].n += next.n;
      candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(i) + 1);
      if (keep(std::move(candidate))) --i;
    }
  }
  // Time that passes later might as well pass at once.
  void move_time_forward() {
    for (size_t i = best_.steps.size(); i-- > 1 && !late();) {
      if (i >= best_.steps.size() || best_.steps[i].kind != StepKind::time) continue;
      size_t before = i;
      while (before > 0 && best_.steps[before - 1].kind != StepKind::time) --before;
      if (before == 0) return;
      for (const bool for_all : {false, true}) {
        Schedule candidate = best_;
        Step& into = candidate.steps[before - 1];
        if (!for_all && into.member != candidate.steps[i].member) continue;
        if (for_all) into.member = 0;
        into.n += candidate.steps[i].n;
        candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(i));
        if (keep(std::move(candidate))) break;
      }
    }
  }

  void shorten_times() {
    for (size_t i = 0; i < best_.steps.size() && !late(); ++i) {
      while (i < best_.steps.size() && best_.steps[i].n > 1 &&
             (best_.steps[i].kind == StepKind::time || best_.steps[i].kind == StepKind::jump)) {
        Schedule candidate = best_;
        candidate.steps[i].n /= 2;
        if (!keep(std::move(candidate))) break;
      }
    }
  }

  void ordinary_limits() {
    Swarm ordinary;
    ordinary.members = best_.swarm.members;
    ordinary.clients = best_.swarm.clients;
    ordinary.keys = best_.swarm.keys;
    ordinary.segment_bytes = 4096;
    ordinary.transfer_chunk_bytes = 64000;
    ordinary.tick_us = best_.swarm.tick_us;
    for (const bool log : {false, true}) {
      Schedule candidate = best_;
      candidate.swarm = ordinary;
      candidate.swarm.real_log = log;
      if (log == best_.swarm.real_log || !log)
        if (keep(candidate)) return;
      candidate.swarm.snapshot_every = best_.swarm.snapshot_every;
      candidate.swarm.segment_bytes = best_.swarm.segment_bytes;
      candidate.swarm.transfer_chunk_bytes = best_.swarm.transfer_chunk_bytes;
      if (keep(std::move(candidate))) return;
    }
  }

  const Schedule recorded_;
  const ShrinkLimits limits_;
  const double deadline_;
  Schedule best_;
  uint64_t tries_ = 0;
};

Shrunk shrink_recorded(uint64_t seed, const RunOptions& options, const std::string& plant, double cpu_seconds,
                       ShrinkLimits limits) {
  Shrunk result;
  RunOptions recording = options;
  recording.record = &result.schedule;
  const RunResult run = World(seed, recording).run();
  // The network of a schedule has no chance in it.
  Swarm& swarm = result.schedule.swarm;
  swarm.network = NetworkProfile{};
  swarm.network.jitter_us = 0;
  swarm.disk = DiskProfile{};
  swarm.disk.jitter_us = 0;
  swarm.liveness_core = false;
  result.schedule.plant = plant;
  result.schedule.early_persisted = options.early_persisted;
  result.schedule.checker = run.breach.invariant;
  result.length_before = result.schedule.length();
  limits.cpu_seconds_max = cpu_seconds;
  Shrinker shrinker(result.schedule, limits);
  result.reproduced = shrinker.run();
  if (result.reproduced) result.schedule = shrinker.best();
  // Operations that no step asks for any more are of no interest.
  Schedule& s = result.schedule;
  std::vector<Operation> used;
  for (Step& step : s.steps)
    if (step.kind == StepKind::request) {
      used.push_back(s.operations[step.operation]);
      step.operation = static_cast<uint32_t>(used.size() - 1);
    }
  s.operations = std::move(used);
  result.tries = shrinker.tries();
  return result;
}

bool is_short(const Shrunk& shrunk, const ShrinkLimits& limits) {
  return shrunk.reproduced && shrunk.schedule.length() <= limits.length_goal;
}

}  // namespace

Shrunk shrink_seed(uint64_t seed, const RunOptions& options, const std::string& plant,
                   const ShrinkLimits& limits) {
  const double began = cpu_now();
  Shrunk best = shrink_recorded(seed, options, plant, limits.cpu_seconds_max / 2, limits);
  // Long runs shrink badly. Another seed that breaks sooner in a shorter run is often at hand.
  RunOptions shorter = options;
  for (uint64_t i = 1; cpu_now() - began < limits.cpu_seconds_max && !is_short(best, limits); ++i) {
    constexpr double kScales[] = {0.3, 0.1, 0.03};
    shorter.limits.scale = options.limits.scale * kScales[i % std::size(kScales)];
    const uint64_t other = seed * 1'000'003 + i;
    const RunResult run = World(other, shorter).run();
    if (!same_breach(best.schedule.checker, run.breach.invariant)) continue;
    const double left = limits.cpu_seconds_max - (cpu_now() - began);
    Shrunk shrunk = shrink_recorded(other, shorter, plant, left / 2, limits);
    shrunk.tries += best.tries;
    shrunk.length_before = best.length_before;
    if (shrunk.reproduced && (!best.reproduced || shrunk.schedule.length() < best.schedule.length()))
      best = std::move(shrunk);
  }
  best.cpu_seconds = cpu_now() - began;
  return best;
}

}  // namespace decree::lab
