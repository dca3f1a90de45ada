#include "lab/sim/swarm.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace decree::lab {

namespace {

constexpr int64_t kMs = 1000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr const char* kFaultNames[] = {
    "crash_one",   "crash_promise", "crash_commit",   "crash_all",    "pause",       "cut_member",
    "cut_halves",  "cut_one_way",   "cut_link",       "chained",      "cloudflare",  "quorum_loss",
    "constrained", "swizzle",       "lose_beats",     "slow_link",    "reset_link",  "clock_jump",
    "clock_rate",  "slow_disk",     "disk_full",      "write_error",  "power_error", "sync_error",
    "read_error",  "rot_log",       "rot_superblock", "rot_snapshot", "misdirected", "old_image",
    "diverge",     "upset_leader",  "duel",           "transfer",     "change"};
static_assert(std::size(kFaultNames) == kFaultKinds);

template <size_t N>
uint64_t pick(Random& r, const uint64_t (&of)[N]) {
  return of[r.below(N)];
}

void draw_network(Random& r, Swarm* s) {
  NetworkProfile& n = s->network;
  n.delay_us = static_cast<int64_t>(pick(r, {50, 200, 1000, 5000, 20000}));
  n.jitter_us = static_cast<int64_t>(pick(r, {0, 50, 500, 5000}));
  n.in_order = r.chance(0.6);
  if (r.chance(0.4)) n.loss = static_cast<double>(pick(r, {1, 5, 20, 100, 200})) / 1000.0;
  if (r.chance(0.4)) n.duplicate = static_cast<double>(pick(r, {5, 50, 200})) / 1000.0;
  if (r.chance(0.4)) {
    n.straggle = static_cast<double>(pick(r, {1, 10, 50})) / 1000.0;
    n.straggle_us = static_cast<int64_t>(pick(r, {20, 200, 2000, 10000})) * kMs;
  }
}

void draw_disk(Random& r, Swarm* s) {
  s->disk.sync_us = static_cast<int64_t>(pick(r, {20, 200, 1000, 8000}));
  s->disk.jitter_us = static_cast<int64_t>(pick(r, {0, 100, 2000}));
  if (r.chance(0.3)) {
    s->disk.stall = static_cast<double>(pick(r, {1, 5, 20})) / 1000.0;
    s->disk.stall_us = static_cast<int64_t>(pick(r, {50, 300, 1500})) * kMs;
  }
}

// Now and then most limits are tiny at once: what needs two of them would else be drawn too seldom.
void draw_limits(Random& r, Swarm* s) {
  Options& o = s->options;
  const double tiny = r.chance(0.15) ? 0.7 : 0;
  const auto draws = [&r, tiny](double chance) { return r.chance(std::max(chance, tiny)); };
  if (draws(0.3)) o.accept_entries_max = static_cast<uint32_t>(pick(r, {1, 2, 5, 20}));
  if (draws(0.3)) o.accept_bytes_max = static_cast<uint32_t>(pick(r, {200, 1000, 5000}));
  if (draws(0.3)) o.inflight_bytes_max = static_cast<uint32_t>(pick(r, {200, 2000, 20000}));
  if (draws(0.2)) o.proposals_queued_max = static_cast<uint32_t>(pick(r, {1, 3, 10}));
  if (draws(0.4)) o.promise_runs_max = static_cast<uint32_t>(pick(r, {1, 1, 2, 5}));
  if (draws(0.2)) o.reads_queued_max = static_cast<uint32_t>(pick(r, {1, 3, 10}));
  if (draws(0.4)) {
    o.cached_log_bytes_max = pick(r, {1, 500, 5000});
    o.cached_log_entries_min = pick(r, {1, 4, 16});
  }
  if (draws(0.3)) o.stalled_bill_ticks = static_cast<uint32_t>(pick(r, {30, 60, 200}));
  if (draws(0.7)) s->snapshot_every = pick(r, {5, 20, 100, 500});
  s->transfer_chunk_bytes = static_cast<uint32_t>(pick(r, {1000, 8000, 64000}));
  // Without snapshots no segment is ever dropped: thousands of small ones are slow and show nothing.
  s->segment_bytes = s->snapshot_every == 0 ? 65536 : pick(r, {4096, 16384, 65536});
  s->turn_spent = draws(0.2) ? 0.2 : 0;
  if (draws(0.2)) s->transfer_chunks_inflight = static_cast<uint32_t>(pick(r, {1, 4}));
  if (draws(0.2)) s->inputs_per_turn_max = static_cast<uint32_t>(pick(r, {1, 3, 20}));
  if (draws(0.2)) s->applies_per_turn_max = static_cast<uint32_t>(pick(r, {1, 3, 20}));
  if (r.chance(0.1)) s->clients_queued_max = static_cast<uint32_t>(pick(r, {1, 2}));
  if (r.chance(0.1)) s->unsynced_bytes_max = pick(r, {300, 2000});
  if (r.chance(0.3)) s->work_us = static_cast<int64_t>(pick(r, {50, 100, 1500, 6000})) * kMs;
  if (r.chance(0.4)) s->turn_delay_us = static_cast<int64_t>(pick(r, {50, 500, 3000}));
  // A window wider than what the others hold for their disks is thrown away and sent again for ever.
  o.inflight_bytes_max =
      static_cast<uint32_t>(std::min<uint64_t>(o.inflight_bytes_max, s->unsynced_bytes_max));
  // A member that takes few inputs a turn must turn often, or it is overloaded for ever and nothing follows
  // from that.
  if (s->inputs_per_turn_max < 100 || s->applies_per_turn_max < 100)
    s->turn_delay_us = std::min<int64_t>(s->turn_delay_us, 50);
}

constexpr FaultKind kDamage[] = {FaultKind::rot_log,     FaultKind::rot_superblock, FaultKind::rot_snapshot,
                                 FaultKind::misdirected, FaultKind::old_image,      FaultKind::diverge};

// One or two sorts of faults again and again, and of the others few: what needs several of a sort in a row,
// the right ones, is else disturbed by something each time.
void draw_focus(Random& r, Swarm* s) {
  struct Sort {
    FaultKind first;
    FaultKind last;
  };
  constexpr Sort kSorts[] = {
      {FaultKind::crash_one, FaultKind::pause},       {FaultKind::cut_member, FaultKind::swizzle},
      {FaultKind::cut_member, FaultKind::swizzle},    {FaultKind::lose_beats, FaultKind::slow_disk},
      {FaultKind::disk_full, FaultKind::read_error},  {FaultKind::rot_log, FaultKind::diverge},
      {FaultKind::upset_leader, FaultKind::transfer}, {FaultKind::upset_leader, FaultKind::transfer}};
  const Sort one = kSorts[r.below(std::size(kSorts))];
  const Sort other = r.chance(0.5) ? kSorts[r.below(std::size(kSorts))] : one;
  const auto is_of = [](FaultKind kind, const Sort& sort) { return kind >= sort.first && kind <= sort.last; };
  for (uint32_t kind = 0; kind < static_cast<uint32_t>(FaultKind::change); ++kind) {
    int64_t& mean = s->fault_mean_us[kind];
    const auto name = static_cast<FaultKind>(kind);
    if (is_of(name, one) || is_of(name, other)) {
      mean = r.chance(0.4) ? static_cast<int64_t>(pick(r, {2, 4, 10})) * kSecond : 0;
    } else if (r.chance(0.8)) {
      mean = 0;
    }
  }
}

void draw_faults(Random& r, const SwarmLimits& limits, Swarm* s) {
  for (uint32_t kind = 0; kind < static_cast<uint32_t>(FaultKind::change); ++kind) {
    const double chance = kind < static_cast<uint32_t>(FaultKind::chained) ? 0.3 : 0.2;
    if (!r.chance(chance)) continue;
    s->fault_mean_us[kind] = static_cast<int64_t>(pick(r, {3, 8, 20, 60})) * kSecond;
  }
  if (r.chance(0.4)) draw_focus(r, s);
  const auto mean = [s](FaultKind kind) -> int64_t& { return s->fault_mean_us[static_cast<int>(kind)]; };
  // Everything down at once, all the time, leaves nothing to look at; nor do disks that always fail.
  for (const FaultKind kind : {FaultKind::crash_all, FaultKind::disk_full, FaultKind::write_error,
                               FaultKind::power_error, FaultKind::sync_error, FaultKind::constrained})
    if (mean(kind) != 0) mean(kind) = std::max(mean(kind), 15 * kSecond);
  // A damaged member counts as such to the end: seldom, or every run is about it.
  for (const FaultKind kind : kDamage)
    if (mean(kind) != 0) mean(kind) = static_cast<int64_t>(pick(r, {5, 20, 100})) * kSecond;
  if (limits.old_image) mean(FaultKind::old_image) = 20 * kSecond;
  // A snapshot of a wrong state is a wrong state for whoever begins with it; only its own member is to have
  // it.
  if (mean(FaultKind::diverge) != 0) s->snapshot_every = 0;
  s->fault_length_us = static_cast<int64_t>(pick(r, {200, 1000, 4000, 12000})) * kMs;
  s->power_failure = static_cast<double>(r.below(3)) / 2.0;
  s->aim_at_leader = static_cast<double>(pick(r, {0, 3, 5, 8})) / 10.0;
  s->liveness_core = r.chance(0.5);
  s->halting_run = s->real_log && r.chance(0.03);
  if (s->halting_run) mean(kDamage[r.below(4)]) = 10 * kSecond;
}

void draw_operations(Random& r, Swarm* s) {
  if (!r.chance(0.4)) return;
  s->puts = static_cast<uint32_t>(r.between(5, 60));
  s->removes = static_cast<uint32_t>(r.below(100 - s->puts));
  s->ranges = static_cast<uint32_t>(r.below(101 - s->puts - s->removes));
}

// What a run costs is what is asked in it. Beyond this many operations there is little new in a run, and the
// time is better spent on another: a load that is as dense as drawn, with rests between.
void draw_bursts(Random& r, Swarm* s) {
  constexpr double kOperationsMax = 6000;
  const auto round_us = static_cast<double>(s->think_us + 2 * s->network.delay_us + s->disk.sync_us + kMs);
  const double asked = s->clients * static_cast<double>(s->fault_phase_us) / round_us;
  // In some others for the rests' sake: what was done last stays the last for a while.
  if (asked <= kOperationsMax && !r.chance(0.5)) return;
  const double period = static_cast<double>(pick(r, {2, 6, 20})) * kSecond;
  s->burst_us = static_cast<int64_t>(period * std::min(0.4, kOperationsMax / asked));
  s->rest_us = static_cast<int64_t>(period) - s->burst_us;
}

}  // namespace

