// One struct per message of the protocol. docs/protocol.md has the table: who sends it to whom, and
// what must be durable first. Wire form: src/transport/codec.
#pragma once

#include <variant>
#include <vector>

#include "decree/membership.h"
#include "decree/types.h"

namespace decree {

// ---- ELECTION (phase 1, for every slot >= first at once) ----
struct Prepare {
  Ballot ballot;
  Slot first;  // f: first slot the candidate does not know chosen
};

// Consecutive slots accepted at one ballot, or known chosen.
struct PromiseRun {
  Ballot ballot;
  bool law = false;
  SlotRange slots;
  friend bool operator==(const PromiseRun&, const PromiseRun&) = default;
};

// A slot whose accepted value was damaged: something up to `bound` may have been accepted here.
struct UnknownSlot {
  Slot slot;
  Ballot bound;
  friend bool operator==(const UnknownSlot&, const UnknownSlot&) = default;
};

// Metadata only, in chunks. All chunks come from one capture (attack A16): the candidate discards mixed ones.
struct Promise {
  Ballot ballot;
  Slot decided;  // c: prefix whose values the sender holds (attack A4)
  Slot snapshot_index;
  uint64_t capture = 0;  // one number per Promise made in one boot
  uint64_t boot = 0;
  uint32_t chunk = 0;
  bool last = true;
  std::vector<PromiseRun> runs;
  std::vector<UnknownSlot> unknown;  // in the first chunk
  uint64_t disk_writes = 0;          // of the sender's disk, durable; 0 = not counted
};

// Values are named by (slot, ballot), never by checksum (attack A6).
struct FetchItem {
  Ballot ballot;
  bool law = false;
  SlotRange slots;
};
struct Fetch {
  Ballot ballot;  // of the election that asks
  std::vector<FetchItem> items;
};
struct FetchedEntry {
  Slot slot;
  AcceptedEntry accepted;
};
struct FetchReply {
  Ballot ballot;
  std::vector<FetchedEntry> entries;
};

// ---- BILL (phase 2) ----
struct Accept {
  Ballot ballot;
  Slot base;                   // base_b: first slot this ballot proposes
  Slot first;                  // slot of entries[0]
  Slot decided;                // Laws so far
  std::vector<Entry> entries;  // empty: probe, answered with the present position
};
// Cumulative: everything base..upto is accepted at `ballot` (or a durable Law) and durable.
struct Accepted {
  Ballot ballot;
  Slot upto;
  Slot decided;              // the sender's
  Slot wanted;               // != 0: a gap; next slot the acceptor can take at this ballot
  bool behind = false;       // the gap lies below `base`: needs Chosen or a snapshot first
  uint64_t disk_writes = 0;  // of the sender's disk, durable; 0 = not counted
};
enum class NackReason : uint8_t {
  promised_higher,
  sealed,
  below_epoch_base,
  wrong_epoch,
  leased,
  old_disk,  // the receiver's disk holds less than the receiver once said: it must not vote with it
};
// "Abort everything and move to the higher round."
struct Nack {
  Ballot ballot;    // what was refused
  Ballot promised;  // what stands in its way
  NackReason reason = NackReason::promised_higher;
  // Of old_disk: the start that is meant, and how many durable writes the sender was told of before it.
  uint64_t boot = 0;
  uint64_t disk_writes = 0;
};

// ---- LAW (learning) ----
struct Law {
  Ballot ballot;
  Slot decided;
};
// Ask anyone for decided entries from `first`.
struct Learn {
  Slot first;
};
struct Chosen {
  uint32_t epoch = 0;
  Slot first;
  std::vector<Entry> entries;
  Slot decided;            // the sender's
  Digest128 chain_before;  // chain(first - 1)
};

// ---- clients of other members ----
// A member that lost its link to the leader hands these to a neighbour that has one, which passes them on,
// once, and the answer back; `origin` is then the member whose clients ask, else none.
struct Forward {
  Ballot ballot;  // proposed under this ballot or not at all: makes the outcome decidable later
  uint64_t boot = 0;
  uint64_t batch = 0;  // counts up within (boot, ballot); a batch seen twice or late is dropped
  std::vector<Entry> entries;
  NodeId origin;
};
enum class Outcome : uint8_t { chosen, definitely_not, unknown };
// Why a change of members was refused: `kind` for programs, `sentence` for the operator.
struct ChangeRefused {
  enum class Kind : uint8_t {
    none,           // it was no change of members, or nobody knows why
    outdated,       // the members changed meanwhile: look, and ask again
    not_caught_up,  // a member that is to vote lacks too much of the log
    unreachable,    // too few voters of the next epoch can be reached
    other,
  };
  Kind kind = Kind::none;
  std::string sentence;
};
struct ForwardReply {
  std::vector<RequestId> ids;
  Outcome outcome = Outcome::definitely_not;
  ChangeRefused refused;
  bool leader_gone = false;  // whom the Forward was meant for leads no more: submit again
};
struct ReadIndex {
  uint64_t boot = 0;
  uint64_t seq = 0;  // a new one for every try (etcd#20418)
  NodeId origin;
};
struct ReadIndexReply {
  uint64_t boot = 0;
  uint64_t seq = 0;
  bool ok = false;
  Slot index;
  NodeId origin;
};
// Confirmation that `ballot` was not outranked when `round` was asked (protocol 2.13).
struct Confirm {
  Ballot ballot;
  uint64_t round = 0;
};
struct ConfirmReply {
  Ballot ballot;
  uint64_t round = 0;
};

// ---- failure detection and quorum-connected election (own connection) ----
struct BeatView {
  Ballot leader;  // ballot the sender follows; none = no leader
  bool happy = false;
  Slot decided;
  Slot upto;  // durable, never counts towards a quorum
  bool disk_ok = true;
  bool voter = true;
  uint64_t boot = 0;
  uint64_t disk_writes = 0;  // durable; 0 = not counted
  bool unfit = false;        // could not take over now whatever the others say: nobody waits for it
};
// The member's history and state behind slot: equal on all members of a cluster (docs/decisions/0016).
struct StateDigest {
  Slot slot;  // 0 = none yet
  Digest128 chain;
  Digest128 state;
};
struct Beat {
  uint64_t round = 0;
  BeatView view;
  StateDigest digest;  // the host's business, as snapshots are
};
struct BeatReply {
  uint64_t round = 0;
  BeatView view;
};
// The leader asks `to` to run an Election at once (shutdown, MoveLeader).
struct TransferNow {
  Ballot ballot;
};
struct StopHint {
  uint32_t epoch = 0;
  Slot stop_slot;
};

// ---- snapshots: pull, resumable; bytes are the host's business (runtime/snapshot_transfer) ----
struct SnapshotOffer {
  Slot index;
  Digest128 chain;
  uint64_t size_bytes = 0;
  Digest128 digest;  // of the file
};
struct SnapshotRequest {
  Slot index;
  uint64_t offset = 0;
  uint32_t bytes_max = 0;
};
struct SnapshotChunk {
  Slot index;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;  // of the whole file
  std::shared_ptr<const std::string> bytes;
};

using Message = std::variant<Prepare, Promise, Fetch, FetchReply, Accept, Accepted, Nack, Law, Learn, Chosen,
                             Forward, ForwardReply, ReadIndex, ReadIndexReply, Confirm, ConfirmReply, Beat,
                             BeatReply, TransferNow, StopHint, SnapshotOffer, SnapshotRequest, SnapshotChunk>;

// What every frame carries besides the message; any mismatch is dropped by the receiver (protocol 2.2).
struct Envelope {
  ClusterId cluster;
  NodeId from;
  Incarnation from_incarnation;
  NodeId to;
  uint32_t epoch = 0;
  Message message;
};

const char* message_name(const Message& message);

}  // namespace decree
