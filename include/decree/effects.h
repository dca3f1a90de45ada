// What one step asks its host to do, in the order in which it must be done.
//
// The durability contract is this type: `send_now` promises nothing that is not already durable;
// `released` holds only messages whose durable basis was covered by an Input::Persisted already seen.
// No host can send a promise early, because it does not have it yet.
#pragma once

#include <variant>
#include <vector>

#include "decree/message.h"
#include "decree/record.h"

namespace decree {

struct Outgoing {
  NodeId to;
  Message message;
};

// Decided (consensus reached) and durable here: hand to the state machine, in this order, without gaps.
struct DecidedEntry {
  Slot slot;
  uint64_t term = 0;  // etcd's raft_term at this point of the log, monotone
  Entry entry;
  Digest128 chain;  // chain(slot): goes into a snapshot taken here
};

// A read that asked earlier may be served as soon as `index` is applied.
struct ReadReady {
  uint64_t seq = 0;
  bool ok = false;  // false: no leader or quorum could confirm; nothing was promised
  Slot index;
};

struct OutcomeNotice {
  RequestId id;
  Outcome outcome = Outcome::unknown;  // chosen is told by applying; this is only for the other two
  ChangeRefused refused;               // of a change of members, where known
  // Definitely not, and for want of the leader it was meant for only: the same command may be submitted
  // again.
  bool leader_gone = false;
};

// ---- jobs: long work the host does outside the step ----
struct SendLogJob {  // read [first, ...) from the log on disk and send it to `to` as Chosen
  NodeId to;
  SlotRange slots;
};
struct SendSnapshotJob {  // `to` needs what the log no longer holds
  NodeId to;
};
struct TruncateLogJob {  // everything <= upto is covered by a durable snapshot
  Slot upto;
};
struct LeadershipChanged {  // for logs, metrics and admission
  Ballot ballot;            // none = no leader known
  bool is_self = false;
};
// Another epoch began here: connect to the added, drop the removed. `former` are members of the epoch before
// that may not know yet that they are removed; they stay connected to learn it.
struct MembershipChanged {
  Membership membership;
  std::vector<Member> former;
};
// A peer was told of more durable writes than this disk holds: it lost writes, or an old image of it was put
// back. This member does not vote any more; the host gives the disk up (protocol 2.14, 2.15).
struct DiskOutdated {
  NodeId told;  // who remembers
  uint64_t told_writes = 0;
  uint64_t found_writes = 0;
};
using Job = std::variant<SendLogJob, SendSnapshotJob, TruncateLogJob, LeadershipChanged, MembershipChanged,
                         DiskOutdated>;

struct Effects {
  std::vector<Outgoing> send_now;
  std::vector<PersistedRecord> persist;
  std::vector<Outgoing> released;
  std::vector<DecidedEntry> decided;
  std::vector<ReadReady> reads;
  std::vector<OutcomeNotice> outcomes;
  std::vector<Job> jobs;

  bool empty() const {
    return send_now.empty() && persist.empty() && released.empty() && decided.empty() && reads.empty() &&
           outcomes.empty() && jobs.empty();
  }
  void clear() {
    send_now.clear();
    persist.clear();
    released.clear();
    decided.clear();
    reads.clear();
    outcomes.clear();
    jobs.clear();
  }
};

// ---- inputs ----
struct Received {
  NodeId from;
  Message message;
};
struct Persisted {
  LogToken upto;             // every record with token <= upto is durable
  uint64_t disk_writes = 0;  // RecoveredState::disk_writes as it stands now; 0 = not counted
};
struct Ticked {
  Tick now;
};
struct Propose {
  Entry entry;  // kind command; id and digest set by the host
};
struct Read {
  uint64_t seq = 0;  // the host's, never reused within a boot
};
// A connection to `peer` came up or was closed. Closed is evidence at once, a timer is not needed.
struct PeerLink {
  NodeId peer;
  bool up = false;
  Incarnation incarnation = Incarnation(0);  // of its disk, where the host knows it
  uint64_t boot = 0;         // of its process; no two starts have the same, not even from copies of a disk
  uint64_t disk_writes = 0;  // what its disk held when that process started; 0 = not counted
};
// A process with another disk than the known one says it is `peer`. It is not let in; the leader replaces the
// old incarnation by an epoch change when the old one is silent (protocol 2.15).
struct DiskReplaced {
  NodeId peer;
  Incarnation incarnation;
};
// Change the members: the next epoch's roles, addresses and quorums, complete. `next.epoch` must be the
// present epoch + 1, else the members changed meanwhile and it is refused; base and first leader are set by
// the leader. From any member. Done when an entry of the next epoch is decided; `id` is told like a
// command's.
struct ChangeMembers {
  RequestId id;
  Membership next;
  bool forced = false;  // may lose fault tolerance
};
// A snapshot of the state machine at `index` taken here is durable.
struct SnapshotTaken {
  Slot index;
  Digest128 chain;  // of the last DecidedEntry it covers, as is the term
  uint64_t term = 0;
};
// A snapshot from a peer is verified, durable and restored into the state machine.
struct SnapshotInstalled {
  Slot index;
  Digest128 chain;
  Membership membership;
  uint64_t term = 0;
};
// Log entries read from disk for a peer (answer to SendLogJob); the core sends them as Chosen.
struct LogRead {
  NodeId to;
  Slot first;
  std::vector<Entry> entries;
  bool ok = true;  // false: not on disk any more, a snapshot is needed
};
struct DiskHealth {
  bool ok = true;
  bool applying = true;  // false: the state machine lags; does not lead, and votes as ever
};
struct TransferLeadership {
  NodeId to;  // 0 = whoever is best
};
// Stop leading and never take over again (shutdown).
struct Retire {};

using Input =
    std::variant<Received, Persisted, Ticked, Propose, Read, PeerLink, SnapshotTaken, SnapshotInstalled,
                 LogRead, DiskHealth, TransferLeadership, Retire, DiskReplaced, ChangeMembers>;

}  // namespace decree
