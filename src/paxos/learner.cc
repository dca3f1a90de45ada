// The acceptor's side of BILL, and LAW: learning what was chosen and catching up (protocol 2.5 contiguity,
// 2.7; mission rows M13, M14, M17).
#include <algorithm>

#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"
#include "paxos/replica_impl.h"

namespace decree {

void Replica::Impl::on_accept(NodeId from, const Accept& m) {
  if (m.ballot.epoch > membership.epoch) return hear_later_epoch(from, m.decided);
  if (!epoch_matches(from, m.ballot) || m.ballot.node != from) return;
  if (membership.is_voter(self) && !votes())
    return;  // another disk: what the voter promised is not known here
  const bool forgets = planted(PlantedBug::stale_accept) && role == Role::follower;
  if (m.ballot < acceptor.promised() && !forgets) {
    DECREE_SOMETIMES("an Accept comes below the promise", true);
    send(from, Nack{m.ballot, acceptor.promised(), NackReason::promised_higher});
    return;
  }
  if (m.ballot > acceptor.promised()) {
    DECREE_SOMETIMES("an Accept raises the promise without a Prepare", true);
    step_down(m.ballot);
    raise_promise(m.ballot);
  }
  if (leader < m.ballot) {
    step_down(m.ballot);
    follow(m.ballot);
  }
  Acceptor::AcceptResult result = acceptor.accept(m, next_token);
  switch (result.verdict) {
    case Acceptor::Verdict::accepted:
    case Acceptor::Verdict::sealed:
      if (result.count > 0) {
        const auto begin = m.entries.begin() + static_cast<ptrdiff_t>(result.first_new - m.first);
        persist(
            AcceptRecord{m.ballot, result.first_new, {begin, begin + static_cast<ptrdiff_t>(result.count)}});
      } else {
        accepted_due = true;  // a copy or a probe: say again where we stand
        if (m.entries.empty()) gap_due = true;
      }
      break;
    case Acceptor::Verdict::gap:
      if (m.entries.empty()) {
        gap_due = true;
      } else {
        note_gap();
      }
      break;
    case Acceptor::Verdict::outranked:
    case Acceptor::Verdict::wrong_epoch:
    case Acceptor::Verdict::below_base:
      send(from, Nack{m.ballot, acceptor.promised(), NackReason::below_epoch_base});
      return;
  }
  acceptor.decide(m.ballot, m.decided);
  leader_says_decided(m.ballot, m.decided);
  want_laws(m.decided, from);
  // Below the base nothing comes by itself: those are Laws of earlier ballots.
  DECREE_SOMETIMES("an Accept's base lies above what is learned", acceptor.decided().next() < m.base);
  if (acceptor.decided().next() < m.base && acceptor.decided() < m.decided && !learn_outstanding)
    ask_for_laws();
}

void Replica::Impl::note_gap() {
  const Slot wanted = acceptor.next_acceptable();
  if (wanted == gap_told && now.value - gap_told_at.value < options.retransmit_ticks) return;
  gap_due = true;
}

// Once per turn, from durable state only (I10). Never while the promise itself is still on its way to the
// disk.
void Replica::Impl::emit_accepted() {
  const Ballot b = acceptor.bill_ballot();
  const bool forgets = planted(PlantedBug::stale_accept);
  if (is_leader() || b.is_none()) return;
  if ((b != leader || b != acceptor.promised()) && !forgets) return;
  if (!acceptor.promise_durable() && !planted(PlantedBug::ack_before_durable)) return;
  Slot upto = acceptor.durable_upto();
  if (planted(PlantedBug::early_duplicate_ack) && accepted_due) upto = acceptor.next_acceptable().prev();
  const bool news = b != accepted_told_ballot || upto > accepted_told;
  if (!news && !accepted_due && !gap_due) return;
  Accepted accepted;
  accepted.ballot = b;
  accepted.upto = upto;
  accepted.decided = acceptor.decided();
  accepted.disk_writes = disk_writes;
  if (gap_due) {
    accepted.wanted = acceptor.next_acceptable();
    accepted.behind = acceptor.decided().next() < acceptor.bill_base();
    gap_told = accepted.wanted;
    gap_told_at = now;
  }
  accepted_told = upto;
  accepted_told_ballot = b;
  accepted_due = gap_due = false;
  out->released.push_back(Outgoing{b.node, accepted});
}

void Replica::Impl::on_law(NodeId from, const Law& m) {
  if (m.ballot.epoch > membership.epoch) return hear_later_epoch(from, m.decided);
  if (m.ballot.epoch != membership.epoch || m.ballot < acceptor.promised() || m.ballot.node != from) return;
  if (leader < m.ballot) {
    step_down(m.ballot);
    follow(m.ballot);
  }
  // Only what was accepted at exactly this ballot is known to be the leader's value.
  if (m.ballot == acceptor.bill_ballot()) acceptor.decide(m.ballot, m.decided);
  leader_says_decided(m.ballot, m.decided);
  want_laws(m.decided, from);
}

void Replica::Impl::want_laws(Slot elsewhere, NodeId from) {
  if (elsewhere <= acceptor.decided()) return;
  if (membership.find(self) == nullptr) return;  // what epochs without this member decide is not its business
  if (Peer* p = peer(from); p != nullptr) p->knows_decided = std::max(p->knows_decided, elsewhere);
  heard_decided = std::max(heard_decided, elsewhere);
  if (role == Role::candidate && !learn_outstanding) ask_for_laws();
}

// Asks a connected member that holds more; the same one again unless `somebody_else`, the leader before
// others.
void Replica::Impl::ask_for_laws(bool somebody_else) {
  learn_outstanding = false;
  // Memory stays bounded when the own disk is slower than the network: the turn that applies asks again.
  const uint64_t bytes_max = options.cached_log_bytes_max + options.inflight_bytes_max;
  learn_held = applied < acceptor.decided() && acceptor.log().bytes() >= bytes_max;
  DECREE_SOMETIMES("learning waits for the own disk", learn_held);
  if (learn_held) return;
  learn_sent = now;
  const Peer* choice = nullptr;
  const auto rank = [this, somebody_else](const Peer& p) {  // lowest wins: same, leader, then round robin
    if (!somebody_else && p.node == learn_asked) return 0;
    if (!somebody_else && p.node == leader.node) return 1;
    return p.node > learn_asked ? 2 : p.node < learn_asked ? 3 : 4;
  };
  for (const Peer& p : peers) {
    if (!p.link_up || p.knows_decided <= acceptor.decided()) continue;
    if (choice == nullptr || rank(p) < rank(*choice)) choice = &p;
  }
  DECREE_SOMETIMES("nobody to learn from is connected", choice == nullptr);
  if (choice == nullptr) return;
  learn_outstanding = true;
  learn_asked = choice->node;
  send(choice->node, Learn{acceptor.decided().next()});
}

// At the end of a turn, when what was learned may have been applied: no tick is waited for. One question at a
// time, as ever.
void Replica::Impl::go_on_learning() {
  if (!learn_held) return;
  if (is_leader() || acceptor.decided() >= heard_decided) {
    learn_held = false;
  } else {
    ask_for_laws();
  }
}

void Replica::Impl::learner_tick() {
  if (acceptor.decided() != decided_seen) {
    decided_seen = acceptor.decided();
    decided_moved = now;
  }
  if (is_leader() || acceptor.decided() >= heard_decided) return;
  if (now.value - decided_moved.value < options.retransmit_ticks ||
      now.value - learn_sent.value < options.retransmit_ticks)
    return;
  DECREE_SOMETIMES("a question for Laws was lost", true);
  ask_for_laws(learn_outstanding);  // whatever was asked before got lost, or the Laws themselves did
}

void Replica::Impl::on_learn(NodeId from, const Learn& m) {
  if (m.first > acceptor.decided() || m.first == Slot(0)) return;
  const paxos::LogWindow& log = acceptor.log();
  if (m.first >= log.first()) {
    std::vector<Entry> entries;
    uint64_t bytes = 0;
    for (Slot s = m.first; s <= acceptor.decided() && bytes < options.accept_bytes_max &&
                           entries.size() < options.accept_entries_max;
         s = s.next()) {
      entries.push_back(log.find(s)->entry);
      bytes += entries.back().weight_bytes();
    }
    send_chosen(from, m.first, std::move(entries));
  } else if (m.first > log_floor) {  // if it was not cut; else the host's answer leads to a snapshot
    DECREE_SOMETIMES("a laggard is served from the log on disk", true);
    out->jobs.push_back(SendLogJob{from, SlotRange{m.first, log.first()}});
  } else {
    DECREE_SOMETIMES("a laggard needs a snapshot", true);
    out->jobs.push_back(SendSnapshotJob{from});
  }
}

void Replica::Impl::on_log_read(const LogRead& m) {
  if (!m.ok || m.entries.empty()) {
    DECREE_SOMETIMES("the log on disk was cut before a laggard was served", true);
    out->jobs.push_back(SendSnapshotJob{m.to});
    return;
  }
  send_chosen(m.to, m.first, m.entries);
}

void Replica::Impl::send_chosen(NodeId to, Slot first, std::vector<Entry> entries) {
  Chosen chosen;
  chosen.epoch = membership.epoch;
  chosen.first = first;
  chosen.decided = acceptor.decided();
  if (const paxos::LogSlot* before = acceptor.log().find(first.prev()); before != nullptr)
    chosen.chain_before = before->chain;
  chosen.entries = std::move(entries);
  send(to, std::move(chosen));
}

void Replica::Impl::on_chosen(NodeId from, const Chosen& m) {
  // Whoever decided it, and in whichever epoch it is now: what is decided stays so.
  if (m.first > acceptor.decided().next() || is_leader() || acceptor.sealed()) return;
  if (m.first.prev() == acceptor.decided() && m.chain_before != Digest128{})
    DECREE_CHECK(m.chain_before == acceptor.decided_chain(), "I8: two members decided different histories");
  LawRecord record;
  const auto flush = [&] {
    if (!record.entries.empty()) persist(std::move(record));
    record = LawRecord{};
  };
  const Slot before = acceptor.decided();
  for (size_t i = 0; i < m.entries.size(); ++i) {
    const Slot s = m.first + i;
    if (s <= acceptor.decided()) continue;
    if (acceptor.learn(s, m.entries[i], next_token)) {
      if (record.entries.empty()) record.first = s;
      record.entries.push_back(m.entries[i]);
    } else {
      flush();
    }
    if (acceptor.sealed()) {  // the rest belongs to the next epoch, whose record comes first
      flush();
      open_if_sealed();
      if (is_leader()) break;
    }
  }
  flush();
  DECREE_SOMETIMES("Chosen comes twice", acceptor.decided() == before);
  if (acceptor.decided() == before) return;  // a copy
  learn_outstanding = false;
  election_progress = now;
  want_laws(m.decided, from);
  if (acceptor.decided() < heard_decided && !learn_outstanding) ask_for_laws();
  if (!learn_outstanding && !learn_held) gap_due = true;  // tells the leader to go on from here
  advance_election();
}

void Replica::Impl::on_snapshot_taken(const SnapshotTaken& m) {
  if (m.index <= acceptor.snapshot_index()) return;
  DECREE_CHECK(m.index <= applied, "a snapshot covers applied slots only");
  acceptor.set_snapshot_index(m.index);
  snapshot_token = persist(SnapshotRecord{m.index, m.chain, m.term});
  truncate_upto = m.index;
}

void Replica::Impl::on_snapshot_installed(const SnapshotInstalled& m) {
  if (m.index <= applied) return;
  // Decided above what this leader decided: somebody leads at a higher ballot.
  DECREE_SOMETIMES("a leader installs a snapshot", is_leader() && m.index > acceptor.decided());
  if (is_leader() && m.index > acceptor.decided()) step_down(ballot);
  if (role == Role::candidate && m.membership.epoch > membership.epoch) leave_role();
  if (m.index > acceptor.decided()) {
    acceptor.install_snapshot(m.index, m.chain, m.term);
  } else {
    acceptor.set_snapshot_index(m.index);
  }
  applied = log_floor = m.index;
  applied_term = std::max(applied_term, m.term);
  // A snapshot tells the epoch that its index belongs to, and holds everything before it (A17).
  if (m.membership.epoch > membership.epoch && m.membership.base <= m.index.next()) open_epoch(m.membership);
  // What is in the snapshot was applied without being seen here: nobody can tell any more which requests it
  // holds.
  std::vector<RequestId> unseen;
  for (const auto& [id, submitted] : in_doubt) unseen.push_back(id);
  DECREE_SOMETIMES("a snapshot hides the fate of own proposals", !unseen.empty());
  std::sort(unseen.begin(), unseen.end());
  for (const RequestId& id : unseen) outcome(id, Outcome::unknown);
  in_doubt.clear();
  snapshot_token = persist(SnapshotRecord{m.index, m.chain, m.term});
  truncate_upto = m.index;
  learn_outstanding = false;
  gap_due = true;
  election_progress = now;
  if (acceptor.decided() < heard_decided) ask_for_laws();
  advance_election();
}

}  // namespace decree
