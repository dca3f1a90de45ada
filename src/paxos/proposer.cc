// BILL: phase 2 as the leader does it (protocol 2.6; mission row M13). One batch per turn, pipelined;
// Accepts leave before the own disk write ends, the own vote counts after it.
#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"
#include "paxos/quorum.h"
#include "paxos/replica_impl.h"

namespace decree {

void Replica::Impl::append_bill(std::vector<Entry> entries) {
  Accept accept;
  accept.ballot = ballot;
  accept.base = acceptor.bill_base();
  accept.first = acceptor.next_acceptable();
  accept.decided = acceptor.decided();
  accept.entries = std::move(entries);
  const Acceptor::AcceptResult result = acceptor.accept(accept, next_token);
  DECREE_CHECK(result.verdict == Acceptor::Verdict::accepted && result.count == accept.entries.size(),
               "a leader accepts its own Bills until it is outranked");
  uint64_t bytes = 0;
  for (const Entry& entry : accept.entries) bytes += entry.weight_bytes();
  if (bills.empty()) bill_progress = now;
  bills.push_back(Bill{last_slot(), bytes});
  bills_bytes += bytes;
  persist(AcceptRecord{ballot, accept.first, std::move(accept.entries)});
}

void Replica::Impl::propose_queued() {
  while (!waiting.empty() && bills_bytes < options.inflight_bytes_max) {
    if (stop_proposed != Slot(0)) return;  // nothing of this epoch lies behind its stop sign (I11)
    if (waiting.front().entry.kind == EntryKind::stop_sign) {
      if (!try_stop_sign(waiting.front().entry)) return;
      waiting_bytes -= std::min(waiting_bytes, waiting.front().entry.weight_bytes());
      waiting.pop_front();
      continue;
    }
    std::vector<Entry> entries;
    entries.reserve(std::min<size_t>(waiting.size(), options.accept_entries_max));
    uint64_t bytes = 0;
    while (!waiting.empty() && entries.size() < options.accept_entries_max &&
           bytes < options.accept_bytes_max && waiting.front().entry.kind != EntryKind::stop_sign) {
      Entry& entry = waiting.front().entry;
      bytes += entry.weight_bytes();
      if (entry.id.node == self && entry.id.boot == boot)
        in_doubt.emplace(entry.id, InDoubt{ballot.term(), now});
      entries.push_back(std::move(entry));
      waiting.pop_front();
    }
    DECREE_SOMETIMES("one turn's proposals need several Bills", !waiting.empty());
    waiting_bytes -= std::min(waiting_bytes, bytes);
    append_bill(std::move(entries));
  }
}

void Replica::Impl::replicate() {
  // An epoch's first leader has no Election: here its record becomes durable BEFORE the first Bill (A3).
  if (!acceptor.promise_durable() && !planted(PlantedBug::ack_before_durable)) return;
  for (Peer& p : peers) {
    if (!p.link_up || p.former) continue;
    if (p.flow == Peer::Flow::stream) send_accepts(p);
    if (p.flow == Peer::Flow::probe &&
        (p.probe_due || now.value - p.last_probe.value >= options.retransmit_ticks))
      send_probe(p);
    if (p.told_decided < acceptor.decided()) {  // LAW, in the same turn
      send(p.node, Law{ballot, acceptor.decided()});
      p.told_decided = acceptor.decided();
    }
  }
}

void Replica::Impl::send_accepts(Peer& p) {
  const paxos::LogWindow& log = acceptor.log();
  const Slot end = last_slot().next();
  while (p.next < end && p.inflight_bytes < options.inflight_bytes_max) {
    if (p.next < log.first()) {  // it learns from the log on disk first
      DECREE_SOMETIMES("a follower's next slot left the leader's memory", true);
      p.flow = Peer::Flow::probe;
      return;
    }
    Accept accept;
    accept.ballot = ballot;
    accept.base = acceptor.bill_base();
    accept.first = p.next;
    accept.decided = acceptor.decided();
    uint64_t bytes = 0;
    while (p.next < end && accept.entries.size() < options.accept_entries_max &&
           bytes < options.accept_bytes_max) {
      const paxos::LogSlot* slot = log.find(p.next);
      DECREE_CHECK(slot != nullptr, "a leader's log has no holes from its base on");
      bytes += slot->entry.weight_bytes();
      accept.entries.push_back(slot->entry);
      p.next = p.next.next();
    }
    if (p.inflight.empty()) p.last_heard = now;
    p.inflight.emplace_back(p.next.prev(), bytes);
    p.inflight_bytes += bytes;
    p.told_decided = accept.decided;
    send(p.node, std::move(accept));
  }
}

void Replica::Impl::send_probe(Peer& p) {
  p.probe_due = false;
  p.last_probe = now;
  p.told_decided = acceptor.decided();
  send(p.node,
       Accept{ballot, acceptor.bill_base(), std::max(p.next, acceptor.bill_base()), acceptor.decided(), {}});
}

void Replica::Impl::on_accepted(NodeId from, const Accepted& m) {
  hear_disk(from, m.disk_writes);
  if (!is_leader() || m.ballot != ballot) return;
  Peer& p = *peer(from);
  p.match = std::max(p.match, std::min(m.upto, last_slot()));
  p.last_heard = now;
  p.knows_decided = std::max(p.knows_decided, m.decided);
  while (!p.inflight.empty() && p.inflight.front().first <= p.match) {
    p.inflight_bytes -= p.inflight.front().second;
    p.inflight.pop_front();
  }
  if (m.wanted != Slot(0)) {
    // It says where it stands: go on from there, once.
    DECREE_SOMETIMES("a follower says where it stands", m.wanted < p.next);
    p.next = std::max({m.wanted, acceptor.bill_base(), p.match.next()});
    p.next = std::min(p.next, last_slot().next());
    p.inflight.clear();
    p.inflight_bytes = 0;
    p.flow = p.next < acceptor.log().first() ? Peer::Flow::probe : Peer::Flow::stream;
    p.last_probe = now;
  }
  count_votes();
}

// The point of no return was the quorum's last sync; here the leader learns of it.
void Replica::Impl::count_votes() {
  std::vector<Slot> positions;
  const Slot own = planted(PlantedBug::leader_counts_unsynced) ? last_slot() : acceptor.durable_upto();
  if (votes()) positions.push_back(own);
  for (const Peer& p : peers)
    if (p.voter) positions.push_back(p.match);
  const uint32_t quorum = membership.bill_quorum - (planted(PlantedBug::small_quorum) ? 1 : 0);
  const Slot chosen = paxos::quorum_position(positions, quorum);
  if (chosen <= acceptor.decided()) return;
  acceptor.decide(ballot, chosen);
  DECREE_CHECK(acceptor.decided() >= chosen, "a leader holds all it proposed");
  bill_progress = now;
  while (!bills.empty() && bills.front().last <= acceptor.decided()) {
    bills_bytes -= bills.front().bytes;
    bills.pop_front();
  }
}

void Replica::Impl::proposer_tick() {
  if (!is_leader()) return;
  for (Peer& p : peers) {
    const bool unanswered = p.flow == Peer::Flow::stream && p.match.next() < p.next;
    if (p.link_up && unanswered && now.value - p.last_heard.value >= options.retransmit_ticks) {
      DECREE_SOMETIMES("Accepts were lost and are sent again", true);
      p.flow = Peer::Flow::probe;
      p.probe_due = true;
    }
  }
}

NodeId Replica::Impl::connected_leader() const {
  if (leader.is_none() || leader.node == self) return NodeId(0);
  for (const Peer& p : peers)
    if (p.node == leader.node && fresh(p)) return p.node;
  return NodeId(0);
}

// A neighbour that is content and does not lead hears from the leader itself.
Replica::Impl::Route Replica::Impl::route_to_leader() const {
  if (const NodeId direct = connected_leader(); direct != NodeId(0)) return Route{direct, leader};
  Route route;
  if (role != Role::follower) return route;
  for (const Peer& p : peers) {
    const Ballot theirs = p.view.leader;
    if (p.former || !fresh(p) || !p.view.happy || theirs.epoch != membership.epoch || theirs.node == p.node ||
        theirs.node == self)
      continue;
    if (theirs > route.leader) route = Route{p.node, theirs};
  }
  DECREE_SOMETIMES("the leader is reached through a neighbour", route.to != NodeId(0));
  return route;
}

void Replica::Impl::forward_waiting() {
  if (waiting.empty()) return;
  const Route route = route_to_leader();
  if (route.to == NodeId(0)) return;
  while (!waiting.empty()) {
    Forward forward;
    forward.ballot = route.leader;
    forward.boot = boot;
    forward.batch = ++forward_batch;
    uint64_t bytes = 0;
    while (!waiting.empty() && forward.entries.size() < options.accept_entries_max &&
           bytes < options.accept_bytes_max) {
      Entry& entry = waiting.front().entry;
      bytes += entry.weight_bytes();
      in_doubt.emplace(entry.id, InDoubt{route.leader.term(), now});
      forward.entries.push_back(std::move(entry));
      waiting.pop_front();
    }
    waiting_bytes -= std::min(waiting_bytes, bytes);
    send(route.to, std::move(forward));
  }
}

void Replica::Impl::on_forward(NodeId from, const Forward& m) {
  if (m.ballot.is_none()) return;
  if (m.ballot != led) {
    // Passed on once and never answered by this member: a copy of it may have arrived already.
    if (m.origin != NodeId(0) || m.ballot != leader || connected_leader() == NodeId(0)) return;
    DECREE_SOMETIMES("proposals are passed on for a neighbour", true);
    Forward onwards = m;
    onwards.origin = from;
    send(leader.node, std::move(onwards));
    return;
  }
  const NodeId origin = m.origin == NodeId(0) ? from : m.origin;
  if (origin == self) return;
  // A copy of a batch that was taken before must never be answered "definitely not".
  ForwardSeen& seen = forwards_seen[origin];
  DECREE_SOMETIMES("a forwarded batch comes twice", seen.boot == m.boot && m.batch <= seen.batch);
  if (seen.boot == m.boot && m.batch <= seen.batch && !planted(PlantedBug::forward_taken_twice)) return;
  if (m.boot < seen.boot) return;
  seen = ForwardSeen{m.boot, m.batch};
  std::vector<RequestId> refused;
  const bool leader_gone = !is_leader() || ballot != m.ballot;
  for (const Entry& entry : m.entries) {
    const bool room =
        waiting.size() < options.proposals_queued_max && waiting_bytes < options.proposals_queued_bytes_max;
    if (leader_gone || !room || membership.find(origin) == nullptr || entry.id.node != origin ||
        (entry.kind != EntryKind::command && entry.kind != EntryKind::stop_sign)) {
      refused.push_back(entry.id);
      continue;
    }
    waiting_bytes += entry.weight_bytes();
    waiting.push_back(Waiting{entry, now});
  }
  DECREE_SOMETIMES("a forwarded proposal is refused", !refused.empty());
  if (!refused.empty())
    send(from, ForwardReply{std::move(refused), Outcome::definitely_not, {}, leader_gone});
}

void Replica::Impl::on_forward_reply(NodeId from, const ForwardReply& m) {
  if (m.outcome != Outcome::definitely_not) return;
  std::map<NodeId, std::vector<RequestId>> passed_on;
  for (const RequestId& id : m.ids) {
    if (id.node != self && id.node != from && peer(id.node) != nullptr) passed_on[id.node].push_back(id);
    if (in_doubt.erase(id) > 0) outcome(id, Outcome::definitely_not, m.refused, m.leader_gone);
  }
  for (auto& [node, ids] : passed_on)
    send(node, ForwardReply{std::move(ids), m.outcome, m.refused, m.leader_gone});
}

}  // namespace decree
