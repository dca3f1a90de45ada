// Table of contents of the protocol: step() dispatches every input, on_message() every message.
#include "decree/replica.h"

#include <algorithm>

#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"
#include "paxos/replica_impl.h"

namespace decree {

namespace {

// Proposals and reads that nobody could be asked about for so long are given up, in ticks.
constexpr uint64_t kWaitingTicksMax = 500;
// An epoch change sets rounds back long before (protocol 2.2); a peer that names such a one is not believed.
constexpr uint32_t kRoundMax = 1u << 31;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

Replica::Impl::Impl(RecoveredState recovered, const Membership& genesis, const Options& opts)
    : options(opts),
      identity(recovered.identity),
      boot(recovered.boot),
      self(recovered.identity.node),
      membership(recovered.has_membership ? recovered.membership : genesis),
      acceptor(recovered, membership),
      prng(opts.seed ^ (recovered.boot << 20) ^ recovered.identity.node.value),
      genesis_pending(!recovered.has_membership) {
  DECREE_CHECK(membership_problem(membership).empty(), "a replica starts with a valid membership");
  // A disk that never promised anything may be a wiped one that forgot what it promised.
  genesis_confirmed = !opts.confirm_genesis || membership.voter_count() == 1 || !recovered.promised.is_none();
  applied = log_floor = recovered.snapshot_index;
  applied_term = recovered.snapshot_term;
  hinted_decided = recovered.decided_hint;
  round_seen = acceptor.promised().round;
  disk_writes = disk_writes_found = recovered.disk_writes;
  rebuild_peers(membership);
  learn_identity();
}

Peer* Replica::Impl::peer(NodeId node) {
  for (Peer& p : peers)
    if (p.node == node) return &p;
  return nullptr;
}

LogToken Replica::Impl::persist(Record record) {
  const LogToken token = next_token;
  if (acceptor.persisted_upto().value + 1 == token.value) sync_progress = now;
  next_token = LogToken(next_token.value + 1);
  out->persist.push_back(PersistedRecord{token, std::move(record)});
  return token;
}

void Replica::Impl::send_when_durable(NodeId to, Message message) {
  const LogToken last = LogToken(next_token.value - 1);
  const bool early = planted(PlantedBug::ack_before_durable) ||
                     (planted(PlantedBug::early_promise) && std::holds_alternative<Promise>(message)) ||
                     (planted(PlantedBug::early_prepare) && std::holds_alternative<Prepare>(message));
  if (early && to != self) {
    out->released.push_back(Outgoing{to, std::move(message)});
    return;
  }
  if (last <= acceptor.persisted_upto() && to != self) {
    out->released.push_back(Outgoing{to, std::move(message)});
    return;
  }
  deferred.push_back(Deferred{last, Outgoing{to, std::move(message)}});
}

void Replica::Impl::raise_promise(Ballot b) {
  if (acceptor.raise_promise(b, next_token)) persist(PromiseRecord{b});
  hear_round(b);
}

void Replica::Impl::hear_round(Ballot heard) {
  if (heard.epoch == membership.epoch && heard.round < kRoundMax)
    round_seen = std::max(round_seen, heard.round);
}

bool Replica::Impl::epoch_matches(NodeId from, Ballot b) {
  if (b.epoch == membership.epoch) return b.round < kRoundMax;
  if (b.epoch < membership.epoch) {
    hint_stop(from, b);
  } else if (const Peer* p = peer(from); p != nullptr) {
    hear_later_epoch(from, p->knows_decided);
  }
  return false;
}

void Replica::Impl::step(const Input& input, Effects& effects) {
  out = &effects;
  if (genesis_pending) {
    genesis_pending = false;
    persist(EpochRecord{membership, Ballot{}});
  }
  open_if_sealed();  // the last boot decided the stop sign and died before its epoch record was durable
  std::visit(Overloaded{
                 [&](const Received& in) {
                   const Peer* p = peer(in.from);
                   if (p == nullptr) return;
                   if (!p->outdated) return on_message(in.from, in.message);
                   if (std::holds_alternative<Beat>(in.message)) turn_away(*p);  // the first word may be lost
                 },
                 [&](const Persisted& in) { on_persisted(in); },
                 [&](const Ticked& in) { on_tick(in.now); },
                 [&](const Propose& in) { submit(in.entry); },
                 [&](const Read& in) { on_read(in.seq); },
                 [&](const PeerLink& in) { on_peer_link(in); },
                 [&](const SnapshotTaken& in) { on_snapshot_taken(in); },
                 [&](const SnapshotInstalled& in) { on_snapshot_installed(in); },
                 [&](const LogRead& in) { on_log_read(in); },
                 [&](const DiskHealth& in) {
                   disk_ok = in.ok;
                   applying_ok = in.applying;
                 },
                 [&](const TransferLeadership& in) { transfer_leadership(in.to); },
                 [&](const Retire&) {
                   retired = true;
                   transfer_leadership(NodeId(0));
                 },
                 [&](const DiskReplaced& in) { on_disk_replaced(in); },
                 [&](const ChangeMembers& in) { on_change_members(in); },
             },
             input);
  open_if_sealed();
  apply_decided();
  out = nullptr;
}

void Replica::Impl::on_message(NodeId from, const Message& message) {
  std::visit(Overloaded{
                 [&](const Prepare& m) { on_prepare(from, m); },
                 [&](const Promise& m) { on_promise(from, m); },
                 [&](const Fetch& m) { on_fetch(from, m); },
                 [&](const FetchReply& m) { on_fetch_reply(from, m); },
                 [&](const Accept& m) { on_accept(from, m); },
                 [&](const Accepted& m) { on_accepted(from, m); },
                 [&](const Nack& m) { on_nack(from, m); },
                 [&](const Law& m) { on_law(from, m); },
                 [&](const Learn& m) { on_learn(from, m); },
                 [&](const Chosen& m) { on_chosen(from, m); },
                 [&](const Forward& m) { on_forward(from, m); },
                 [&](const ForwardReply& m) { on_forward_reply(from, m); },
                 [&](const ReadIndex& m) { on_read_index(from, m); },
                 [&](const ReadIndexReply& m) { on_read_index_reply(from, m); },
                 [&](const Confirm& m) { on_confirm(from, m); },
                 [&](const ConfirmReply& m) { on_confirm_reply(from, m); },
                 [&](const Beat& m) { on_beat(from, m); },
                 [&](const BeatReply& m) { on_beat_reply(from, m); },
                 [&](const TransferNow& m) { on_transfer_now(from, m); },
                 [&](const StopHint& m) { on_stop_hint(from, m); },
                 [&](const SnapshotOffer&) {},  // the host's business
                 [&](const SnapshotRequest&) {},
                 [&](const SnapshotChunk&) {},
             },
             message);
}

void Replica::Impl::on_persisted(const Persisted& m) {
  const LogToken upto = m.upto;
  disk_writes = std::max(disk_writes, m.disk_writes);
  if (upto <= acceptor.persisted_upto()) return;
  DECREE_CHECK(upto < next_token, "only records that were handed out can become durable");
  acceptor.persisted(upto);
  sync_progress = now;
  while (!deferred.empty() && deferred.front().token <= upto) {
    Outgoing message = std::move(deferred.front().message);
    deferred.pop_front();
    if (message.to == self) {
      on_message(self, message.message);
    } else {
      out->released.push_back(std::move(message));
    }
  }
  if (truncate_upto != Slot(0) && snapshot_token <= upto) {
    out->jobs.push_back(TruncateLogJob{truncate_upto});
    truncate_upto = Slot(0);
  }
  if (is_leader()) count_votes();
}

void Replica::Impl::on_tick(Tick tick) {
  if (tick <= now) return;
  // After a long standstill (a stopped process, a suspended machine) everybody looks silent: listen first.
  if (now != Tick(0) && tick.value - now.value >= options.suspicion_ticks) {
    DECREE_SOMETIMES("a member notices that it stood still", true);
    quiet_until = Tick(std::max(quiet_until.value, tick.value + 2 * options.beat_ticks));
    sync_progress = tick;  // the disk may have answered meanwhile
  }
  now = tick;
  beat_tick();
  proposer_tick();
  learner_tick();
  election_tick();
  read_tick();
  epoch_tick();
  expire_waiting();
  // An idle member writes its decided index down once, so that a restart has little to learn.
  if (hinted_decided < acceptor.decided() && now.value - hinted_at.value >= 4 * options.beat_ticks) {
    hinted_decided = acceptor.decided();
    hinted_at = now;
    persist(DecidedRecord{hinted_decided});
  }
}

// Decided and durable here, in order: attack A10 is why "durable here" is part of it.
void Replica::Impl::apply_decided() {
  while (applied < acceptor.decided()) {
    const Slot s = applied.next();
    DECREE_SOMETIMES("decided, but not durable here yet", !acceptor.slot_durable(s));
    if (!acceptor.slot_durable(s)) break;
    const paxos::LogSlot* slot = acceptor.log().find(s);
    DECREE_CHECK(slot != nullptr, "a decided slot is in memory until it was applied");
    applied = s;
    const Entry& entry = slot->entry;
    const uint64_t term = barrier_term(entry);
    const bool requested = entry.kind == EntryKind::command || entry.kind == EntryKind::stop_sign;
    if (requested && entry.id.node == self && entry.id.boot == boot) in_doubt.erase(entry.id);
    out->decided.push_back(DecidedEntry{s, std::max(applied_term, term), entry, slot->chain});
    applied_term = std::max(applied_term, term);
    if (term != 0) {
      barrier_applied = barrier_ballot(entry);
      barrier_applied_at = s;
    }
  }
  settle_outcomes();
  if (!ready && ready_index_known && applied >= ready_index) ready = true;
  if (planted(PlantedBug::ready_at_once)) ready = true;
}

// ---- outcomes of own proposals (docs/decisions/0008-decidable-outcomes.md) ----

void Replica::Impl::leader_says_decided(Ballot of, Slot decided) {
  if (of < told_by) return;
  told_decided = of == told_by ? std::max(told_decided, decided) : decided;
  told_by = of;
}

// A barrier that was chosen at its own ballot, and only its own leader can say so, ends everything submitted
// under a lower term that was not applied below it. A barrier that a later ballot found and chose ends
// nothing.
void Replica::Impl::settle_outcomes() {
  if (in_doubt.empty()) return;
  if (membership.find(self) == nullptr) return settle_leaver();
  if (barrier_applied.is_none()) return;
  const bool own = is_leader() && barrier_applied == ballot;
  const bool told = told_by == barrier_applied && told_decided >= barrier_applied_at;
  if (!own && !told && !planted(PlantedBug::settled_by_any_barrier)) return;
  std::vector<RequestId> lost;
  for (const auto& [id, submitted] : in_doubt)
    if (submitted.term < barrier_applied.term()) lost.push_back(id);
  barrier_applied = Ballot{};  // done; whatever is submitted from now on belongs to later terms
  DECREE_SOMETIMES("a barrier settles that proposals were lost", !lost.empty());
  never_chosen(std::move(lost), true);
}

// Who is not in the epoch that it opened hears no barrier of it. The stop sign settles: each proposal named a
// ballot of an epoch before, and nothing of that one is chosen above its stop sign, which was applied.
void Replica::Impl::settle_leaver() {
  if (applied.next() < membership.base) return;
  std::vector<RequestId> lost;
  for (const auto& [id, submitted] : in_doubt) lost.push_back(id);
  DECREE_SOMETIMES("a stop sign settles what a removed member proposed", !lost.empty());
  never_chosen(std::move(lost), false);
}

void Replica::Impl::never_chosen(std::vector<RequestId> lost, bool leader_gone) {
  std::sort(lost.begin(), lost.end());
  for (const RequestId& id : lost) {
    in_doubt.erase(id);
    outcome(id, Outcome::definitely_not, {}, leader_gone);
  }
}

void Replica::Impl::trim_cache() {
  const paxos::LogWindow& log = acceptor.log();
  if (log.bytes() <= options.cached_log_bytes_max || log.size() <= options.cached_log_entries_min) return;
  uint64_t excess = log.bytes() - options.cached_log_bytes_max;
  Slot upto = log.first().prev();
  uint64_t left = log.size();
  while (excess > 0 && left > options.cached_log_entries_min && upto.next() <= applied) {
    upto = upto.next();
    --left;
    const paxos::LogSlot* slot = log.find(upto);
    const uint64_t weight = slot != nullptr ? slot->entry.weight_bytes() : 0;
    excess -= std::min(excess, weight);
  }
  DECREE_SOMETIMES("decided entries leave memory", upto >= log.first());
  if (upto >= log.first()) acceptor.drop_through(upto);
}

void Replica::Impl::submit(Entry entry) {
  if (waiting.size() >= options.proposals_queued_max || waiting_bytes >= options.proposals_queued_bytes_max ||
      membership.find(self) == nullptr) {
    DECREE_SOMETIMES("the core's queue of proposals is full", true);
    outcome(entry.id, Outcome::definitely_not);
    if (!planted(PlantedBug::refused_but_queued)) return;
  }
  waiting_bytes += entry.weight_bytes();
  waiting.push_back(Waiting{std::move(entry), now});
}

void Replica::Impl::expire_waiting() {
  DECREE_SOMETIMES("a proposal waits too long for a leader",
                   !waiting.empty() && now.value - waiting.front().since.value > kWaitingTicksMax);
  while (!waiting.empty() && now.value - waiting.front().since.value > kWaitingTicksMax) {
    const RequestId id = waiting.front().entry.id;
    waiting_bytes -= waiting.front().entry.weight_bytes();
    waiting.pop_front();
    if (id.node == self) {
      outcome(id, Outcome::definitely_not);
    } else {
      send(id.node, ForwardReply{{id}, Outcome::definitely_not, {}, false});
    }
  }
  // A Forward may be lost without any change of leader: then nobody will ever tell, and "unknown" is the
  // truth.
  if (now.value - in_doubt_scanned.value < kWaitingTicksMax / 5) return;
  in_doubt_scanned = now;
  std::vector<RequestId> silent;
  for (const auto& [id, submitted] : in_doubt)
    if (now.value - submitted.since.value > kWaitingTicksMax) silent.push_back(id);
  std::sort(silent.begin(), silent.end());
  DECREE_SOMETIMES("a proposal ends as unknown by time", !silent.empty());
  for (const RequestId& id : silent) {
    in_doubt.erase(id);
    outcome(id, planted(PlantedBug::silence_is_refusal) ? Outcome::definitely_not : Outcome::unknown);
  }
}

void Replica::Impl::end_turn(Effects& effects) {
  out = &effects;
  if (is_leader()) {
    // A leader that hands over lets its clients wait: what it proposed now, its successor would have to find.
    DECREE_SOMETIMES("a leader that hands over holds back proposals", draining && !waiting.empty());
    if (!draining) propose_queued();
    replicate();
  } else {
    forward_waiting();
  }
  emit_accepted();
  reads_end_turn();
  if (beat_soon) send_beats();
  // The hint rides on a write that happens anyway.
  if (!effects.persist.empty() && hinted_decided < acceptor.decided()) {
    hinted_decided = acceptor.decided();
    hinted_at = now;
    persist(DecidedRecord{hinted_decided});
  }
  apply_decided();
  trim_cache();
  go_on_learning();
  out = nullptr;
}

Replica::Replica(RecoveredState recovered, const Membership& genesis, const Options& options)
    : impl_(std::make_unique<Impl>(std::move(recovered), genesis, options)) {}
Replica::~Replica() = default;
Replica::Replica(Replica&&) noexcept = default;
Replica& Replica::operator=(Replica&&) noexcept = default;

void Replica::step(const Input& input, Effects& effects) { impl_->step(input, effects); }
void Replica::end_turn(Effects& effects) { impl_->end_turn(effects); }
const Membership& Replica::membership() const { return impl_->membership; }
std::vector<Member> Replica::former_members() const { return impl_->former; }
Slot Replica::progress_of(NodeId node) const {
  if (node == impl_->self) return impl_->acceptor.decided();
  const Peer* p = impl_->peer(node);
  return p == nullptr ? Slot(0) : std::min(p->view.decided, p->view.upto);
}
uint64_t Replica::disk_writes_of(NodeId node) const {
  if (node == impl_->self) return impl_->disk_writes;
  const Peer* p = impl_->peer(node);
  return p == nullptr ? 0 : p->disk_writes;
}
NodeId Replica::self() const { return impl_->self; }
const Acceptor& Replica::acceptor() const { return impl_->acceptor; }

ReplicaStatus Replica::status() const {
  const Impl& r = *impl_;
  ReplicaStatus s;
  s.role = r.role;
  s.promised = r.acceptor.promised();
  s.leader = r.leader;
  s.decided = r.acceptor.decided();
  s.applied = r.applied;
  s.last_accepted = r.acceptor.last();
  s.snapshot_index = r.acceptor.snapshot_index();
  s.log_first = r.acceptor.log().first();
  s.chain = r.acceptor.decided_chain();
  s.term = r.applied_term;
  s.elections = r.elections;
  s.leader_changes = r.leader_changes;
  s.proposals_pending = r.waiting.size() + r.in_doubt.size();
  s.ready = r.ready;
  s.voting = r.voting;
  s.disowned = r.disowned;
  s.unknown_slots = r.acceptor.unknown_above_decided().size();
  s.removed = r.membership.find(r.self) == nullptr;
  return s;
}

}  // namespace decree
