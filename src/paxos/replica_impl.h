// State of a replica beyond the safety kernel: who leads, what is in flight, who waits for what.
// Each group of members belongs to the file named above it; other files read it but do not write it.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "decree/replica.h"
#include "paxos/acceptor.h"
#include "paxos/prng.h"
#include "paxos/value_choice.h"

namespace decree {

// What this member knows of another one.
struct Peer {
  NodeId node;
  bool voter = true;
  bool former = false;      // not a member any more, and may not know it: it is answered, and counts nowhere
  Incarnation incarnation;  // of the disk that is connected; 0 = not known
  // failure_detector: request/reply only, so a one-way link counts as none (protocol 2.12)
  bool link_up = false;
  Tick last_reply;
  bool ever_replied = false;
  BeatView view;
  // proposer: how far this peer followed the present ballot
  enum class Flow : uint8_t { probe, stream } flow = Flow::probe;
  Slot match;  // acknowledged durable
  Slot next;   // next slot to send
  uint64_t inflight_bytes = 0;
  std::deque<std::pair<Slot, uint64_t>> inflight;  // (last slot, bytes) of Accepts not yet acknowledged
  Tick last_heard;                                 // of Accepted
  Tick last_probe;
  bool probe_due = false;
  Slot told_decided;
  // learner: highest decided prefix it is known to hold
  Slot knows_decided;
  // old_disk.cc: the most durable writes that this disk was ever said to hold, and of which start the link is
  uint64_t disk_writes = 0;
  uint64_t boot = 0;
  bool outdated = false;  // its disk holds less than that: nothing it says counts
};

struct Replica::Impl {
  Impl(RecoveredState recovered, const Membership& genesis, const Options& options);

  // ---- replica.cc: dispatch, durability, applying ----
  void step(const Input& input, Effects& effects);
  void end_turn(Effects& effects);
  void on_message(NodeId from, const Message& message);
  void on_persisted(const Persisted& m);
  void on_tick(Tick now);
  void apply_decided();
  void trim_cache();
  LogToken persist(Record record);
  void send(NodeId to, Message message) { out->send_now.push_back(Outgoing{to, std::move(message)}); }
  // Leaves once every record handed out so far is durable. To itself: delivered instead of sent.
  void send_when_durable(NodeId to, Message message);
  void raise_promise(Ballot ballot);
  bool epoch_matches(NodeId from, Ballot ballot);
  void hear_round(Ballot heard);
  void submit(Entry entry);
  void outcome(const RequestId& id, Outcome outcome, const ChangeRefused& refused = {},
               bool leader_gone = false) {
    out->outcomes.push_back(OutcomeNotice{id, outcome, refused, leader_gone});
  }
  void leader_says_decided(Ballot of, Slot decided);
  void settle_outcomes();
  void settle_leaver();
  void never_chosen(std::vector<RequestId> lost, bool leader_gone);
  void expire_waiting();

  // ---- election.cc: phase 1 ----
  void start_election();
  void on_prepare(NodeId from, const Prepare& m);
  void on_promise(NodeId from, const Promise& m);
  void on_fetch(NodeId from, const Fetch& m);
  void on_fetch_reply(NodeId from, const FetchReply& m);
  void on_nack(NodeId from, const Nack& m);
  void advance_election();
  bool fetch_missing(const std::vector<SlotPick>& picks);
  void election_tick();
  void become_leader(Slot base, std::vector<Entry> values);
  // "Abort everything and move to the higher round" (mission row M11).
  void step_down(Ballot higher);
  void leave_role();
  void follow(Ballot leader);

  // ---- failure_detector.cc: who should lead ----
  void beat_tick();
  void send_beats();
  BeatView own_view() const;
  void on_beat(NodeId from, const Beat& m);
  void on_beat_reply(NodeId from, const BeatReply& m);
  void note_view(Peer& peer, const BeatView& view);
  void on_peer_link(const PeerLink& link);
  void on_transfer_now(NodeId from, const TransferNow& m);
  void transfer_leadership(NodeId to);
  bool fresh(const Peer& peer) const;
  bool happy() const;
  void consider_takeover();
  bool fit_to_lead() const;
  bool may_take_over() const;
  // How many of those who might take over as well go first.
  uint32_t takeover_rank() const;
  void count_election();
  // A record has been on its way to this member's disk for so long.
  bool sync_hangs(uint32_t ticks) const;
  // Half the time after which a leader gives up: where all disks hang, nobody takes itself for better.
  bool disk_good() const { return disk_ok && !sync_hangs(options.stalled_sync_ticks / 2); }
  // So many ticks, and more with every Election that led to nothing: where an Election takes longer than its
  // time (starved processes, much to fetch), none would ever come to its end.
  uint64_t patient(uint32_t ticks) const;

  // ---- proposer.cc: phase 2 ----
  void append_bill(std::vector<Entry> entries);
  void propose_queued();
  void replicate();
  void send_accepts(Peer& peer);
  void send_probe(Peer& peer);
  void on_accepted(NodeId from, const Accepted& m);
  void count_votes();
  void proposer_tick();
  void on_forward(NodeId from, const Forward& m);
  void on_forward_reply(NodeId from, const ForwardReply& m);
  void forward_waiting();

