// What one seed is made of: the size of the cluster, which faults and how strong, how the clients behave, how
// small the limits are. Every seed draws its own mix, because a fault that always happens hides what only
// happens without it.
#pragma once

#include <cstdint>
#include <string>

#include "decree/options.h"
#include "lab/sim/network.h"
#include "lab/sim/random.h"

namespace decree::lab {

enum class FaultKind : uint8_t {
  crash_one,      // a process dies (kill or power failure), starts again
  crash_promise,  // dies in the middle of its next write of a promise
  crash_commit,   // dies in the middle of its next log write
  crash_all,      // all at the same moment
  pause,          // SIGSTOP: time goes on, nothing else does
  cut_member,     // one member from all others, both ways
  cut_halves,     // two sides
  cut_one_way,    // one direction of one link, or everything out of (into) one member
  cut_link,       // both directions of one link
  chained,        // the members in a row, each sees its neighbours only
  cloudflare,     // the leader and another cannot reach each other, everybody else reaches both
  quorum_loss,    // all links but those of one member, and that is not the leader (Omni-Paxos)
  constrained,    // a member is cut off and falls behind, then only its links are left (Omni-Paxos)
  swizzle,        // links of some members clog one by one and come back in another order (FoundationDB)
  lose_beats,     // only heartbeats suffer
  slow_link,
  reset_link,  // the connection closes and opens again
  clock_jump,  // a member's clock jumps ahead
  clock_rate,  // ... runs too fast or too slow
  slow_disk,
  disk_full,
  write_error,  // the n-th write and all later ones fail
  power_error,  // the power fails in the middle of the n-th operation of the disk
  sync_error,   // the next sync fails, and what it should have made durable is lost
  read_error,
  rot_log,  // bits or sectors change that were durable
  rot_superblock,
  rot_snapshot,
  misdirected,   // a write to the log lands elsewhere
  old_image,     // the disk becomes what it was before (only with --old-image)
  diverge,       // a command takes effect twice in one member's memory
  upset_leader,  // whoever wins the next Elections is struck a moment later: dies, is cut off, pauses
  duel,          // each new leader is cut off a moment later, and the one before it comes back
  transfer,      // a leadership transfer is asked for
  change,        // another epoch is asked for: addresses, and roles where the run allows it
  count,
};
constexpr uint32_t kFaultKinds = static_cast<uint32_t>(FaultKind::count);
const char* fault_name(FaultKind kind);

struct DiskProfile {
  int64_t sync_us = 500;  // least
  int64_t jitter_us = 200;
  double stall = 0;  // chance of a long sync
  int64_t stall_us = 0;
};

struct Swarm {
  uint32_t members = 3;
  int64_t tick_us = 10'000;
  int64_t wake_us = 10'000;  // how often a member looks at its clock
  int64_t fault_phase_us = 0;
  Options options;
  NetworkProfile network;
  DiskProfile disk;
  bool real_log = false;        // wal_disk instead of model_disk
  bool real_store = true;       // kv::Store instead of the toy
  bool request_layer = false;   // clients speak to api::KvService instead of to the log and the store
  int64_t compact_mean_us = 0;  // mean time between two compactions; 0 = never
  uint64_t snapshot_every = 0;  // slots
  uint64_t segment_bytes = 0;
  uint32_t transfer_chunk_bytes = 0;
  uint32_t transfer_chunks_inflight = 2;
  uint32_t inputs_per_turn_max = 8192;
  uint32_t applies_per_turn_max = 2048;
  uint32_t clients_queued_max = 20000;
  uint64_t unsynced_bytes_max = 128u << 20;
  int64_t fault_mean_us[kFaultKinds] = {};  // mean time between two of a kind; 0 = never
  int64_t fault_length_us = 0;              // mean
  double aim_at_leader = 0;                 // share of the faults of one member that hit the leader
  bool halting_run = false;                 // the atlas lets all disks be damaged: to halt is right
  bool liveness_core = false;  // in the second phase only a quorum is healed, the rest stays as it is
  bool role_changes = false;   // voters become learners and voters again
  double power_failure = 0.5;  // of crashes
  int64_t turn_delay_us = 0;   // mean; more gathers more inputs in one turn
  int64_t work_us = 5000;      // most, of a worker
  double turn_spent = 0;       // chance that a turn is told to stop early
  double fork_check = 0;       // share of acknowledgements at which the disk is really forked
  uint32_t clients = 4;
  uint32_t keys = 4;
  int64_t think_us = 0;
  // Clients that would ask more than a run has time for do it in bursts, and rest between them; 0: never
  // rest.
  int64_t burst_us = 0;
  int64_t rest_us = 0;
  int64_t patience_us = 0;
  uint64_t value_bytes = 0;  // values are longer by up to so many: records over several sectors
  // Of a hundred operations; the rest are transactions.
  uint32_t puts = 35;
  uint32_t removes = 8;
  uint32_t ranges = 32;
  double compact_all = 0.03;  // share of compactions that keep nothing older than now
  double old_reads = 0;       // share of ranges that ask for an older revision
  double follow_leader = 0;   // share of operations sent to the leader on purpose
};

struct SwarmLimits {
  bool real_log = true;
  bool real_store = true;
  bool server = false;        // every seed on the real log, store and request layer
  bool request_layer = true;  // drawn; false: never
  bool old_image = false;     // in every run
  uint32_t members = 0;       // 0: drawn, 1 to 7
  uint64_t seconds_min = 20;  // of the fault phase; drawn so that each doubling is as likely as the others
  uint64_t seconds_max = 300;
  double scale = 1;  // of its length
};

Swarm draw_swarm(uint64_t seed, const SwarmLimits& limits);
std::string describe(const Swarm& swarm);

}  // namespace decree::lab
