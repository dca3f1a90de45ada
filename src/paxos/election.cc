// ELECTION: phase 1 for all slots at once (protocol 2.5; mission rows M11, M12).
#include <utility>

#include "base/planted_bugs.h"
#include "decree/check.h"

#include "decree/sometimes.h"
#include "paxos/replica_impl.h"

namespace decree {

void Replica::Impl::start_election() {
  DECREE_CHECK(role != Role::leader, "a leader does not run against itself");
  DECREE_CHECK(votes(), "only a voter of the epoch runs");
  ++elections;
  count_election();
  role = Role::candidate;
  if (!leader.is_none()) follow(Ballot{});
  // Rounds are dealt out by place in the membership, so that one term has one leader (docs/decisions/0008).
  const auto places = static_cast<uint32_t>(membership.members.size());
  const auto place = static_cast<uint32_t>(membership.find(self) - membership.members.data());
  uint32_t round = std::max(round_seen, acceptor.promised().round) + 1;
  round += (place + places - round % places) % places;
  ballot = Ballot{membership.epoch, round, options.priority, self};
  promises.clear();
  fetched.clear();
  asked_from = acceptor.decided().next();
  election_progress = now;
  beat_soon = true;
  raise_promise(ballot);
  // Not before the own promise is durable: the ballot must not be used again after a crash (attack A1).
  for (const Peer& p : peers)
    if (p.voter) send_when_durable(p.node, Prepare{ballot, asked_from});
  on_prepare(self, Prepare{ballot, asked_from});
}

void Replica::Impl::on_prepare(NodeId from, const Prepare& m) {
  if (!epoch_matches(from, m.ballot) || !votes()) return;
  if (m.ballot < acceptor.promised()) {
    DECREE_SOMETIMES("a Prepare comes below the promise", from != self);
    send(from, Nack{m.ballot, acceptor.promised(), NackReason::promised_higher});
    return;
  }
  if (from != self) {
    if (m.ballot.node != from) return;  // I2: only the owner of a ballot asks for votes
    if (m.ballot > acceptor.promised()) {
      step_down(m.ballot);
      if (!leader.is_none()) follow(Ballot{});
      raise_promise(m.ballot);
      count_election();
      quiet_until = Tick(std::max(quiet_until.value, now.value + patient(options.election_retry_ticks)));
    } else if (leader == m.ballot) {
      DECREE_SOMETIMES("a late copy of the leader's Prepare", true);
      return;  // a late copy: its sender leads already
    }
  }
  // The report is taken from memory at this moment, and leaves when everything in it is durable (attack A13).
  Promise promise;
  promise.ballot = m.ballot;
  promise.decided = acceptor.decided();
  promise.snapshot_index = acceptor.snapshot_index();
  promise.capture = ++capture_counter;
  promise.boot = boot;
  promise.disk_writes = disk_writes;
  promise.unknown = acceptor.unknown_above_decided();
  DECREE_SOMETIMES("a Promise says Unknown", !promise.unknown.empty());
  const std::vector<PromiseRun> runs = acceptor.runs_above_decided();
  size_t done = 0;
  do {
    const size_t n = std::min<size_t>(runs.size() - done, options.promise_runs_max);
    promise.runs.assign(runs.begin() + static_cast<ptrdiff_t>(done),
                        runs.begin() + static_cast<ptrdiff_t>(done + n));
    done += n;
    promise.last = done == runs.size() || planted(PlantedBug::first_promise_chunk_only);
    DECREE_SOMETIMES("a Promise needs several chunks", !promise.last);
    send_when_durable(from, promise);
    promise.unknown.clear();
    ++promise.chunk;
  } while (!promise.last);
}

void Replica::Impl::on_promise(NodeId from, const Promise& m) {
  hear_disk(from, m.disk_writes);
  if (role != Role::candidate || m.ballot != ballot || !membership.is_voter(from)) return;
  PartialPromise& partial = promises[from];
  if (partial.whole) {
    if (planted(PlantedBug::duplicate_promise_counts) && m.last &&
        promises.emplace(NodeId(from.value + 1000), partial).second)
      advance_election();
    return;
  }
  if (m.chunk == 0) {
    partial = PartialPromise{};
    partial.capture = m.capture;
    partial.boot = m.boot;
    partial.report = PromiseReport{from, m.decided, m.snapshot_index, {}, m.unknown};
  }
  // All chunks of one capture, in order (attack A16); anything else is forgotten and asked again.
  DECREE_SOMETIMES("chunks of two Promises are mixed", partial.capture != m.capture && m.chunk > 0);
  if (partial.capture != m.capture || partial.boot != m.boot || partial.chunks != m.chunk) return;
  ++partial.chunks;
  partial.report.runs.insert(partial.report.runs.end(), m.runs.begin(), m.runs.end());
  partial.whole = m.last;
  election_progress = now;
  if (partial.whole) advance_election();
}

// With a quorum of promises: know all Laws, fetch the values that bind, lead.
void Replica::Impl::advance_election() {
  if (role != Role::candidate) return;
  std::vector<PromiseReport> reports;
  for (const auto& [node, partial] : promises)
    if (partial.whole) reports.push_back(partial.report);
  if (reports.size() < membership.election_quorum) return;
  const Slot base = choose_base(reports, acceptor.decided(), asked_from, membership.base);
  const size_t certain = certain_count(reports, base);
  DECREE_SOMETIMES("damage keeps a Promise from counting", certain < reports.size());
  if (certain < membership.election_quorum) return;
  if (acceptor.decided() < base.prev()) {
    DECREE_SOMETIMES("a candidate must learn Laws first", true);
    for (const PromiseReport& report : reports)
      if (std::max(report.decided, report.snapshot_index) == base.prev()) want_laws(base.prev(), report.from);
    return;
  }
  const std::vector<SlotPick> picks = choose_values(reports, base);
  if (!fetch_missing(picks)) return;
  const auto value_at = [this](const SlotPick& pick) -> const Entry* {
    const paxos::LogSlot* own = acceptor.log().find(pick.slot);
    if (own != nullptr && (pick.law ? own->law : own->ballot == pick.ballot)) return &own->entry;
    const auto it = fetched.find(pick.slot);
    return it == fetched.end() ? nullptr : &it->second.accepted.entry;
  };
  std::vector<Entry> values = bind_values(picks, acceptor.decided_term(), value_at);
  if (planted(PlantedBug::inherited_values_dropped)) values.clear();
  become_leader(base, std::move(values));
}

bool Replica::Impl::fetch_missing(const std::vector<SlotPick>& picks) {
  std::map<NodeId, std::vector<FetchItem>> wanted;
  for (const SlotPick& pick : picks) {
    if (pick.holder == NodeId(0)) continue;
    const paxos::LogSlot* own = acceptor.log().find(pick.slot);
    if (own != nullptr && (pick.law ? own->law : own->ballot == pick.ballot)) continue;
    const auto it = fetched.find(pick.slot);
    if (it != fetched.end()) {
      // A holder that meanwhile knows the slot chosen answers with the Law, which is the same value or
      // outranks it.
      const AcceptedEntry& got = it->second.accepted;
      if (got.law || (!pick.law && got.ballot == pick.ballot)) continue;
    }
    DECREE_CHECK(pick.holder != self, "what this member reported it still holds");
    std::vector<FetchItem>& items = wanted[pick.holder];
    if (!items.empty() && items.back().slots.end == pick.slot && items.back().ballot == pick.ballot &&
        items.back().law == pick.law) {
      items.back().slots.end = pick.slot.next();
    } else {
      items.push_back(FetchItem{pick.ballot, pick.law, SlotRange{pick.slot, pick.slot.next()}});
    }
  }
  DECREE_SOMETIMES("a candidate must fetch values it lacks", !wanted.empty());
  // One question under way to each holder: every answer leads here, and would ask everybody again.
  for (auto& [node, items] : wanted) {
    bool& fetching = promises[node].fetching;
    if (fetching) continue;
    fetching = true;
    fetch_sent = now;
    send(node, Fetch{ballot, std::move(items)});
  }
  return wanted.empty();
}

void Replica::Impl::on_fetch(NodeId from, const Fetch& m) {
  FetchReply reply;
  reply.ballot = m.ballot;
  uint64_t bytes = 0;
  for (const FetchItem& item : m.items) {
    const Slot end = std::min(item.slots.end, acceptor.log().end());
    for (Slot s = std::max(item.slots.first, acceptor.log().first());
         s < end && bytes < options.accept_bytes_max; s = s.next()) {
      const paxos::LogSlot* slot = acceptor.log().find(s);
      if (slot == nullptr) continue;
      const bool law = slot->law || s <= acceptor.decided();
      if (!law && (item.law || slot->ballot != item.ballot)) continue;
      reply.entries.push_back(FetchedEntry{s, AcceptedEntry{slot->ballot, law, slot->entry}});
      bytes += slot->entry.weight_bytes();
    }
  }
  if (!reply.entries.empty()) send(from, std::move(reply));
}

// A question or its answer was lost, or the holder has nothing to say any more: all are asked again.
void Replica::Impl::election_tick() {
  if (role != Role::candidate || now.value - fetch_sent.value < options.retransmit_ticks) return;
  bool lost = false;
  for (auto& [node, partial] : promises) lost = std::exchange(partial.fetching, false) || lost;
  DECREE_SOMETIMES("a question for values was lost", lost);
  if (lost) advance_election();
}

void Replica::Impl::on_fetch_reply(NodeId from, const FetchReply& m) {
  DECREE_SOMETIMES("a fetched value comes too late", role != Role::candidate || m.ballot != ballot);
  if (role != Role::candidate || m.ballot != ballot) return;
  for (const FetchedEntry& entry : m.entries) {
    FetchedEntry& kept = fetched[entry.slot];
    if (!kept.accepted.law) kept = entry;
  }
  if (const auto asked = promises.find(from); asked != promises.end()) asked->second.fetching = false;
  election_progress = now;
  advance_election();
}

void Replica::Impl::become_leader(Slot base, std::vector<Entry> values) {
  role = Role::leader;
  draining = false;
  duels = 0;
  forwards_seen.clear();
  bills.clear();
  bills_bytes = 0;
  led = ballot;
  follow(ballot);
  for (Peer& p : peers) {
    p.flow = Peer::Flow::stream;
    p.match = Slot(0);
    p.next = base;
    p.inflight.clear();
    p.inflight_bytes = 0;
    p.last_heard = now;
    p.told_decided = Slot(0);
  }
  bill_progress = now;
  const bool sealed = !values.empty() && stop_sign_membership(values.back()).epoch == membership.epoch + 1;
  acceptor.enter_ballot(ballot, base);
  if (!sealed) {
    Entry barrier;
    barrier.kind = EntryKind::barrier;
    barrier.id = RequestId{self, boot, 0};
    barrier.payload = std::make_shared<const std::string>(encode_barrier(ballot));
    barrier.digest =
        chain_link(Digest128{ballot.term(), ballot.priority}, Slot(self.value), Digest128{boot, 3});
    values.push_back(std::move(barrier));
  }
  DECREE_SOMETIMES("an Election re-proposes what it found", values.size() > 1);
  append_bill(std::move(values));
  barrier_slot = last_slot();
  stop_proposed = sealed ? barrier_slot : Slot(0);
  promises.clear();
  fetched.clear();
}

void Replica::Impl::step_down(Ballot higher) {
  hear_round(higher);
  leave_role();
}

void Replica::Impl::leave_role() {
  if (role == Role::follower) return;
  const bool was_leader = role == Role::leader;
  role = Role::follower;
  promises.clear();
  fetched.clear();
  if (!was_leader) return;
  draining = false;
  DECREE_SOMETIMES("a leader steps down with reads in a round", !reads_in_round.empty());
  stop_proposed = Slot(0);
  change_wanted = false;
  change_since = Tick(0);
  abandon_read_rounds();
  if (leader == ballot) follow(Ballot{});
  // Queued but never proposed: definitely not chosen. Own ones stay queued for the next leader.
  std::map<NodeId, std::vector<RequestId>> refused;
  std::deque<Waiting> own;
  waiting_bytes = 0;
  for (Waiting& w : waiting) {
    if (w.entry.id.node == self) {
      waiting_bytes += w.entry.weight_bytes();
      own.push_back(std::move(w));
    } else {
      refused[w.entry.id.node].push_back(w.entry.id);
    }
  }
  waiting = std::move(own);
  DECREE_SOMETIMES("a leader that steps down refuses what others forwarded", !refused.empty());
  for (auto& [node, ids] : refused)
    send(node, ForwardReply{std::move(ids), Outcome::definitely_not, {}, true});
}

void Replica::Impl::follow(Ballot b) {
  if (leader == b) return;
  leader = b;
  beat_soon = true;
  gap_told = Slot(0);
  learn_outstanding = false;
  if (!b.is_none()) {
    ++leader_changes;
    duels = 0;
    quiet_until = Tick(std::max(quiet_until.value, now.value + patient(options.election_retry_ticks)));
  }
  DECREE_SOMETIMES("reads are asked again elsewhere", !reads_asked.empty());
  // Reads that were asked elsewhere are asked again, under a new number (etcd#20418).
  if (!planted(PlantedBug::asked_reads_forgotten)) {
    reads_parked.insert(reads_parked.begin(), reads_asked.begin(), reads_asked.end());
    reads_asked.clear();
  }
  out->jobs.push_back(LeadershipChanged{b, b.node == self});
}

void Replica::Impl::on_nack(NodeId from, const Nack& m) {
  if (m.reason == NackReason::old_disk) return on_old_disk(from, m);
  if (m.promised.epoch != membership.epoch) return;
  hear_round(m.promised);
  if (role == Role::follower || m.ballot != ballot || m.promised <= ballot) return;
  DECREE_SOMETIMES("a duel is lost", true);
  step_down(m.promised);
  ++duels;
  const uint64_t span = static_cast<uint64_t>(options.duel_backoff_ticks) << std::min(duels, 5u);
  quiet_until = Tick(now.value + 1 + prng.below(span));
}

}  // namespace decree