const char* fault_name(FaultKind kind) { return kFaultNames[static_cast<int>(kind)]; }

Swarm draw_swarm(uint64_t seed, const SwarmLimits& limits) {
  Random r(seed ^ 0xdec4ee0000000000ULL);
  Swarm s;
  s.members = static_cast<uint32_t>(pick(r, {1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7}));
  if (limits.members != 0) s.members = limits.members;
  const double stretch = static_cast<double>(limits.seconds_max) / static_cast<double>(limits.seconds_min);
  s.fault_phase_us =
      static_cast<int64_t>(static_cast<double>(limits.seconds_min) * std::pow(stretch, r.unit()) *
                           static_cast<double>(kSecond) * limits.scale);
  draw_network(r, &s);
  draw_disk(r, &s);
  draw_limits(r, &s);
  s.real_log = (r.chance(0.5) || limits.server) && limits.real_log;
  draw_faults(r, limits, &s);
  s.options.seed = r.next();
  s.wake_us = static_cast<int64_t>(pick(r, {10, 10, 20, 50})) * kMs;
  s.real_store = limits.real_store;
  s.fork_check = s.real_log || !s.real_store ? 0.002 : 0.02;
  s.clients = static_cast<uint32_t>(r.between(2, 8));
  s.keys = static_cast<uint32_t>(pick(r, {1, 3, 6, 20}));
  s.think_us = static_cast<int64_t>(pick(r, {20, 200, 1000, 3000})) * kMs;
  s.patience_us = static_cast<int64_t>(pick(r, {300, 2000, 8000})) * kMs;
  s.follow_leader = r.chance(0.5) ? 0 : 0.7;
  if (r.chance(0.3)) {
    s.fault_mean_us[static_cast<int>(FaultKind::change)] =
        static_cast<int64_t>(pick(r, {1, 3, 10, 30})) * kSecond;
    // The atlas and the second phase count the members as they began: a quorum of them must stay one.
    const bool damage = std::any_of(std::begin(kDamage), std::end(kDamage), [&s](FaultKind kind) {
      return s.fault_mean_us[static_cast<int>(kind)] != 0;
    });
    s.role_changes = !damage && !s.liveness_core && s.members >= 3;
    s.options.catch_up_slots_max = pick(r, {1, 20, 5000});
  }
  s.request_layer = (r.chance(0.5) || limits.server) && limits.request_layer && s.real_store;
  if (r.chance(0.4)) s.compact_mean_us = static_cast<int64_t>(pick(r, {300, 3000, 20000})) * kMs;
  if (r.chance(0.5)) s.compact_all = 0.5;
  if (r.chance(0.3)) s.old_reads = 0.2;
  draw_operations(r, &s);
  if (r.chance(0.4)) s.value_bytes = pick(r, {100, 600, 3000});
  if (!s.real_store) {
    // Runs about the core: long and with few clients, because what goes wrong is between the members.
    s.clients = static_cast<uint32_t>(r.between(2, 4));
    s.think_us = static_cast<int64_t>(pick(r, {200, 1000, 3000})) * kMs;
    s.old_reads = 0;
  }
  draw_bursts(r, &s);
  return s;
}

