// Linearizable reads by read-index rounds, from any member (protocol 2.13). A read joins the round that
// starts after it was asked; the round's number is never used again (etcd#20418).
#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"
#include "paxos/replica_impl.h"

namespace decree {

namespace {
constexpr uint64_t kReadyProbe =
    0;  // the member's own first read: until it succeeded nothing is served (attack A10)
constexpr uint64_t kReadTicksMax = 500;
}  // namespace

void Replica::Impl::on_read(uint64_t seq) {
  DECREE_CHECK(seq != kReadyProbe, "read numbers start at 1");
  if (reads_waiting.size() + reads_parked.size() >= options.reads_queued_max) {
    DECREE_SOMETIMES("too many reads wait", true);
    read_ready(seq, false, Slot(0));
    return;
  }
  reads_parked.push_back(LocalRead{seq, now});
}

void Replica::Impl::read_ready(uint64_t seq, bool ok, Slot index) {
  if (seq == kReadyProbe) {
    ready_asked = false;
    if (ok && !ready) {
      ready_index = index;
      ready_index_known = true;
    }
    return;
  }
  out->reads.push_back(ReadReady{seq, ok, index});
}

void Replica::Impl::reads_end_turn() {
  if (!ready && !ready_index_known && !ready_asked && (is_leader() || route_to_leader().to != NodeId(0))) {
    ready_asked = true;
    reads_parked.push_back(LocalRead{kReadyProbe, now});
  }
  if (is_leader()) {
    for (const LocalRead& read : reads_parked)
      reads_waiting.push_back(ReadWaiter{self, boot, read.seq, read.since, {}});
    reads_parked.clear();
    // Until the barrier is decided a later leader may never find the slot that would have to be named.
    // Behind a proposed stop sign the next epoch may decide without anybody of this one: it answers.
    const bool settled = acceptor.decided() >= barrier_slot || planted(PlantedBug::read_before_barrier);
    if (!round_open && !reads_waiting.empty() && settled && stop_proposed == Slot(0)) start_read_round();
    if (round_open && planted(PlantedBug::read_joins_open_round)) {
      reads_in_round.insert(reads_in_round.end(), reads_waiting.begin(), reads_waiting.end());
      reads_waiting.clear();
    }
    return;
  }
  if (reads_parked.empty() || !reads_asked.empty()) return;
  const NodeId to = route_to_leader().to;
  if (to == NodeId(0)) return;
  reads_asked.swap(reads_parked);
  read_asked_at = now;
  send(to, ReadIndex{boot, ++read_batch, {}});
}

void Replica::Impl::answer_read(const ReadWaiter& waiter, bool ok, Slot index) {
  if (waiter.from == self) {
    read_ready(waiter.seq, ok, index);
  } else {
    send(waiter.from, ReadIndexReply{waiter.boot, waiter.seq, ok, index, waiter.origin});
  }
}

// A leader that reaches no quorum stays one in name; its readers are told.
void Replica::Impl::expire_reads(std::vector<ReadWaiter>& waiters) {
  std::vector<ReadWaiter> kept;
  for (const ReadWaiter& waiter : waiters) {
    if (now.value - waiter.since.value > kReadTicksMax) {
      DECREE_SOMETIMES("a read finds no quorum for long", true);
      answer_read(waiter, false, Slot(0));
    } else {
      kept.push_back(waiter);
    }
  }
  waiters.swap(kept);
}

void Replica::Impl::start_read_round() {
  round_open = true;
  ++read_round;
  round_sent = now;
  round_acks.clear();
  reads_in_round.insert(reads_in_round.end(), reads_waiting.begin(), reads_waiting.end());
  reads_waiting.clear();
  // Captured when the round starts, and no round starts before the barrier is decided: all that was inherited
  // is below it, and a slot that is only proposed may never be decided.
  DECREE_CHECK(acceptor.decided() >= barrier_slot || planted(PlantedBug::read_before_barrier),
               "reads wait for the barrier");
  round_index = acceptor.decided();
  DECREE_SOMETIMES("reads share a round", reads_in_round.size() > 1);
  for (const Peer& p : peers)
    if (p.voter && p.link_up) send(p.node, Confirm{ballot, read_round});
  finish_read_round();
}

void Replica::Impl::on_confirm(NodeId from, const Confirm& m) {
  if (!epoch_matches(from, m.ballot) || m.ballot.node != from || !votes()) return;
  DECREE_SOMETIMES("a deposed leader asks for a read round", acceptor.promised() > m.ballot);
  if (acceptor.promised() > m.ballot) {  // it may not have noticed: nobody may be writing
    send(from, Nack{m.ballot, acceptor.promised(), NackReason::promised_higher});
    return;
  }
  send(from, ConfirmReply{m.ballot, m.round});
}

void Replica::Impl::on_confirm_reply(NodeId from, const ConfirmReply& m) {
  DECREE_SOMETIMES("an answer to an earlier read round comes late",
                   round_open && m.ballot == ballot && m.round < read_round);
  if (!is_leader() || !round_open || m.ballot != ballot || m.round != read_round ||
      !membership.is_voter(from))
    return;
  round_acks.insert(from);
  finish_read_round();
}

void Replica::Impl::finish_read_round() {
  if (acceptor.promised() != ballot) return;
  // |C| >= N - q1 + 1 meets every Election quorum; q2 is at least that.
  const bool enough = round_acks.size() + (votes() ? 1 : 0) >= membership.bill_quorum;
  if (!enough && !planted(PlantedBug::read_without_round)) return;
  round_open = false;
  for (const ReadWaiter& waiter : reads_in_round) answer_read(waiter, true, round_index);
  reads_in_round.clear();
  // Reads that came during the round wait for the next one; end_turn starts it.
}

void Replica::Impl::on_read_index(NodeId from, const ReadIndex& m) {
  if (!is_leader() && m.origin == NodeId(0) && connected_leader() != NodeId(0)) {
    DECREE_SOMETIMES("a read is passed on for a neighbour", true);
    send(leader.node, ReadIndex{m.boot, m.seq, from});
    return;
  }
  if (!is_leader() || reads_waiting.size() >= options.reads_queued_max) {
    send(from, ReadIndexReply{m.boot, m.seq, false, Slot(0), m.origin});
    return;
  }
  reads_waiting.push_back(ReadWaiter{from, m.boot, m.seq, now, m.origin});
}

void Replica::Impl::on_read_index_reply(NodeId from, const ReadIndexReply& m) {
  if (m.origin != NodeId(0)) {  // for the neighbour that asked through this member
    if (m.origin != self && peer(m.origin) != nullptr)
      send(m.origin, ReadIndexReply{m.boot, m.seq, m.ok, m.index, {}});
    return;
  }
  if (m.boot != boot || m.seq != read_batch || reads_asked.empty()) return;
  DECREE_SOMETIMES("a leader refuses a read round", !m.ok);
  if (!m.ok) {  // asked again by the tick or when somebody else leads, not at the speed of the network
    read_asked_at = now;
    return;
  }
  // No leader tells this member what is decided when it answers through a neighbour.
  if (from != leader.node && m.index > acceptor.decided()) {
    want_laws(m.index, from);
    if (!learn_outstanding) ask_for_laws();
  }
  std::vector<LocalRead> asked;
  asked.swap(reads_asked);
  for (const LocalRead& read : asked) read_ready(read.seq, true, m.index);
}

void Replica::Impl::abandon_read_rounds() {
  round_open = false;
  reads_waiting.insert(reads_waiting.begin(), reads_in_round.begin(), reads_in_round.end());
  reads_in_round.clear();
  for (const ReadWaiter& waiter : reads_waiting) {
    if (waiter.from == self) {
      reads_parked.push_back(LocalRead{waiter.seq, waiter.since});
    } else {
      answer_read(waiter, false, Slot(0));
    }
  }
  reads_waiting.clear();
}

void Replica::Impl::read_tick() {
  expire_reads(reads_waiting);
  expire_reads(reads_in_round);
  if (reads_in_round.empty()) round_open = false;
  if (is_leader() && round_open && now.value - round_sent.value >= options.retransmit_ticks) {
    // A retry is a new round with a new number and a new index.
    DECREE_SOMETIMES("a read round is tried again under a new number", true);
    round_open = false;
    reads_waiting.insert(reads_waiting.begin(), reads_in_round.begin(), reads_in_round.end());
    reads_in_round.clear();
    if (planted(PlantedBug::read_round_reused)) --read_round;
    if (stop_proposed == Slot(0)) start_read_round();
  }
  if (!reads_asked.empty() && now.value - read_asked_at.value >= options.retransmit_ticks &&
      !planted(PlantedBug::asked_reads_forgotten)) {
    reads_parked.insert(reads_parked.begin(), reads_asked.begin(), reads_asked.end());
    reads_asked.clear();
  }
  std::vector<LocalRead> kept;
  for (const LocalRead& read : reads_parked) {
    if (now.value - read.since.value > kReadTicksMax) {
      read_ready(read.seq, false, Slot(0));
    } else {
      kept.push_back(read);
    }
  }
  reads_parked.swap(kept);
}

}  // namespace decree
