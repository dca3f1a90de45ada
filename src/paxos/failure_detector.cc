// Who should lead: heartbeat rounds between all members, quorum-connected leadership (protocol 2.12, after
// Omni-Paxos' BLE). This is liveness only: whatever it decides, the ballots keep the log safe.
#include "base/planted_bugs.h"
#include "paxos/replica_impl.h"

#include "decree/sometimes.h"

namespace decree {

namespace {
constexpr size_t kBeatRoundsKept = 64;
constexpr uint64_t kDrainingTicksMax = 100;
// So many Elections without a result are nothing special (a duel, a lost message); then patience doubles with
// each.
constexpr uint32_t kFruitlessUsual = 4;
constexpr uint32_t kDoublingsMax = 4;
}  // namespace

void Replica::Impl::beat_tick() {
  if (now.value - beat_sent.value >= options.beat_ticks || beat_round == 0) send_beats();
  if (role == Role::candidate &&
      now.value - election_progress.value >= patient(options.election_retry_ticks)) {
    DECREE_SOMETIMES("an Election ends without a result", true);
    // No result: a new round later, unless somebody else was faster.
    role = Role::follower;
    promises.clear();
    quiet_until = Tick(now.value + prng.below(patient(options.duel_backoff_ticks) + 1));
  }
  DECREE_SOMETIMES("a hand-over of leadership fails",
                   draining && !retired && now.value - draining_since.value >= kDrainingTicksMax);
  if (draining && !retired && now.value - draining_since.value >= kDrainingTicksMax) draining = false;
  consider_takeover();
}

void Replica::Impl::send_beats() {
  ++beat_round;
  beat_sent = now;
  beat_soon = false;
  beat_times.emplace_back(beat_round, now);
  if (beat_times.size() > kBeatRoundsKept) beat_times.pop_front();
  const BeatView view = own_view();
  for (const Peer& p : peers)
    if (p.link_up) send(p.node, Beat{beat_round, view, {}});
}

BeatView Replica::Impl::own_view() const {
  BeatView view;
  view.leader = role == Role::candidate ? Ballot{} : leader;
  view.happy = happy();
  view.decided = acceptor.decided();
  view.upto = acceptor.durable_upto();
  view.disk_ok = disk_good();
  view.voter = votes();
  view.boot = boot;
  view.disk_writes = disk_writes;
  view.unfit = !fit_to_lead();
  return view;
}

void Replica::Impl::on_beat(NodeId from, const Beat& m) {
  Peer* p = peer(from);
  note_view(*p, m.view);
  // An idle leader would never meet the higher promise that makes this member deaf to it.
  const Ballot theirs = m.view.leader;
  if (theirs.node == from && theirs.epoch < membership.epoch) hint_stop(from, theirs);
  if (theirs.node == from && theirs.epoch == membership.epoch && theirs < acceptor.promised())
    send(from, Nack{theirs, acceptor.promised(), NackReason::promised_higher});
  send(from, BeatReply{m.round, own_view()});
  consider_takeover();
}

void Replica::Impl::on_beat_reply(NodeId from, const BeatReply& m) {
  Peer* p = peer(from);
  // Fresh counts from when the question was sent: what waited in a queue meanwhile proves nothing new.
  for (const auto& [round, sent] : beat_times) {
    if (round != m.round) continue;
    p->ever_replied = true;
    p->last_reply = std::max(p->last_reply, sent);
  }
  note_view(*p, m.view);
  consider_takeover();
}

void Replica::Impl::note_view(Peer& p, const BeatView& view) {
  p.view = view;
  hear_disk(p.node, view.disk_writes);
  p.knows_decided = std::max(p.knows_decided, view.decided);
  if (!view.leader.is_none() && view.leader.epoch != membership.epoch) {
    if (view.decided > acceptor.decided()) want_laws(view.decided, p.node);
    return;
  }
  hear_round(view.leader);
  DECREE_SOMETIMES("a Beat shows that somebody else leads", role != Role::follower && view.leader > ballot);
  if (role != Role::follower && view.leader > ballot) step_down(view.leader);
  if (view.leader.node == p.node && membership.is_voter(p.node) && view.leader >= acceptor.promised() &&
      view.leader > leader) {
    // Follow for forwarding and reads; a mere Beat never raises the promise.
    step_down(view.leader);
    follow(view.leader);
  }
  if (view.leader == leader && view.leader.node == p.node) on_law(p.node, Law{view.leader, view.decided});
  if (view.decided > acceptor.decided()) want_laws(view.decided, p.node);
}

void Replica::Impl::on_peer_link(const PeerLink& link) {
  Peer* p = peer(link.peer);
  if (p == nullptr) return;
  p->link_up = link.up;
  if (link.up) {
    const bool both_known = p->incarnation != Incarnation(0) && link.incarnation != Incarnation(0);
    if (both_known && p->incarnation != link.incarnation) {
      // Another disk: nothing that the old one had is there.
      p->match = p->next = p->knows_decided = Slot(0);
      p->view = BeatView{};
      p->disk_writes = p->boot = 0;
    }
    p->incarnation = link.incarnation;
  }
  if (link.up) judge_disk(*p, link);
  if (link.up && !genesis_confirmed) {
    met.insert(link.peer);
    learn_identity();
  }
  p->flow = Peer::Flow::probe;
  p->probe_due = link.up;
  p->inflight.clear();
  p->inflight_bytes = 0;
  beat_soon = true;
  if (!link.up) {
    p->ever_replied = false;  // a closed connection is evidence at once
    if (leader.node == link.peer && !planted(PlantedBug::asked_reads_forgotten)) {
      reads_parked.insert(reads_parked.begin(), reads_asked.begin(), reads_asked.end());
      reads_asked.clear();
    }
  }
  consider_takeover();
}

bool Replica::Impl::fresh(const Peer& p) const {
  return p.link_up && !p.outdated && p.ever_replied &&
         now.value - p.last_reply.value < options.suspicion_ticks;
}

bool Replica::Impl::sync_hangs(uint32_t ticks) const {
  const bool outstanding = acceptor.persisted_upto().value + 1 < next_token.value;
  return outstanding && now.value - sync_progress.value >= ticks;
}

bool Replica::Impl::happy() const {
  if (role == Role::candidate) return false;
  if (role == Role::leader) {
    const bool hangs = sync_hangs(options.stalled_sync_ticks);
    DECREE_SOMETIMES("a leader's disk hangs", hangs);
    if (!disk_ok || hangs || !applying_ok || draining || retired) return false;
    DECREE_SOMETIMES("a leader's Bills stand still",
                     !bills.empty() && now.value - bill_progress.value >= options.stalled_bill_ticks);
    if (!bills.empty() && now.value - bill_progress.value >= options.stalled_bill_ticks) return false;
    uint32_t with_me = 1;
    for (const Peer& p : peers)
      if (p.voter && fresh(p) && p.view.leader <= ballot) ++with_me;
    return with_me >= membership.bill_quorum;
  }
  if (leader.is_none()) return false;
  for (const Peer& p : peers)
    if (p.node == leader.node) return fresh(p) && p.view.leader == leader && p.view.happy;
  return false;
}

// Whether this member could take over, if all others were discontented too.
bool Replica::Impl::fit_to_lead() const {
  if (retired || !disk_good() || !applying_ok || !votes()) return false;
  uint32_t responders = 1;
  for (const Peer& p : peers)
    if (p.voter && fresh(p) && p.view.disk_ok) ++responders;
  return responders >= std::max(membership.election_quorum, membership.bill_quorum);
}

bool Replica::Impl::may_take_over() const {
  if (role != Role::follower || now < quiet_until || !fit_to_lead()) return false;
  for (const Peer& p : peers)
    if (p.voter && fresh(p) && p.view.happy) return false;  // it sees a leader that works: stay put, no churn
  return true;
}

uint32_t Replica::Impl::takeover_rank() const {
  uint32_t rank = 0;
  bool passes_by = false;
  const Slot own = std::max(acceptor.durable_upto(), acceptor.decided());
  for (const Peer& p : peers) {
    if (!p.voter || !fresh(p) || !p.view.disk_ok) continue;
    const Slot theirs = std::max(p.view.upto, p.view.decided);
    if (theirs < own || (theirs == own && p.node > self)) continue;
    DECREE_SOMETIMES("a member that could not lead is passed by", p.view.unfit);
    if (p.view.unfit) {
      passes_by = true;
    } else {
      ++rank;
    }
  }
  // One place for all who are passed by: after a restart of all, whoever says so has only not heard enough
  // yet.
  return rank + (passes_by ? 1 : 0);
}

void Replica::Impl::consider_takeover() {
  const bool content = happy();
  const bool fit = fit_to_lead();
  // Neighbours judge by this view, and wait for whoever could run before them.
  if ((was_happy && !content) || fit != was_fit) beat_soon = true;
  was_happy = content;
  was_fit = fit;
  if (content || !may_take_over()) {
    eligible = false;
    return;
  }
  // The freshest goes first, by a delay and never by a veto. It counts from when this member might have gone:
  // after a restart of all, or a long partition, everybody has been discontented for long, and all would run
  // at once.
  if (!eligible) eligible_since = now;
  eligible = true;
  const uint64_t delay =
      static_cast<uint64_t>(takeover_rank()) * options.beat_ticks / 2 + options.takeover_delay_ticks;
  if (now.value - eligible_since.value >= delay) start_election();
}

void Replica::Impl::count_election() {
  if (acceptor.decided() > decided_at_election) fruitless = 0;
  decided_at_election = acceptor.decided();
  ++fruitless;
}

uint64_t Replica::Impl::patient(uint32_t ticks) const {
  const uint32_t doublings =
      fruitless <= kFruitlessUsual ? 0 : std::min(fruitless - kFruitlessUsual, kDoublingsMax);
  return static_cast<uint64_t>(ticks) << doublings;
}

void Replica::Impl::transfer_leadership(NodeId to) {
  if (role != Role::leader) return;
  const Peer* best = nullptr;
  for (const Peer& p : peers) {
    if (!p.voter || !fresh(p) || !p.view.disk_ok || (to != NodeId(0) && p.node != to)) continue;
    if (best == nullptr || p.match > best->match) best = &p;
  }
  if (best == nullptr) return;
  draining = true;
  draining_since = now;
  beat_soon = true;
  send(best->node, TransferNow{ballot});
}

void Replica::Impl::on_transfer_now(NodeId from, const TransferNow& m) {
  if (m.ballot.node != from || m.ballot != leader || role != Role::follower) return;
  if (retired || !disk_good() || !applying_ok || !votes()) return;
  DECREE_SOMETIMES("leadership is handed over", true);
  start_election();
}

}  // namespace decree
