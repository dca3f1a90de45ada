#include "lab/sim/swarm.h"

#include <algorithm>

#include <fmt/format.h>

namespace decree::lab {

namespace {

constexpr int64_t kMs = 1000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr const char* kFaultNames[] = {"crash_one",  "crash_commit", "crash_all", "pause",      "cut_member",
                                       "cut_halves", "cut_one_way",  "cut_link",  "lose_beats", "slow_link",
                                       "reset_link", "slow_disk",    "transfer"};
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

void draw_limits(Random& r, Swarm* s) {
  Options& o = s->options;
  if (r.chance(0.3)) o.accept_entries_max = static_cast<uint32_t>(pick(r, {1, 2, 5, 20}));
  if (r.chance(0.3)) o.accept_bytes_max = static_cast<uint32_t>(pick(r, {200, 1000, 5000}));
  if (r.chance(0.3)) o.inflight_bytes_max = static_cast<uint32_t>(pick(r, {200, 2000, 20000}));
  if (r.chance(0.2)) o.proposals_queued_max = static_cast<uint32_t>(pick(r, {1, 3, 10}));
  if (r.chance(0.3)) o.promise_runs_max = static_cast<uint32_t>(pick(r, {1, 2, 5}));
  if (r.chance(0.2)) o.reads_queued_max = static_cast<uint32_t>(pick(r, {1, 3, 10}));
  if (r.chance(0.4)) {
    o.cached_log_bytes_max = pick(r, {1, 500, 5000});
    o.cached_log_entries_min = pick(r, {1, 4, 16});
  }
  if (r.chance(0.3)) o.stalled_bill_ticks = static_cast<uint32_t>(pick(r, {30, 60, 200}));
  if (r.chance(0.7)) s->snapshot_every = pick(r, {5, 20, 100, 500});
  s->transfer_chunk_bytes = static_cast<uint32_t>(pick(r, {1000, 8000, 64000}));
  s->segment_bytes = pick(r, {4096, 16384, 65536});
  s->turn_spent = r.chance(0.2) ? 0.2 : 0;
  if (r.chance(0.4)) s->turn_delay_us = static_cast<int64_t>(pick(r, {50, 500, 3000}));
}

void draw_faults(Random& r, Swarm* s) {
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
    if (!r.chance(0.35)) continue;
    s->fault_mean_us[kind] = static_cast<int64_t>(pick(r, {3, 8, 20, 60})) * kSecond;
  }
  // Everything down at once, all the time, leaves nothing to look at.
  int64_t& all = s->fault_mean_us[static_cast<int>(FaultKind::crash_all)];
  if (all != 0) all = std::max(all, 15 * kSecond);
  s->fault_length_us = static_cast<int64_t>(pick(r, {200, 1000, 4000, 12000})) * kMs;
  s->power_failure = static_cast<double>(r.below(3)) / 2.0;
}

}  // namespace

const char* fault_name(FaultKind kind) { return kFaultNames[static_cast<int>(kind)]; }

Swarm draw_swarm(uint64_t seed, const SwarmLimits& limits) {
  Random r(seed ^ 0xdec4ee0000000000ULL);
  Swarm s;
  s.members = static_cast<uint32_t>(pick(r, {3, 3, 3, 4, 5, 5}));
  s.fault_phase_us = static_cast<int64_t>(
      static_cast<double>(r.between(120, 300) * static_cast<uint64_t>(kSecond)) * limits.scale);
  draw_network(r, &s);
  draw_disk(r, &s);
  draw_limits(r, &s);
  draw_faults(r, &s);
  s.options.seed = r.next();
  s.real_log = r.chance(0.5) && limits.real_log;
  s.real_store = limits.real_store;
  s.fork_check = s.real_log ? 0.002 : 0.02;
  s.clients = static_cast<uint32_t>(r.between(2, 8));
  s.keys = static_cast<uint32_t>(pick(r, {1, 3, 6, 20}));
  s.think_us = static_cast<int64_t>(pick(r, {20, 200, 1000, 3000})) * kMs;
  s.patience_us = static_cast<int64_t>(pick(r, {300, 2000, 8000})) * kMs;
  s.follow_leader = r.chance(0.5) ? 0 : 0.7;
  return s;
}

std::string describe(const Swarm& s) {
  std::string faults;
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind)
    if (s.fault_mean_us[kind] != 0)
      faults += fmt::format(" {}/{}s", kFaultNames[kind], s.fault_mean_us[kind] / kSecond);
  return fmt::format(
      "{} members, {} clients on {} keys, {} s of faults:{}; faults last {} ms; net {}+{} us, loss {:.3f}, "
      "dup {:.3f}, straggle "
      "{:.3f}, {}; disk {}+{} us, stall {:.3f}; {} log, {} store, snapshot every {}, turn delay {} us",
      s.members, s.clients, s.keys, s.fault_phase_us / kSecond, faults, s.fault_length_us / kMs,
      s.network.delay_us, s.network.jitter_us, s.network.loss, s.network.duplicate, s.network.straggle,
      s.network.in_order ? "in order" : "any order", s.disk.sync_us, s.disk.jitter_us, s.disk.stall,
      s.real_log ? "real" : "model", s.real_store ? "real" : "toy", s.snapshot_every, s.turn_delay_us);
}

}  // namespace decree::lab
