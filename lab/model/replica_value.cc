#include "lab/model/replica_value.h"

#include <algorithm>
#include <set>
#include <type_traits>

#include "lab/model/bytes.h"
#include "paxos/replica_impl.h"

namespace decree::lab::model {

// A checker looks into a replica; the replica's header offers no door for it, and should not: whoever embeds
// it would find it. An explicit instantiation may name a private member ([temp.spec]).
namespace {
template <auto Pointer>
struct Inside {
  friend auto& inside(Replica& replica) { return replica.*Pointer; }
};
auto& inside(Replica& replica);
template struct Inside<&Replica::impl_>;
using Impl = std::remove_reference_t<decltype(*inside(std::declval<Replica&>()))>;

// A member that is added to the replica has to be added to put() below, or to forget().
static_assert(sizeof(Impl) == 1952 && sizeof(Peer) == 288,
              "a replica remembers something that is not compared here");

const Impl& look(const std::shared_ptr<const void>& held) { return *static_cast<const Impl*>(held.get()); }

// Copies that leave together say nothing new: a Prepare that comes again before the promise is durable.
void drop_copies(Impl& r) {
  std::set<std::string> seen;
  std::erase_if(r.deferred, [&](const Impl::Deferred& d) {
    Bytes b;
    b.put(d.token, d.message.to, d.message.message);
    return !seen.insert(b.take()).second;
  });
}

// Time, and what is not modelled.
void forget(Impl& r, bool settled) {
  for (Tick* tick : {&r.now, &r.hinted_at, &r.in_doubt_scanned, &r.change_asked, &r.change_since,
                     &r.epoch_since, &r.election_progress, &r.fetch_sent, &r.quiet_until, &r.draining_since,
                     &r.beat_sent, &r.sync_progress, &r.eligible_since, &r.bill_progress, &r.gap_told_at,
                     &r.learn_sent, &r.decided_moved, &r.round_sent, &r.read_asked_at})
    *tick = Tick(0);
  for (auto& [node, knock] : r.knocks) knock.at = Tick(0);
  for (Impl::Waiting& w : r.waiting) w.since = Tick(0);
  for (Peer& p : r.peers) {
    p.last_reply = p.last_heard = p.last_probe = Tick(0);
    p.ever_replied = false;
    p.view = BeatView{};
  }
  r.prng = paxos::Prng(1);
  r.beat_round = 0;
  r.beat_times.clear();
  r.beat_soon = r.eligible = r.was_happy = r.was_fit = false;
  r.elections = r.leader_changes = r.capture_counter = 0;
  r.duels = r.fruitless = 0;
  r.decided_at_election = r.decided_seen = Slot(0);
  // Outcomes: whether a proposal is said to be lost is the simulator's business.
  r.in_doubt.clear();
  r.barrier_applied = r.told_by = Ballot{};
  r.barrier_applied_at = r.told_decided = Slot(0);
  // Reads.
  r.ready = true;
  r.reads_waiting.clear();
  r.reads_in_round.clear();
  r.reads_parked.clear();
  r.reads_asked.clear();
  r.round_acks.clear();
  r.round_open = r.ready_asked = r.ready_index_known = false;
  r.read_round = r.read_batch = 0;
  r.round_index = r.ready_index = Slot(0);
  drop_copies(r);
  if (settled) r.hinted_decided = r.acceptor.decided();
  r.out = nullptr;
}

// A record's token matters only while it is not durable, and then only its place in the queue.
uint64_t ahead(const Impl& r, LogToken token) {
  const LogToken durable = r.acceptor.persisted_upto();
  return token <= durable ? 0 : token.value - durable.value;
}

void put(Bytes& b, const Impl& r, const Acceptor& a) {
  b.put(a.epoch(), a.promised(), a.promise_durable(), a.sealed(), a.snapshot_index(), a.decided(),
        a.decided_chain(), a.decided_term(), a.bill_ballot(), a.bill_base(), a.next_acceptable(),
        a.durable_upto(), a.unknown_above_decided(), a.log().first(), a.log().end());
  for (Slot s = a.log().first(); s < a.log().end(); s = s.next()) {
    const paxos::LogSlot* slot = a.log().find(s);
    if (slot == nullptr) {
      b.put(false);
    } else {
      b.put(true, slot->ballot, slot->law, slot->entry, ahead(r, slot->token), slot->chain);
    }
  }
}

void put(Bytes& b, const Peer& p) {
  b.put(p.node, p.voter, p.former, p.incarnation, p.link_up, p.flow == Peer::Flow::probe, p.match, p.next,
        p.inflight_bytes, p.probe_due, p.told_decided, p.knows_decided, p.disk_writes, p.boot, p.outdated);
  b.list(p.inflight, [&](const auto& sent) { b.put(sent.first, sent.second); });
}

std::string bytes_of(const Impl& r) {
  Bytes b;
  b.put(r.self, r.boot, r.identity.incarnation, r.membership);
  put(b, r, r.acceptor);
  b.put(r.disk_writes, r.disk_writes_found, r.disowned, ahead(r, r.next_token));
  b.list(r.deferred, [&](const auto& d) { b.put(ahead(r, d.token), d.message.to, d.message.message); });
  b.put(r.applied, r.hinted_decided, r.applied_term, r.genesis_pending, ahead(r, r.snapshot_token),
        r.truncate_upto, r.log_floor);
  b.put(r.voting, r.genesis_confirmed, r.stop_proposed, r.change_wanted);
  b.list(r.met, [&](NodeId node) { b.put(node); });
  b.list(r.former, [&](const Member& m) { b.put(m.node, m.incarnation); });
  b.list(r.knocks, [&](const auto& knock) { b.put(knock.first, knock.second.incarnation); });
  b.put(static_cast<uint64_t>(r.role), r.leader, r.round_seen, r.ballot, r.asked_from);
  b.list(r.promises, [&](const auto& promise) {
    const auto& [node, p] = promise;
    b.put(node, p.capture, p.boot, p.chunks, p.whole, p.fetching, p.report.from, p.report.decided,
          p.report.snapshot_index, p.report.runs, p.report.unknown);
  });
  b.list(r.fetched, [&](const auto& got) { b.put(got.first, got.second); });
  b.list(r.peers, [&](const Peer& p) { put(b, p); });
  b.put(r.disk_ok, r.applying_ok, r.draining, r.retired);
  b.list(r.waiting, [&](const auto& w) { b.put(w.entry); });
  b.list(r.bills, [&](const auto& bill) { b.put(bill.last, bill.bytes); });
  b.put(r.waiting_bytes, r.bills_bytes, r.barrier_slot, r.forward_batch, r.led);
  b.list(r.forwards_seen, [&](const auto& f) { b.put(f.first, f.second.boot, f.second.batch); });
  b.put(r.accepted_due, r.accepted_told, r.accepted_told_ballot, r.gap_due, r.gap_told, r.heard_decided,
        r.learn_asked, r.learn_outstanding, r.learn_held);
  return b.take();
}

}  // namespace

Options timeless_options() {
  constexpr uint32_t kNever = 1u << 20;
  Options o;
  o.beat_ticks = 0;
  o.suspicion_ticks = kNever;
  o.election_retry_ticks = 1;
  o.duel_backoff_ticks = 0;
  o.retransmit_ticks = kNever;  // nothing is lost for good: what was said may still arrive
  o.stalled_bill_ticks = o.stalled_sync_ticks = kNever;
  o.replace_silence_ticks = 0;
  o.change_wait_ticks = 0;
  o.cached_log_entries_min = kNever;
  return o;
}

ReplicaValue ReplicaValue::of(const Replica& replica, bool settled) {
  auto copy = std::make_shared<Impl>(*inside(const_cast<Replica&>(replica)));
  forget(*copy, settled);
  ReplicaValue value;
  value.bytes_ = bytes_of(*copy);
  value.held_ = std::move(copy);
  return value;
}

void ReplicaValue::put_into(Replica& replica) const { *inside(replica) = look(held_); }

const Acceptor& ReplicaValue::acceptor() const { return look(held_).acceptor; }
const Membership& ReplicaValue::membership() const { return look(held_).membership; }
Role ReplicaValue::role() const { return look(held_).role; }
Ballot ReplicaValue::ballot() const { return look(held_).ballot; }
bool ReplicaValue::votes() const { return look(held_).voting; }
bool ReplicaValue::disowned() const { return look(held_).disowned; }
LogToken ReplicaValue::next_token() const { return look(held_).next_token; }
Slot ReplicaValue::applied() const { return look(held_).applied; }

namespace {
const Peer* find(const Impl& r, NodeId node) {
  for (const Peer& p : r.peers)
    if (p.node == node) return &p;
  return nullptr;
}
}  // namespace

uint64_t ReplicaValue::peer_boot(NodeId node) const {
  const Peer* p = find(look(held_), node);
  return p == nullptr || !p->link_up ? 0 : p->boot;
}
Incarnation ReplicaValue::peer_incarnation(NodeId node) const {
  const Peer* p = find(look(held_), node);
  return p == nullptr ? Incarnation(0) : p->incarnation;
}
bool ReplicaValue::connected(NodeId node) const {
  const Peer* p = find(look(held_), node);
  return p != nullptr && p->link_up;
}
bool ReplicaValue::knocked(NodeId node) const { return look(held_).knocks.contains(node); }

}  // namespace decree::lab::model