  // ---- learner.cc: acceptor's side of Bill, Law and catch-up ----
  void on_accept(NodeId from, const Accept& m);
  void note_gap();
  void emit_accepted();
  void on_law(NodeId from, const Law& m);
  void want_laws(Slot decided_elsewhere, NodeId from);
  void ask_for_laws(bool somebody_else = false);
  void go_on_learning();
  void on_learn(NodeId from, const Learn& m);
  void on_chosen(NodeId from, const Chosen& m);
  void on_log_read(const LogRead& m);
  void send_chosen(NodeId to, Slot first, std::vector<Entry> entries);
  void on_snapshot_taken(const SnapshotTaken& m);
  void on_snapshot_installed(const SnapshotInstalled& m);
  void learner_tick();

  // ---- epoch.cc: change of members (docs/decisions/0014) ----
  void on_change_members(const ChangeMembers& m);
  void on_disk_replaced(const DiskReplaced& m);
  void on_stop_hint(NodeId from, const StopHint& m);
  void hint_stop(NodeId to, Ballot old);
  void hear_later_epoch(NodeId from, Slot decided);
  void open_if_sealed();
  void open_epoch(const Membership& next);
  void rebuild_peers(const Membership& next);
  void learn_identity();
  bool votes() const { return voting; }
  void epoch_tick();
  void propose_change(Membership next, bool forced);
  enum class Verdict : uint8_t { go, wait, refuse };
  Verdict judge_change(const Membership& next, bool forced, ChangeRefused* why) const;
  std::string cannot_follow() const;  // a sentence when a member is there that knows no epochs
  Verdict judge_holders(const Membership& next, ChangeRefused* why) const;
  bool try_stop_sign(const Entry& request);
  void refuse_change(const RequestId& id, const ChangeRefused& why);
  void fill_incarnations(Membership* next) const;
  NodeId choose_first_leader(const Membership& next) const;
  Slot held_by(const Peer& p) const;
  bool caught_up(const Peer& p) const;
  bool replace_disks(Membership* next) const;
  bool promote_joined(Membership* next) const;
  bool pin_incarnations(Membership* next) const;
  void forget_former();

  // ---- old_disk.cc: the peers' memory of what a disk held ----
  void judge_disk(Peer& peer, const PeerLink& link);
  void hear_disk(NodeId from, uint64_t writes);
  void turn_away(const Peer& peer);
  void on_old_disk(NodeId from, const Nack& m);

  // ---- read.cc: linearizable reads ----
  struct ReadWaiter {
    NodeId from;  // self for local reads
    uint64_t boot = 0;
    uint64_t seq = 0;
    Tick since;
    NodeId origin;  // asked through `from`; 0: for itself
  };
  void on_read(uint64_t seq);
  void on_read_index(NodeId from, const ReadIndex& m);
  void on_read_index_reply(NodeId from, const ReadIndexReply& m);
  void on_confirm(NodeId from, const Confirm& m);
  void on_confirm_reply(NodeId from, const ConfirmReply& m);
  void reads_end_turn();
  void read_tick();
  void start_read_round();
  void finish_read_round();
  void abandon_read_rounds();
  void read_ready(uint64_t seq, bool ok, Slot index);
  void answer_read(const ReadWaiter& waiter, bool ok, Slot index);
  void expire_reads(std::vector<ReadWaiter>& waiters);

  // ---- common ----
  Peer* peer(NodeId node);
  bool is_leader() const { return role == Role::leader; }
  // Whom to hand proposals and reads to: a connected leader other than this member, or else a neighbour that
  // hears from one (chained links, protocol 2.12).
  struct Route {
    NodeId to;  // 0 = nobody
    Ballot leader;
  };
  Route route_to_leader() const;
  NodeId connected_leader() const;
  // Last slot proposed by this leader. The log may hold stale accepted values above it: they are nobody's
  // Bills.
  Slot last_slot() const { return acceptor.next_acceptable().prev(); }

  Options options;
  Identity identity;
  uint64_t boot = 0;
  NodeId self;
  Membership membership;
  Acceptor acceptor;
  paxos::Prng prng;
  Tick now;
  Effects* out = nullptr;  // valid inside step() and end_turn()

  // old_disk.cc
  uint64_t disk_writes = 0;  // durable here
  uint64_t disk_writes_found = 0;
  bool disowned = false;

