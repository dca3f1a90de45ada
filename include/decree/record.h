// What the core asks its host to make durable, in the order in which it must become durable.
#pragma once

#include <map>
#include <variant>
#include <vector>

#include "decree/membership.h"
#include "decree/types.h"

namespace decree {

// Identity of the disk: written once when the data directory is made.
struct Identity {
  ClusterId cluster;
  NodeId node;
  uint64_t member_id = 0;
  Incarnation incarnation;
  friend bool operator==(const Identity&, const Identity&) = default;
};

// Raise of the promise. Lives in the superblock, synced BEFORE any log record that follows it in the
// same batch (protocol 2.2, attack A7).
struct PromiseRecord {
  Ballot promised;
  friend bool operator==(const PromiseRecord&, const PromiseRecord&) = default;
};

// Opens an epoch. Durable BEFORE the superblock names it (attack A15).
struct EpochRecord {
  Membership membership;
  Ballot initial_ballot;  // none at genesis
  friend bool operator==(const EpochRecord&, const EpochRecord&) = default;
};

// Entries accepted at one ballot in consecutive slots (Bill).
struct AcceptRecord {
  Ballot ballot;
  Slot first;
  std::vector<Entry> entries;
  friend bool operator==(const AcceptRecord&, const AcceptRecord&) = default;
};

// Entries known chosen, learned from a peer (Law). Ballots are kept where known: a Law's record survives as a
// Law (attack A14).
struct LawRecord {
  Slot first;
  std::vector<Entry> entries;
  friend bool operator==(const LawRecord&, const LawRecord&) = default;
};

// Lazily written hint: everything up to here is decided. Never needed for safety, saves catch-up after
// restart.
struct DecidedRecord {
  Slot upto;
  friend bool operator==(const DecidedRecord&, const DecidedRecord&) = default;
};

// A snapshot at `index` was installed or taken and is durable; the log starts behind it.
struct SnapshotRecord {
  Slot index;
  Digest128 chain;    // chain(index)
  uint64_t term = 0;  // highest barrier's term at index
  friend bool operator==(const SnapshotRecord&, const SnapshotRecord&) = default;
};

using Record =
    std::variant<PromiseRecord, EpochRecord, AcceptRecord, LawRecord, DecidedRecord, SnapshotRecord>;

struct PersistedRecord {
  LogToken token;
  Record record;
};

// What a restart finds: log replayed in order, later records win, slots <= snapshot_index dropped.
struct RecoveredState {
  Identity identity;
  uint64_t boot = 0;  // this start's number, already durable
  Ballot promised;    // max of superblock and every accepted ballot
  Membership membership;
  bool has_membership = false;  // false: fresh directory, genesis not written yet
  Ballot initial_ballot;
  Slot snapshot_index;  // 0 = none
  Digest128 snapshot_chain;
  uint64_t snapshot_term = 0;
  Slot decided_hint;                       // >= snapshot_index
  std::map<Slot, AcceptedEntry> accepted;  // > snapshot_index
  // Slots > snapshot_index whose newest record is damaged: something up to the ballot may have been accepted
  // there (protocol 2.14). Not in `accepted`.
  std::map<Slot, Ballot> unknown;
  // Durable writes that this disk had taken when it was opened, before this start's own; never fewer than it
  // ever told anybody, unless writes were lost or an old image was put back. 0 = the host does not count.
  uint64_t disk_writes = 0;
};

}  // namespace decree
