// One member: the replica, the state machine and what lies between them. Sans-IO: everything outside is the
// Host.
//
// Not thread-safe; everything is called from the loop's thread. The on_...() calls only queue; turn() works.
// The server runs turn() after every wait of its loop, the simulator whenever wake() was called or turn()
// left work.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "decree/consensus.h"
#include "decree/replica.h"
#include "decree/state_machine.h"
#include "runtime/agreement.h"
#include "runtime/host.h"
#include "runtime/snapshot_store.h"

namespace decree::runtime {

class History;
class SnapshotTaker;
class SnapshotTransfer;

struct NodeOptions {
  Identity identity;
  uint64_t boot = 0;  // RecoveredState::boot

  // What the state machine holds already (from start_up.h's restore); all zero on a fresh directory.
  Slot applied;
  Digest128 chain;
  uint64_t term = 0;
  std::optional<StoredSnapshot> snapshot;  // the one restored, offered to peers until a newer is taken

  // Snapshot when BOTH are reached: so many slots since the last one ...
  uint64_t snapshot_count = 100000;
  // ... and so many bytes of log, or half the size of the last snapshot where that is more. A memory-first
  // store writes the whole state each time, so the cost of one snapshot has to be spread over a log of
  // comparable size; with the half, writing snapshots never costs more than twice what the log itself costs.
  uint64_t snapshot_log_bytes_min = 16u << 20;

  // Bounds of one turn (the Host's turn_spent() ends it earlier).
  uint32_t inputs_per_turn_max = 8192;
  uint32_t applies_per_turn_max = 2048;

  // Queued and not yet stepped; beyond, proposals are refused (definitely_not) and peers' frames dropped.
  uint32_t clients_queued_max = 20000;
  uint64_t clients_queued_bytes_max = 64u << 20;
  uint64_t peers_queued_bytes_max = 128u << 20;
  // Records handed out and not yet durable; beyond, what would add more is refused. Bounds memory while a
  // disk is full or hangs. At least Options::inflight_bytes_max: what a leader sends beyond it is thrown away
  // here and sent again.
  uint64_t unsynced_bytes_max = 128u << 20;

  // Of a snapshot written or loaded between two turns: about half a millisecond.
  uint32_t snapshot_slice_bytes = 64u << 10;
  uint32_t transfer_chunk_bytes = 512u << 10;
  uint32_t transfer_chunks_inflight = 2;
  uint32_t transfer_retry_ticks = 100;  // no chunk for so long: ask again
  uint32_t transfer_idle_ticks = 1000;  // nothing for so long: forget the transfer (either side)
  uint64_t log_read_bytes = 4u << 20;   // payload in one catch-up read from disk

  // Digests of history and state are told to the others at every so many slots, and when nothing was applied
  // for a while.
  uint32_t digest_slots = 250;
  uint32_t digest_idle_ticks = 100;

  uint32_t leaderless_ticks = 20;  // nobody leads for so long: told to the operator

  // What was decided so long ago and is not applied here: this member does not lead (0: never looked at).
  uint32_t apply_lag_ticks = 100;

  uint32_t history_slots = 1024;  // slots whose story is remembered for explain(); 0: none
};

struct NodeCounters {
  uint64_t turns = 0;
  uint64_t inputs = 0;
  uint64_t proposals = 0;
  uint64_t refused = 0;  // proposals refused here because a queue was full
  uint64_t applied_entries = 0;
  uint64_t batches = 0;         // handed to Host::commit
  uint64_t frames_dropped = 0;  // peers' messages dropped: digest mismatch or full queues
  uint64_t digest_mismatches = 0;
  uint64_t snapshots_taken = 0;
  uint64_t snapshots_sent = 0;
  uint64_t snapshots_installed = 0;
};

class Node : public Consensus {
 public:
  // All references must outlive the Node. `store` is only touched inside Host::run works. `observer` may be
  // null.
  Node(Host& host, Replica replica, StateMachine& machine, SnapshotStore& store, NodeOptions options,
       NodeObserver* observer = nullptr);
  ~Node() override;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // ---- inputs: queued, worked off by turn() ----
  void on_message(NodeId from, Message message);
  void on_peer_link(const PeerLink& link);
  // A process with another disk than the known one asks to be let in as `peer`.
  void on_disk_replaced(NodeId peer, Incarnation incarnation);
  void on_tick(Tick now);  // several between two turns count as the last
  // `disk_writes`: RecoveredState::disk_writes as it stands now; 0 where the host does not count.
  void on_persisted(LogToken upto, uint64_t disk_writes = 0);
  // The log failed. Nothing is stepped, sent or applied any more; the host stops the process.
  void on_log_error(const Error& error);
  void on_disk_health(bool ok);
  void retire();  // stop leading, never lead again (shutdown)
  // The newest snapshot, or the log before it, is damaged: takes a snapshot as soon as it can, also where
  // nothing was applied since the last one, and drops the whole log before it.
  void renew_snapshot();

  // One turn. True: work is left over, call again without waiting.
  bool turn();

  // ---- Consensus ----
  void set_sink(ConsensusSink* sink) override { sink_ = sink; }
  using Consensus::propose;
  uint64_t propose(std::shared_ptr<const std::string> command) override;
  uint64_t read() override;
  ConsensusStatus status() const override;
  void transfer_leadership(NodeId to) override;
  const Membership& membership() const override { return replica_.membership(); }
  uint64_t change_members(Membership next, bool forced) override;
  void explain(Slot slot, const ExplainDone& done) override;
  SlotRange slots_of_version(uint64_t version) const override;

