#include "runtime/node.h"

#include <algorithm>
#include <utility>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "paxos/acceptor.h"
#include "runtime/digest.h"
#include "runtime/history.h"
#include "runtime/snapshot_taker.h"
#include "runtime/snapshot_transfer.h"

namespace decree::runtime {
namespace {

constexpr uint32_t kItemsPerTimeCheck = 32;
constexpr size_t kEpochsRemembered = 32;

uint64_t record_weight_bytes(const Record& record) {
  constexpr uint64_t kBase = 64;
  uint64_t sum = kBase;
  if (const auto* accept = std::get_if<AcceptRecord>(&record))
    for (const Entry& e : accept->entries) sum += e.weight_bytes();
  if (const auto* law = std::get_if<LawRecord>(&record))
    for (const Entry& e : law->entries) sum += e.weight_bytes();
  return sum;
}

uint32_t barrier_epoch(const Entry& entry) { return static_cast<uint32_t>(barrier_term(entry) >> 32); }

uint64_t input_weight_bytes(const Input& input) {
  if (const auto* change = std::get_if<ChangeMembers>(&input)) return 256 * (1 + change->next.members.size());
  const auto* propose = std::get_if<Propose>(&input);
  return propose != nullptr ? propose->entry.weight_bytes() : 64;
}

}  // namespace

Node::Node(Host& host, Replica replica, StateMachine& machine, SnapshotStore& store, NodeOptions options,
           NodeObserver* observer)
    : host_(host),
      replica_(std::move(replica)),
      machine_(machine),
      store_(store),
      options_(std::move(options)),
      observer_(observer),
      applied_(options_.applied),
      chain_(options_.chain),
      term_(options_.term),
      agreement_(options_.identity.node) {
  history_ = std::make_unique<History>(options_.history_slots, options_.identity.node, options_.boot);
  history_->restored(applied_, machine_.version());
  remember_epoch(replica_.membership());
  taker_ = std::make_unique<SnapshotTaker>(*this);
  transfer_ = std::make_unique<SnapshotTransfer>(*this);
  if (options_.snapshot)
    taker_->on_snapshot(options_.snapshot->manifest.index, options_.snapshot->size_bytes);
}

Node::~Node() = default;

// ---- inputs ----

void Node::on_message(NodeId from, Message message) {
  if (failure_) return;
  if (!accepts_from_peer(message)) return;
  if (const auto* offer = std::get_if<SnapshotOffer>(&message)) return transfer_->on_offer(from, *offer);
  if (const auto* request = std::get_if<SnapshotRequest>(&message))
    return transfer_->on_request(from, *request);
  if (const auto* chunk = std::get_if<SnapshotChunk>(&message)) return transfer_->on_chunk(from, *chunk);
  if (const auto* beat = std::get_if<Beat>(&message); beat != nullptr)
    digests_news_ = agreement_.heard(from, beat->digest, now_) || digests_news_;
  peers_bytes_ += message_weight_bytes(message);
  peers_.push_back(Received{from, std::move(message)});
}

// Peers' messages may be lost, so whatever would grow memory without bound is dropped: retransmission brings
// it back.
bool Node::accepts_from_peer(const Message& message) {
  if (peers_bytes_ > options_.peers_queued_bytes_max) {
    ++counters_.frames_dropped;
    return false;
  }
  const bool adds_records =
      std::holds_alternative<Accept>(message) || std::holds_alternative<Chosen>(message);
  if (adds_records && unsent_bytes_ + inflight_bytes_ > options_.unsynced_bytes_max) {
    ++counters_.frames_dropped;
    return false;
  }
  if (!digests_hold(message)) {
    ++counters_.frames_dropped;
    ++counters_.digest_mismatches;
    note(Severity::error, "entry digest mismatch", std::string("message=") + message_name(message));
    return false;
  }
  return true;
}

void Node::on_peer_link(const PeerLink& link) {
  links_up_[link.peer] = link.up;
  links_.push_back(link);
}

void Node::on_disk_replaced(NodeId peer, Incarnation incarnation) {
  clients_.emplace_back(DiskReplaced{peer, incarnation});
}

void Node::on_tick(Tick now) {
  if (!tick_) tick_after_ = peers_taken_ + peers_.size();
  tick_ = now;
}

void Node::on_persisted(LogToken upto, uint64_t disk_writes) {
  first_.emplace_back(Persisted{upto, disk_writes});
}

void Node::on_log_error(const Error& error) { fail(error); }

void Node::on_disk_health(bool ok) {
  if (ok == disk_ok_) return;
  disk_ok_ = ok;
  note(ok ? Severity::info : Severity::error, ok ? "disk has space again" : "disk full",
       ok ? "writes are taken again"
          : "new writes are refused and this member does not vote until space is freed; reads go on");
  first_.emplace_back(DiskHealth{disk_ok_, applying_ok_});
}

void Node::retire() { clients_.emplace_back(Retire{}); }

void Node::renew_snapshot() {
  renewing_ = true;
  host_.wake();
}

void Node::transfer_leadership(NodeId to) {
  clients_.emplace_back(TransferLeadership{to});
  host_.wake();
}

uint64_t Node::propose(std::shared_ptr<const std::string> command) {
  const uint64_t seq = next_seq_++;
  const bool full = clients_.size() >= options_.clients_queued_max ||
                    clients_bytes_ >= options_.clients_queued_bytes_max ||
                    unsent_bytes_ + inflight_bytes_ >= options_.unsynced_bytes_max;
  if (full || failure_ || !disk_ok_) {
    DECREE_SOMETIMES("a member's queue of proposals is full", true);
    ++counters_.refused;
    refused_.push_back(seq);
  } else {
    ++counters_.proposals;
    const RequestId id{options_.identity.node, options_.boot, seq};
    history_->taken(seq, host_.clock_us());
    clients_.emplace_back(Propose{make_command(id, std::move(command))});
    clients_bytes_ += input_weight_bytes(clients_.back());
  }
  host_.wake();
  return seq;
}

uint64_t Node::change_members(Membership next, bool forced) {
  const uint64_t seq = next_seq_++;
  if (failure_) {
    refused_.push_back(seq);
  } else {
    clients_.emplace_back(
        ChangeMembers{RequestId{options_.identity.node, options_.boot, seq}, std::move(next), forced});
    clients_bytes_ += input_weight_bytes(clients_.back());
  }
  host_.wake();
  return seq;
}

uint64_t Node::read() {
  const uint64_t seq = next_seq_++;
  if (failure_ || clients_.size() >= 2ull * options_.clients_queued_max)
    reads_waiting_.insert(reads_waiting_.begin(), ReadReady{seq, false, Slot(0)});
  else
    clients_.emplace_back(Read{seq});
  host_.wake();
  return seq;
}

// ---- the turn ----

bool Node::turn() {
  if (failure_) return false;
  ++counters_.turns;
  step_inputs();                // Persisted, peers, ticks, clients
  replica_.end_turn(effects_);  // one batch of everything proposed
  record_history();
  send(effects_.send_now);    // promises nothing
  persist(effects_.persist);  // asynchronous; completion is on_persisted()
  send(effects_.released);    // what Persisted has made true
  apply_decided();            // decided and durable here: state machine, then replies
  answer_reads();             // reads whose slot is applied
  answer_outcomes();          // definitely not, unknown
  run_jobs(effects_.jobs);    // catch-up, snapshots, truncation
  taker_->maybe_start(renewing_);
  const bool sliced = taker_->slice();
  const bool restored = transfer_->slice();
  background_left_ = machine_.background_slice() || sliced || restored;
  effects_.clear();
  return !failure_ && has_work();
}

bool Node::has_work() const {
  return background_left_ || !first_.empty() || !peers_.empty() || !links_.empty() || tick_ ||
         !clients_.empty() || !decided_.empty() || !refused_.empty();
}

void Node::step(const Input& input) {
  ++counters_.inputs;
  replica_.step(input, effects_);
}

// BEFORE anything of this turn leaves: a peer cannot have a proposal earlier than its proposer's stamp says.
void Node::record_history() {
  const uint64_t now = host_.clock_us();
  for (const PersistedRecord& record : effects_.persist) history_->recorded(record, now);
  history_->decided(replica_.acceptor().decided(), now);
}

void Node::step_inputs() {
  const uint64_t began = host_.clock_us();
  // What belongs to the disk comes first and whole: it is bounded by what was handed out.
  std::vector<Input> first;
  first.swap(first_);
  for (const Input& input : first) {
    if (const auto* persisted = std::get_if<Persisted>(&input);
        persisted != nullptr && batch_in_flight_ && persisted->upto >= batch_token_) {
      batch_in_flight_ = false;
      inflight_bytes_ = 0;
    }
    if (const auto* persisted = std::get_if<Persisted>(&input)) history_->durable(persisted->upto, began);
    step(input);
  }
  // BEFORE the peers' messages: whose process speaks, and whether its disk is the one it was, is known before
  // its first word counts. What is left of a closed connection is heard all the same.
  std::vector<PeerLink> links;
  links.swap(links_);
  for (const PeerLink& link : links) step(link);
  uint32_t budget = options_.inputs_per_turn_max;
  uint32_t until_check = kItemsPerTimeCheck;
  const auto spent = [&] {
    if (budget == 0) return true;
    --budget;
    if (--until_check > 0) return false;
    until_check = kItemsPerTimeCheck;
    return host_.turn_spent();
  };
  while (!peers_.empty() && !spent()) {
    const uint64_t weight = message_weight_bytes(peers_.front().message);
    peers_bytes_ -= std::min(weight, peers_bytes_);
    const Input input(std::move(peers_.front()));
    peers_.pop_front();
    ++peers_taken_;
    const Received& received = std::get<Received>(input);
    if (const auto* accepted = std::get_if<Accepted>(&received.message))
      history_->acknowledged(received.from, *accepted, began);
    step(input);
  }
  // A timer is judged only when every frame that was there before it has been read.
  if (tick_ && peers_taken_ >= tick_after_) {
    now_ = *tick_;
    tick_.reset();
    step(Ticked{now_});
    transfer_->on_tick();
    watch_leader();
    watch_applying();
    compare_digests();
  }
  // Peers come first, but never starve the clients.
  uint32_t at_least = kItemsPerTimeCheck;
  while (!clients_.empty() && (at_least > 0 || !spent())) {
    if (at_least > 0) --at_least;
    clients_bytes_ -= std::min(input_weight_bytes(clients_.front()), clients_bytes_);
    const Input input(std::move(clients_.front()));
    clients_.pop_front();
    step(input);
  }
}

void Node::send(std::vector<Outgoing>& messages) {
  for (Outgoing& out : messages) {
    if (auto* beat = std::get_if<Beat>(&out.message)) beat->digest = agreement_.latest_own();
    host_.send(out.to, std::move(out.message));
  }
  messages.clear();
}

void Node::persist(std::vector<PersistedRecord>& records) {
  for (PersistedRecord& record : records) {
    unsent_bytes_ += record_weight_bytes(record.record);
    unsent_records_.push_back(std::move(record));
  }
  records.clear();
  // One batch on its way at a time: what queues up meanwhile is the next batch, with one sync.
  if (batch_in_flight_ || unsent_records_.empty()) return;
  batch_in_flight_ = true;
  batch_token_ = unsent_records_.back().token;
  inflight_bytes_ = unsent_bytes_;
  unsent_bytes_ = 0;
  ++counters_.batches;
  std::vector<PersistedRecord> batch;
  batch.swap(unsent_records_);
  host_.commit(std::move(batch));
}

void Node::apply_decided() {
  for (DecidedEntry& decided : effects_.decided) decided_.push_back(std::move(decided));
  effects_.decided.clear();
  uint32_t budget = options_.applies_per_turn_max;
  uint32_t until_check = kItemsPerTimeCheck;
  uint64_t now = decided_.empty() ? 0 : host_.clock_us();
  while (!decided_.empty() && budget-- > 0) {
    if (--until_check == 0) {
      until_check = kItemsPerTimeCheck;
      now = host_.clock_us();
      if (host_.turn_spent()) {
        if (planted(PlantedBug::page_skipped)) decided_.front().entry.kind = EntryKind::noop;
        break;
      }
    }
    const DecidedEntry decided = std::move(decided_.front());
    decided_.pop_front();
    const RequestId& id = decided.entry.id;
    const bool ours = sink_ != nullptr && decided.entry.kind == EntryKind::command &&
                      id.node == options_.identity.node && id.boot == options_.boot;
    if (decided.slot <= applied_) {
      // A snapshot overtook it: done, but its answer was given elsewhere.
      DECREE_SOMETIMES("a snapshot overtakes decided entries", true);
      if (ours) sink_->on_outcome(id.seq, Outcome::unknown);
      continue;
    }
    DECREE_CHECK(decided.slot == applied_.next(), "decided entries leave the replica in order, without gaps");
    applied_ = decided.slot;
    chain_ = chain_link(chain_, decided.slot, decided.entry.digest);
    term_ = decided.term;
    ++counters_.applied_entries;
    taker_->on_applied(decided.entry);
    if (decided.entry.kind == EntryKind::stop_sign) on_stop_sign(decided.entry);
    if (decided.entry.kind == EntryKind::barrier) on_barrier(decided.entry);
    Reply reply;
    if (decided.entry.kind == EntryKind::command)
      reply = machine_.apply(ApplyContext{decided.slot, decided.term, ours}, decided.entry.bytes());
    history_->applied(decided.slot, machine_.version(), now);
    if (applied_.value % options_.digest_slots == 0) take_digest();
    if (ours) sink_->on_applied(id.seq, std::move(reply));
  }
  // The replica is ready when it has handed out what was acknowledged before its start; applying may take
  // more turns.
  if (!ready_ && decided_.empty()) ready_ = replica_.status().ready;
}

void Node::on_stop_sign(const Entry& entry) {
  const Membership next = stop_sign_membership(entry);
  note(Severity::info, "members changed",
       "epoch=" + std::to_string(next.epoch) + " voters=" + std::to_string(next.voter_count()) + " members=" +
           std::to_string(next.members.size()) + " election_quorum=" + std::to_string(next.election_quorum) +
           " bill_quorum=" + std::to_string(next.bill_quorum) +
           " may_fail=" + std::to_string(fault_tolerance(next)));
  const RequestId& id = entry.id;
  if (id.node != options_.identity.node || id.boot != options_.boot || id.seq == 0) return;
  // A member that removed itself hears nothing of the next epoch.
  if (next.find(options_.identity.node) != nullptr)
    changes_.emplace(next.epoch, id.seq);
  else if (sink_ != nullptr)
    sink_->on_applied(id.seq, Reply{});
}

void Node::on_barrier(const Entry& entry) {
  while (!changes_.empty() && changes_.begin()->first <= barrier_epoch(entry)) {
    const uint64_t seq = changes_.begin()->second;
    changes_.erase(changes_.begin());
    if (sink_ != nullptr) sink_->on_applied(seq, Reply{});
  }
}

void Node::answer_reads() {
  for (const ReadReady& ready : effects_.reads) {
    // Nearly always at the end: read indexes grow.
    const auto at = std::upper_bound(reads_waiting_.begin(), reads_waiting_.end(), ready,
                                     [](const ReadReady& a, const ReadReady& b) {
                                       return (a.ok ? a.index : Slot(0)) < (b.ok ? b.index : Slot(0));
                                     });
    reads_waiting_.insert(at, ready);
  }
  effects_.reads.clear();
  size_t served = 0;
  while (served < reads_waiting_.size()) {
    const ReadReady& ready = reads_waiting_[served];
    if (ready.ok && ready.index > applied_ && !planted(PlantedBug::read_before_applied)) break;
    ++served;
  }
  if (served == 0) return;
  // The sink may ask for the next read from inside; take ours out first.
  const std::vector<ReadReady> ready(reads_waiting_.begin(),
                                     reads_waiting_.begin() + static_cast<ptrdiff_t>(served));
  reads_waiting_.erase(reads_waiting_.begin(), reads_waiting_.begin() + static_cast<ptrdiff_t>(served));
  if (sink_ == nullptr) return;
  for (const ReadReady& r : ready) sink_->on_read(r.seq, r.ok);
}

void Node::answer_outcomes() {
  std::vector<uint64_t> refused;
  refused.swap(refused_);
  if (sink_ != nullptr)
    for (const uint64_t seq : refused) sink_->on_outcome(seq, Outcome::definitely_not);
  for (const OutcomeNotice& notice : effects_.outcomes) {
    if (notice.id.node != options_.identity.node || notice.id.boot != options_.boot) continue;
    if (sink_ == nullptr || notice.outcome == Outcome::chosen || notice.id.seq == 0) continue;
    if (notice.refused.kind != ChangeRefused::Kind::none)
      sink_->on_change_refused(notice.id.seq, notice.refused);
    else if (notice.outcome == Outcome::definitely_not && notice.leader_gone)
      sink_->on_leader_gone(notice.id.seq);
    else
      sink_->on_outcome(notice.id.seq, notice.outcome);
  }
  effects_.outcomes.clear();
}

// ---- jobs ----

void Node::run_jobs(std::vector<Job>& jobs) {
  for (const Job& job : jobs) {
    if (const auto* log = std::get_if<SendLogJob>(&job)) send_log(*log);
    if (const auto* snapshot = std::get_if<SendSnapshotJob>(&job)) transfer_->offer(snapshot->to);
    if (const auto* cut = std::get_if<TruncateLogJob>(&job)) truncate(cut->upto);
    if (const auto* members = std::get_if<MembershipChanged>(&job)) {
      for (auto it = links_up_.begin(); it != links_up_.end();)
        it = members->membership.find(it->first) == nullptr ? links_up_.erase(it) : std::next(it);
      remember_epoch(members->membership);
      digests_news_ = true;  // other voters, another majority
      host_.membership_changed(members->membership, members->former);
    }
    if (const auto* old = std::get_if<DiskOutdated>(&job)) give_up_disk(*old);
    if (const auto* changed = std::get_if<LeadershipChanged>(&job)) {
      leaderless_since_.reset();
      if (changed->ballot.is_none())
        leaderless_since_ = now_;
      else
        note(Severity::info, changed->is_self ? "leading" : "following",
             "leader=" + std::to_string(changed->ballot.node.value) + " round=" +
                 std::to_string(changed->ballot.round) + " applied=" + std::to_string(applied_.value));
    }
  }
  jobs.clear();
}

void Node::give_up_disk(const DiskOutdated& old) {
  outdated_ = old;
  fail(Error{ErrorCode::corrupt,
             "this disk is older than what this member has acknowledged: node " +
                 std::to_string(old.told.value) + " was told of " + std::to_string(old.told_writes) +
                 " durable writes, " + std::to_string(old.found_writes) +
                 " were found at the start; an old image of the disk was put back, or it lost writes that it "
                 "had confirmed"});
}

void Node::send_log(const SendLogJob& job) {
  bool& in_flight = log_reads_[job.to];
  if (in_flight) return;
  in_flight = true;
  host_.read_log(job.slots, options_.log_read_bytes, [this, job](Result<std::vector<Entry>> read) {
    log_reads_[job.to] = false;
    LogRead result{job.to, job.slots.first, {}, read.ok()};
    DECREE_SOMETIMES("the log does not reach back to what a peer needs", !read.ok());
    if (read)
      result.entries = std::move(read).value();
    else
      note(Severity::info, "log does not reach back far enough for a peer",
           "peer=" + std::to_string(job.to.value) + " slot=" + std::to_string(job.slots.first.value) +
               " cause=\"" + read.error().message + "\"");
    first_.emplace_back(std::move(result));
    host_.wake();
  });
}

void Node::truncate(Slot upto) {
  upto = kept_for_others(upto);
  // A peer that is reading a snapshot needs the log from there on afterwards.
  const std::vector<Slot> pinned = transfer_->pinned();
  DECREE_SOMETIMES("a peer's transfer holds back the log", !pinned.empty());
  for (const Slot slot : pinned) upto = std::min(upto, slot);
  host_.truncate_log(upto);
  const Slot newest = options_.snapshot ? options_.snapshot->manifest.index : Slot(0);
  host_.run([&store = store_, newest, pinned] { (void)store.prune(newest, pinned).ok(); }, [] {});
}

// A member that was away for a short time comes back by the log and needs no snapshot: what it lacks is kept,
// for as long as from one snapshot to the next.
Slot Node::kept_for_others(Slot upto) const {
  Slot slowest = upto;
  for (const Member& member : replica_.membership().members)
    if (member.node != options_.identity.node) slowest = std::min(slowest, replica_.progress_of(member.node));
  DECREE_SOMETIMES("the log is kept for a member that is behind", slowest < upto);
  return std::max(slowest, std::min(previous_snapshot_, upto));
}

void Node::on_snapshot_taken(const StoredSnapshot& stored) {
  ++counters_.snapshots_taken;
  previous_snapshot_ = options_.snapshot ? options_.snapshot->manifest.index : Slot(0);
  if (renewing_) {
    renewing_ = false;
    previous_snapshot_ = stored.manifest.index;
    if (options_.snapshot && options_.snapshot->manifest.index == stored.manifest.index)
      truncate(stored.manifest.index);
  }
  options_.snapshot = stored;
  note(Severity::info, "snapshot taken",
       "slot=" + std::to_string(stored.manifest.index.value) + " bytes=" + std::to_string(stored.size_bytes));
  transfer_->on_snapshot(stored);
  first_.emplace_back(SnapshotTaken{stored.manifest.index, stored.manifest.chain, stored.manifest.term});
  host_.wake();
}

void Node::on_snapshot_installed(const StoredSnapshot& stored) {
  const SnapshotManifest& manifest = stored.manifest;
  ++counters_.snapshots_installed;
  options_.snapshot = stored;
  previous_snapshot_ = manifest.index;
  applied_ = manifest.index;
  if (!planted(PlantedBug::chain_not_installed)) chain_ = manifest.chain;
  term_ = manifest.term;
  history_->restored(applied_, machine_.version());
  note(Severity::info, "snapshot installed",
       "slot=" + std::to_string(manifest.index.value) + " bytes=" + std::to_string(stored.size_bytes));
  taker_->cancel();  // it would be older than this one
  taker_->on_snapshot(manifest.index, stored.size_bytes);
  transfer_->on_snapshot(stored);
  first_.emplace_back(SnapshotInstalled{manifest.index, manifest.chain, manifest.membership, manifest.term});
  host_.wake();
}

void Node::fail(const Error& error) {
  if (failure_) return;
  failure_ = error;
  note(Severity::error, "member stopped", "cause=\"" + error.message + "\"");
}

void Node::note(Severity severity, const char* event, const std::string& detail) const {
  if (observer_ != nullptr) observer_->on_event(severity, event, detail);
}

// ---- status ----

ConsensusStatus Node::status() const {
  ConsensusStatus status;
  status.replica = replica_.status();
  status.replica.applied = applied_;
  status.replica.ready = ready_;
  status.replica.chain = chain_;
  status.identity = options_.identity;
  status.disk_full = !disk_ok_;
  status.state_disputed = disputed_;
  status.log_bytes = host_.log_bytes();
  for (const Member& member : replica_.membership().members) {
    PeerStatus peer;
    peer.member = member;
    peer.progress = replica_.progress_of(member.node);
    peer.connected = member.node == options_.identity.node || is_peer_connected(member.node);
    if (!status.replica.leader.is_none() && status.replica.leader.node == member.node)
      status.leader_member_id = member.member_id;
    status.members.push_back(std::move(peer));
  }
  return status;
}

// Decided and durable here is what counts: a disk that hangs is the core's to notice.
void Node::watch_applying() {
  if (options_.apply_lag_ticks == 0 || now_.value - to_apply_since_.value < options_.apply_lag_ticks) return;
  const bool ok = applied_ >= to_apply_ || decided_.empty();
  to_apply_ = decided_.empty() ? applied_ : decided_.back().slot;
  to_apply_since_ = now_;
  if (ok == applying_ok_) return;
  applying_ok_ = ok;
  note(ok ? Severity::info : Severity::warn, ok ? "applying has caught up" : "applying lags",
       "applied=" + std::to_string(applied_.value) + " decided=" + std::to_string(to_apply_.value));
  first_.emplace_back(DiskHealth{disk_ok_, applying_ok_});
}

// Between two epochs and in a quick fail-over there is none for a moment: no news.
void Node::watch_leader() {
  if (!leaderless_since_ || now_.value - leaderless_since_->value < options_.leaderless_ticks) return;
  leaderless_since_.reset();
  note(Severity::warn, "no leader", "applied=" + std::to_string(applied_.value));
}

// ---- agreement (docs/decisions/0016) ----

void Node::take_digest() {
  digest_slot_ = applied_;
  digests_news_ = agreement_.own(StateDigest{applied_, chain_, machine_.digest()}, now_) || digests_news_;
}

// Once per tick. Where nothing is written, all members rest at the same slot and compare there.
void Node::compare_digests() {
  if (applied_ != applied_seen_) {
    applied_seen_ = applied_;
    applied_at_ = now_;
  }
  const bool idle = decided_.empty() && now_.value - applied_at_.value >= options_.digest_idle_ticks;
  if (idle && applied_ != digest_slot_ && applied_ != Slot(0)) take_digest();
  if (!digests_news_ || planted(PlantedBug::states_not_compared)) return;
  const Agreement::Finding found = agreement_.look(replica_.membership(), now_);
  doubted_ = !found.differing.empty() && !found.settled;
  digests_news_ = doubted_;  // time alone may settle it
  vouched_ = std::max(vouched_, found.vouched);
  if (found.verdict == Agreement::Verdict::undecided && !disputed_)
    note(Severity::error, "members' states differ and no majority says which is right", found.summary());
  disputed_ = found.verdict == Agreement::Verdict::undecided;
  if (found.settled && !found.differing.empty() && found.slot > told_differing_) {
    told_differing_ = found.slot;
    note(Severity::error, "another member has another state than the majority", found.summary());
  }
  if (found.verdict != Agreement::Verdict::diverged || planted(PlantedBug::quarantine_forgotten)) return;
  divergence_ = found;
  fail(Error{ErrorCode::corrupt,
             "this member's " + std::string(found.histories_differ ? "history" : "state") + " at slot " +
                 std::to_string(found.slot.value) +
                 " is not what the majority has: it takes no part any more; " + found.summary()});
}

void Node::remember_epoch(const Membership& membership) {
  if (!epochs_.empty() && epochs_.back().epoch == membership.epoch) return;
  epochs_.push_back(membership);
  if (epochs_.size() > kEpochsRemembered) epochs_.pop_front();
}

// What the ring no longer holds the log may: then at least whose request it was.
void Node::explain(Slot slot, const ExplainDone& done) {
  SlotHistory found;
  found.slot = slot;
  const auto finish = [this, done](SlotHistory story) {
    story.oldest = history_->oldest();
    story.decided = replica_.acceptor().decided();
    story.applied = applied_;
    story.now_us = host_.clock_us();
    for (const Membership& membership : epochs_) {
      if (story.ballot.is_none() || membership.epoch != story.ballot.epoch) continue;
      story.bill_quorum = membership.bill_quorum;
      for (const Member& m : membership.members)
        if (m.role == MemberRole::voter) story.voters.push_back(m);
    }
    done(story);
  };
  if (history_->find(slot, &found) || slot == Slot(0) || slot > applied_) return finish(std::move(found));
  host_.read_log(SlotRange{slot, slot.next()}, 1, [found, finish](Result<std::vector<Entry>> read) mutable {
    if (read && !read->empty()) {
      found.in_log = true;
      describe_entry(read->front(), &found);
    }
    finish(std::move(found));
  });
}

SlotRange Node::slots_of_version(uint64_t version) const { return history_->slots_of_version(version); }

bool Node::is_peer_connected(NodeId peer) const {
  const auto it = links_up_.find(peer);
  return it != links_up_.end() && it->second;
}

bool Node::transfer_active() const { return transfer_->active(); }

}  // namespace decree::runtime