std::string describe(const Swarm& s) {
  std::string faults;
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind)
    if (s.fault_mean_us[kind] != 0)
      faults += fmt::format(" {}/{}s", kFaultNames[kind], s.fault_mean_us[kind] / kSecond);
  return fmt::format(
      "{} members, {} clients on {} keys, {} s of faults:{}; faults last {} ms, {}then heal {}; net {}+{} "
      "us, loss {:.3f}, "
      "dup {:.3f}, straggle "
      "{:.3f}, {}; disk {}+{} us, stall {:.3f}; {} log, {} store{}, snapshot every {}, compaction every {} "
      "ms, turn delay {} us, think {} us{}",
      s.members, s.clients, s.keys, s.fault_phase_us / kSecond, faults, s.fault_length_us / kMs,
      s.halting_run ? "disks may all be damaged, " : "", s.liveness_core ? "a quorum" : "all",
      s.network.delay_us, s.network.jitter_us, s.network.loss, s.network.duplicate, s.network.straggle,
      s.network.in_order ? "in order" : "any order", s.disk.sync_us, s.disk.jitter_us, s.disk.stall,
      s.real_log ? "real" : "model", s.real_store ? "real" : "toy",
      s.request_layer ? " behind the request layer" : "", s.snapshot_every, s.compact_mean_us / kMs,
      s.turn_delay_us, s.think_us,
      s.rest_us == 0 ? ""
                     : fmt::format(", bursts of {} ms and rests of {}", s.burst_us / kMs, s.rest_us / kMs));
}

}  // namespace decree::lab