  const Replica& replica() const { return replica_; }
  Slot applied() const { return applied_; }
  Digest128 chain() const { return chain_; }  // chain(applied())
  const NodeCounters& counters() const { return counters_; }
  // A peer knows more of this member's disk than is on it: the host gives the disk up. Nothing was stepped
  // after that.
  const std::optional<DiskOutdated>& outdated() const { return outdated_; }
  // Set by on_log_error(), by a snapshot that could not be restored, or by outdated(): the member has
  // stopped.
  const std::optional<Error>& failure() const { return failure_; }
  // Why failure() was set, when it was because a majority of the members has another state than this one:
  // what this member says is not to be believed, its disk included.
  const std::optional<Agreement::Finding>& divergence() const { return divergence_; }
  bool is_peer_connected(NodeId peer) const;
  bool transfer_active() const;  // a snapshot comes in or goes out

 private:
  friend class SnapshotTaker;
  friend class SnapshotTransfer;

  void step_inputs();
  void record_history();
  void remember_epoch(const Membership& membership);
  void watch_leader();
  void watch_applying();
  void take_digest();
  void compare_digests();
  void step(const Input& input);
  void send(std::vector<Outgoing>& messages);
  void persist(std::vector<PersistedRecord>& records);
  void apply_decided();
  void answer_reads();
  void answer_outcomes();
  void on_stop_sign(const Entry& entry);
  void on_barrier(const Entry& entry);
  void run_jobs(std::vector<Job>& jobs);
  void send_log(const SendLogJob& job);
  void give_up_disk(const DiskOutdated& old);
  void truncate(Slot upto);
  Slot kept_for_others(Slot upto) const;
  bool has_work() const;
  bool accepts_from_peer(const Message& message);
  void note(Severity severity, const char* event, const std::string& detail) const;
  // The state machine is at `manifest.index` now, by a peer's snapshot that is durable here.
  void on_snapshot_installed(const StoredSnapshot& stored);
  void on_snapshot_taken(const StoredSnapshot& stored);
  void fail(const Error& error);

  Host& host_;
  Replica replica_;
  StateMachine& machine_;
  SnapshotStore& store_;
  NodeOptions options_;
  NodeObserver* observer_;
  ConsensusSink* sink_ = nullptr;

  // Queued inputs, by the order in which a turn takes them.
  std::vector<Input>
      first_;  // Persisted, disk health, snapshot results, log reads: bounded by what is in flight
  std::deque<Received> peers_;
  std::vector<PeerLink> links_;
  std::optional<Tick> tick_;
  std::deque<Input> clients_;  // Propose, Read, TransferLeadership, Retire
  uint64_t peers_bytes_ = 0;
  uint64_t peers_taken_ = 0;  // messages stepped since the start
  uint64_t tick_after_ = 0;   // tick_ is judged once peers_taken_ got here: what waited before it was read
  uint64_t clients_bytes_ = 0;

  Effects effects_;
  std::vector<PersistedRecord> unsent_records_;  // wait for the batch in flight
  uint64_t unsent_bytes_ = 0;
  uint64_t inflight_bytes_ = 0;
  bool batch_in_flight_ = false;
  LogToken batch_token_;

  std::deque<DecidedEntry> decided_;  // handed out, not yet applied
  bool ready_ = false;                // the replica is, and what that rests on is applied
  Slot applied_;
  Digest128 chain_;
  uint64_t term_ = 0;

  std::vector<ReadReady> reads_waiting_;  // index not applied yet; sorted by index, then arrival
  // Changes of members decided here, by the epoch they open: answered when that epoch has decided its
  // barrier, which proves that enough of its voters hold everything before it (attack A5).
  std::map<uint32_t, uint64_t> changes_;
  std::vector<uint64_t> refused_;  // proposals refused by propose(), told in the next turn

  std::map<NodeId, bool> links_up_;
  std::map<NodeId, bool> log_reads_;  // one catch-up read in flight per peer
  Tick now_;
  bool disk_ok_ = true;
  std::optional<Tick> leaderless_since_ = Tick(0);  // until it is told
  bool applying_ok_ = true;
  Slot to_apply_;  // decided when last looked at; must be applied when looked at again
  Tick to_apply_since_;
  uint64_t next_seq_ = 1;
  bool background_left_ = false;
  bool renewing_ = false;
  Slot previous_snapshot_;  // the log is kept from here on for members that are behind
  NodeCounters counters_;
  std::optional<Error> failure_;
  std::optional<DiskOutdated> outdated_;

  Agreement agreement_;
  bool digests_news_ = false;  // something to compare
  Slot digest_slot_;           // of the last digest taken here
  bool doubted_ = false;       // somebody differs, and it is not settled who is wrong
  Slot vouched_;               // up to here a majority had this member's state
  Tick applied_at_;            // when applied_ was last seen to move
  Slot applied_seen_;
  Slot told_differing_;
  bool disputed_ = false;
  std::optional<Agreement::Finding> divergence_;

  std::unique_ptr<History> history_;
  std::deque<Membership> epochs_;  // the last ones, newest last: for explain()
  std::unique_ptr<SnapshotTaker> taker_;
  std::unique_ptr<SnapshotTransfer> transfer_;
};

}  // namespace decree::runtime