  // replica.cc
  LogToken next_token = LogToken(1);
  struct Deferred {
    LogToken token;
    Outgoing message;
  };
  std::deque<Deferred> deferred;  // tokens ascending
  Slot applied;
  Slot hinted_decided;  // last DecidedRecord
  Tick hinted_at;
  uint64_t applied_term = 0;
  bool genesis_pending = false;
  LogToken snapshot_token;  // SnapshotRecord whose durability allows truncation
  Slot truncate_upto;
  Slot log_floor;  // the log on disk holds what was decided above; below it may hold what lost
  // Requests of this node that are on their way: the term under which they were submitted. An entry leaves
  // when it is applied; when it is settled as definitely not chosen
  // (docs/decisions/0008-decidable-outcomes.md); or as unknown.
  struct InDoubt {
    uint64_t term = 0;
    Tick since;
  };
  std::unordered_map<RequestId, InDoubt, IdHash> in_doubt;
  Tick in_doubt_scanned;
  Ballot barrier_applied;  // of the last barrier applied, by its payload; none once it settled what it could
  Slot barrier_applied_at;
  Ballot told_by;  // highest ballot whose own leader told what is decided
  Slot told_decided;

  // epoch.cc
  bool voting = false;             // this member with this disk votes in `membership`
  bool genesis_confirmed = false;  // no wiped disk (Options::confirm_genesis)
  std::set<NodeId> met;            // members that let this one in, while not confirmed
  std::vector<Member> former;
  Slot stop_proposed;  // slot of the stop sign this leader proposed or found; 0 = none
  struct Knock {
    Incarnation incarnation;
    Tick at;
  };
  std::map<NodeId, Knock> knocks;  // disks that are not the known ones
  bool change_wanted = false;      // a change made here is under way: no second one
  Tick change_asked;
  Tick change_since;  // the change at the head of the queue waits since
  Tick epoch_since;

  // election.cc
  Role role = Role::follower;
  Ballot leader;            // ballot followed or led
  uint32_t round_seen = 0;  // highest round heard of
  Ballot ballot;            // own ballot while candidate or leader
  struct PartialPromise {
    uint64_t capture = 0;
    uint64_t boot = 0;
    uint32_t chunks = 0;
    bool whole = false;
    bool fetching = false;  // asked for values, and has not answered yet
    PromiseReport report;
  };
  std::map<NodeId, PartialPromise> promises;
  Slot asked_from;
  Tick election_progress;  // last time the Election got further
  std::map<Slot, FetchedEntry> fetched;
  Tick fetch_sent;  // the last one, to whomever
  uint64_t capture_counter = 0;
  uint64_t elections = 0;
  uint64_t leader_changes = 0;
  uint32_t duels = 0;  // lost in a row
  // Elections in a row, own ones and others', since the last one after which something was decided.
  uint32_t fruitless = 0;
  Slot decided_at_election;
  Tick quiet_until;  // no own Election before

  // failure_detector.cc
  std::vector<Peer> peers;  // all members but this one, by node
  uint64_t beat_round = 0;
  std::deque<std::pair<uint64_t, Tick>> beat_times;  // when recent rounds were sent
  Tick draining_since;
  Tick beat_sent;
  bool beat_soon = false;
  bool disk_ok = true;
  bool applying_ok = true;
  Tick sync_progress;  // last time a sync ended, or began after an idle time
  bool draining = false;
  bool retired = false;
  bool eligible = false;  // might take over, but for the delay
  Tick eligible_since;
  bool was_happy = false;
  bool was_fit = false;

  // proposer.cc
  struct Waiting {
    Entry entry;
    Tick since;
  };
  std::deque<Waiting> waiting;  // not sent anywhere yet: definitely not chosen
  uint64_t waiting_bytes = 0;
  struct Bill {
    Slot last;
    uint64_t bytes = 0;
  };
  std::deque<Bill> bills;  // proposed, not decided
  uint64_t bills_bytes = 0;
  Slot barrier_slot;   // top of Election: reads wait for it
  Tick bill_progress;  // last time the oldest Bill was decided, or there was none
  uint64_t forward_batch = 0;
  struct ForwardSeen {
    uint64_t boot = 0;
    uint64_t batch = 0;
  };
  std::map<NodeId, ForwardSeen> forwards_seen;  // of `ballot`, if this member led it
  Ballot led;                                   // last ballot led in this boot

  // learner.cc
  bool accepted_due = false;
  Slot accepted_told;  // last `upto` told to the leader
  Ballot accepted_told_ballot;
  bool gap_due = false;
  Slot gap_told;
  Tick gap_told_at;
  Slot heard_decided;  // highest decided index heard of
  NodeId learn_asked;  // who was asked last
  Tick learn_sent;
  bool learn_outstanding = false;
  bool learn_held = false;  // a question waits until the own disk has what was learned
  Slot decided_seen;        // for noticing that the prefix stands still
  Tick decided_moved;

  // read.cc
  std::vector<ReadWaiter> reads_waiting;  // for the next round (leader)
  std::vector<ReadWaiter> reads_in_round;
  uint64_t read_round = 0;
  bool round_open = false;
  Tick round_sent;
  Slot round_index;
  std::set<NodeId> round_acks;
  struct LocalRead {
    uint64_t seq = 0;
    Tick since;
  };
  std::vector<LocalRead> reads_parked;  // waiting for a leader to ask
  std::vector<LocalRead> reads_asked;   // sent with read_batch
  uint64_t read_batch = 0;
  Tick read_asked_at;
  bool ready = false;
  bool ready_asked = false;
  Slot ready_index;
  bool ready_index_known = false;
};

}  // namespace decree
