// CHANGE OF MEMBERS by stop signs (protocol 2.11, docs/decisions/0014). The last entry of an epoch names the
// members of the next one. A member opens the next epoch when, and only when, its decided prefix ends with
// that entry, or when it restored a snapshot from behind it: so whoever acts in an epoch holds every slot
// before it, and a decision in the epoch proves that a bill quorum of its voters does.
#include "decree/check.h"
#include "paxos/replica_impl.h"

namespace decree {

namespace {

constexpr uint64_t kKnockTicksMax = 1000;   // a knock older than this is forgotten
constexpr uint64_t kChangeTicksMax = 600;   // a change of the leader's own that went nowhere is tried again
constexpr uint64_t kChangePauseTicks = 20;  // between two of them
constexpr uint64_t kFormerTicksMax = 6000;  // a removed member that is not there is forgotten

// A request to change the members on its way to the leader: flags, then the membership. The leader makes the
// stop sign from it; a request never stands in the log.
Entry make_request(const ChangeMembers& m) {
  Entry request;
  request.kind = EntryKind::stop_sign;
  request.id = m.id;
  request.payload =
      std::make_shared<const std::string>(std::string(1, m.forced ? '\1' : '\0') + encode_membership(m.next));
  request.digest = chain_link(Digest128{m.id.boot, m.id.seq}, Slot(m.id.node.value), Digest128{0, 5});
  return request;
}

Member* find_member(Membership& membership, NodeId node) {
  for (Member& m : membership.members)
    if (m.node == node) return &m;
  return nullptr;
}

}  // namespace

// ---- opening ----

void Replica::Impl::open_if_sealed() {
  while (acceptor.sealed()) {
    const paxos::LogSlot* stop = acceptor.log().find(acceptor.decided());
    DECREE_CHECK(stop != nullptr, "the stop sign that seals is in memory");
    const Membership next = stop_sign_membership(stop->entry);
    DECREE_CHECK(next.base == acceptor.decided().next(), "an epoch begins behind its stop sign");
    open_epoch(next);
  }
}

void Replica::Impl::open_epoch(const Membership& next) {
  const bool by_stop_sign = acceptor.sealed();
  if (is_leader()) {  // the sealed epoch's last Law leaves in its own ballot
    for (Peer& p : peers)
      if (p.link_up && p.told_decided < acceptor.decided()) send(p.node, Law{ballot, acceptor.decided()});
    if (leader == ballot && next.first_leader == self) leader = Ballot{};
  }
  leave_role();
  acceptor.open_epoch(next, next_token);
  persist(EpochRecord{next, initial_ballot(next)});
  rebuild_peers(next);
  membership = next;
  learn_identity();
  round_seen = initial_ballot(next).round;
  change_wanted = false;
  change_since = Tick(0);
  epoch_since = now;
  eligible = false;
  out->jobs.push_back(MembershipChanged{membership, former});
  // Only here, in the boot that writes the record (A3): a restarted first leader runs an Election.
  if (by_stop_sign && next.first_leader == self && votes() && !retired) {
    ballot = initial_ballot(next);
    become_leader(next.base, {});
    return;
  }
  if (!leader.is_none()) follow(Ballot{});
  if (membership.find(self) == nullptr) {  // nobody will propose these for a stranger
    for (const Waiting& w : waiting) outcome(w.entry.id, Outcome::definitely_not);
    waiting.clear();
    waiting_bytes = 0;
  }
  quiet_until = Tick(std::max(quiet_until.value, now.value + options.election_retry_ticks));
  beat_soon = true;
}

// Those who stay keep their links; those who go are answered until they know it.
void Replica::Impl::rebuild_peers(const Membership& next) {
  std::vector<Peer> rebuilt;
  former.clear();
  const auto add = [&](const Member& member, bool is_former) {
    Peer p;
    const Peer* known = peer(member.node);
    if (known != nullptr) p = *known;
    p.node = member.node;
    p.voter = !is_former && member.role == MemberRole::voter;
    p.former = is_former;
    rebuilt.push_back(std::move(p));
  };
  for (const Member& member : next.members)
    if (member.node != self) add(member, false);
  for (const Member& member : membership.members) {
    if (member.node == self || next.find(member.node) != nullptr) continue;
    add(member, true);
    former.push_back(member);
  }
  std::sort(rebuilt.begin(), rebuilt.end(), [](const Peer& a, const Peer& b) { return a.node < b.node; });
  peers = std::move(rebuilt);
  for (auto it = knocks.begin(); it != knocks.end();) {
    const Member* m = next.find(it->first);
    it = m == nullptr || m->incarnation == it->second.incarnation ? knocks.erase(it) : std::next(it);
  }
}

// A voter is a node with a disk (protocol 2.15). Where the disk is not named yet, a fresh one must have met
// everybody else: a wiped one would have been turned away by those who know what it was.
void Replica::Impl::learn_identity() {
  const Member* own = membership.find(self);
  voting = false;
  if (own == nullptr || own->role != MemberRole::voter || disowned) return;
  if (own->incarnation != Incarnation(0)) {
    voting = own->incarnation == identity.incarnation;
    return;
  }
  if (!genesis_confirmed) {
    genesis_confirmed = true;
    for (const Member& m : membership.members)
      if (m.node != self && m.role == MemberRole::voter && !met.contains(m.node)) genesis_confirmed = false;
  }
  voting = genesis_confirmed;
}

// ---- who is behind ----

void Replica::Impl::hint_stop(NodeId to, Ballot old) {
  if (old.is_none() || membership.epoch == 0) return;
  send(to, StopHint{membership.epoch - 1, membership.base.prev()});
}

void Replica::Impl::on_stop_hint(NodeId from, const StopHint& m) {
  if (m.epoch < membership.epoch || m.stop_slot <= acceptor.decided()) return;
  if (role != Role::follower) {  // this epoch has ended elsewhere
    leave_role();
    if (!leader.is_none()) follow(Ballot{});
  }
  hear_later_epoch(from, m.stop_slot);
}

void Replica::Impl::hear_later_epoch(NodeId from, Slot decided) {
  if (is_leader()) return;  // StopHint tells it that it leads no more
  want_laws(decided, from);
  if (decided > acceptor.decided() && !learn_outstanding) ask_for_laws();
}

// ---- asking for a change ----

void Replica::Impl::on_change_members(const ChangeMembers& m) {
  // Asked here too: a leader of an older release could not say why.
  std::string sentence = cannot_follow();
  if (sentence.empty()) return submit(make_request(m));
  refuse_change(m.id, {ChangeRefused::Kind::other, std::move(sentence)});
}

void Replica::Impl::on_disk_replaced(const DiskReplaced& m) {
  if (m.peer != self && m.incarnation != Incarnation(0)) knocks[m.peer] = Knock{m.incarnation, now};
}

void Replica::Impl::propose_change(Membership next, bool forced) {
  change_wanted = true;
  change_asked = now;
  submit(make_request(ChangeMembers{RequestId{self, boot, 0}, std::move(next), forced}));
}

// What the leader changes by itself: disks that were replaced, members that have caught up, disks that no
// epoch names yet.
void Replica::Impl::epoch_tick() {
  forget_former();
  if (change_wanted && now.value - change_asked.value >= kChangeTicksMax) change_wanted = false;
  if (!is_leader() || stop_proposed != Slot(0) || change_wanted || draining || retired) return;
  if (acceptor.decided() < barrier_slot) return;
  if (change_asked != Tick(0) && now.value - change_asked.value < kChangePauseTicks) return;
  Membership next = membership;
  ++next.epoch;
  bool lowers = replace_disks(&next);
  bool changed = lowers;
  changed = promote_joined(&next) || changed;
  if (changed) resize_quorums(membership, &next);
  changed = pin_incarnations(&next) || changed;
  if (changed) propose_change(std::move(next), lowers);
}

bool Replica::Impl::replace_disks(Membership* next) const {
  bool changed = false;
  for (const auto& [node, knock] : knocks) {
    Member* m = find_member(*next, node);
    if (m == nullptr || m->incarnation == Incarnation(0) || m->incarnation == knock.incarnation) continue;
    if (now.value - knock.at.value > kKnockTicksMax) continue;
    // Never while the known disk is there: two processes may say they are one member.
    const auto p = std::find_if(peers.begin(), peers.end(), [&](const Peer& x) { return x.node == m->node; });
    if (p == peers.end() || p->link_up || now.value - p->last_reply.value < options.replace_silence_ticks)
      continue;
    m->incarnation = knock.incarnation;
    if (m->role == MemberRole::voter) m->role = MemberRole::joining;
    changed = true;
  }
  return changed;
}

bool Replica::Impl::promote_joined(Membership* next) const {
  bool changed = false;
  for (Member& m : next->members) {
    if (m.role != MemberRole::joining) continue;
    for (const Peer& p : peers) {
      if (p.node != m.node || !caught_up(p)) continue;
      if (m.incarnation != Incarnation(0) && p.incarnation != Incarnation(0) &&
          p.incarnation != m.incarnation)
        continue;
      m.role = MemberRole::voter;
      changed = true;
    }
  }
  return changed;
}

// Once all disks of the first members are known, an epoch names them; from then on a wiped one is recognised
// by everybody, restarted or not.
bool Replica::Impl::pin_incarnations(Membership* next) const {
  if (!options.confirm_genesis || membership.voter_count() == 1) return false;
  Membership filled = *next;
  fill_incarnations(&filled);
  if (filled == *next) return false;
  for (const Member& m : filled.members)
    if (m.role == MemberRole::voter && m.incarnation == Incarnation(0)) return false;
  bool voter_named = false;
  for (const Member& m : membership.members)
    voter_named = voter_named || (m.role == MemberRole::voter && m.incarnation == Incarnation(0));
  if (voter_named) *next = std::move(filled);
  return voter_named;
}

void Replica::Impl::fill_incarnations(Membership* next) const {
  for (Member& m : next->members) {
    if (m.incarnation != Incarnation(0)) continue;
    if (m.node == self) m.incarnation = identity.incarnation;
    for (const Peer& p : peers)
      if (p.node == m.node && p.link_up) m.incarnation = p.incarnation;
  }
}

void Replica::Impl::forget_former() {
  if (former.empty()) return;
  const size_t before = former.size();
  std::erase_if(former, [this](const Member& m) {
    const Peer* p = peer(m.node);
    const bool knows = p != nullptr && p->knows_decided >= membership.base.prev();
    const bool gone =
        p == nullptr || (!p->link_up && (knows || now.value - epoch_since.value > kFormerTicksMax));
    if (gone) std::erase_if(peers, [&](const Peer& x) { return x.node == m.node; });
    return gone;
  });
  if (former.size() != before) out->jobs.push_back(MembershipChanged{membership, former});
}

// ---- judging a change ----

// Everything up to here is durable there, or decided and known there.
Slot Replica::Impl::held_by(const Peer& p) const {
  const Slot whole = std::min(p.knows_decided, std::max(p.view.upto, p.match));
  // What it acknowledged at this ballot counts only on top of the prefix below the ballot's base.
  return p.knows_decided.next() >= acceptor.bill_base() ? std::max(whole, p.match) : whole;
}

bool Replica::Impl::caught_up(const Peer& p) const {
  return fresh(p) && held_by(p) + options.catch_up_slots_max >= acceptor.decided() &&
         p.knows_decided.next() >= membership.base;
}

Replica::Impl::Verdict Replica::Impl::judge_change(const Membership& next, bool forced,
                                                   ChangeRefused* why) const {
  using Kind = ChangeRefused::Kind;
  const auto no = [why](Kind kind, std::string sentence) {
    *why = ChangeRefused{kind, std::move(sentence)};
    return Verdict::refuse;
  };
  if (next.epoch != membership.epoch + 1)
    return no(Kind::outdated, "the members changed meanwhile: look at the present list and ask again");
  if (acceptor.decided() < barrier_slot) return Verdict::wait;
  if (std::string problem = membership_problem(next); !problem.empty())
    return no(Kind::other, std::move(problem));
  if (std::string sentence = cannot_follow(); !sentence.empty()) return no(Kind::other, std::move(sentence));
  for (const Member& m : next.members) {
    const Member* before = membership.find(m.node);
    if (before == nullptr) {
      if (m.node < next_node(membership)) return no(Kind::other, "a node number is never given twice");
      if (m.role == MemberRole::voter)
        return no(Kind::not_caught_up, "a new member joins first and votes when it has caught up");
      continue;
    }
    if (m.role != MemberRole::voter) continue;
    if (before->incarnation != Incarnation(0) && m.incarnation != before->incarnation)
      return no(Kind::not_caught_up,
                "another disk of member " + m.name + " joins first and votes when it has caught up");
    const auto p = std::find_if(peers.begin(), peers.end(), [&](const Peer& x) { return x.node == m.node; });
    if (before->role != MemberRole::voter && (p == peers.end() || !caught_up(*p)))
      return no(Kind::not_caught_up, "learner " + m.name + " has not caught up with the leader");
  }
  const uint32_t tolerance = fault_tolerance(next);
  if (!forced && tolerance < fault_tolerance(membership))
    return no(Kind::other, "afterwards the cluster would survive the loss of " + std::to_string(tolerance) +
                               " voters, now of " + std::to_string(fault_tolerance(membership)) +
                               ": ask with force if that is meant");
  return judge_holders(next, why);
}

// The transport keeps the disks of members to itself whose release knows no epochs
// (src/transport/handshake.h).
std::string Replica::Impl::cannot_follow() const {
  if (!options.confirm_genesis) return {};
  for (const Member& m : membership.members) {
    const auto p = std::find_if(peers.begin(), peers.end(), [&](const Peer& x) { return x.node == m.node; });
    if (p != peers.end() && p->link_up && p->incarnation == Incarnation(0))
      return "member " + m.name +
             " runs a release that cannot follow a change of members: start the present release there first";
  }
  return {};
}

// The next epoch has to start, and to survive what it promises to survive, with what its voters hold now.
Replica::Impl::Verdict Replica::Impl::judge_holders(const Membership& next, ChangeRefused* why) const {
  uint32_t reachable = 0;
  uint32_t holders = 0;
  for (const Member& m : next.members) {
    if (m.role != MemberRole::voter) continue;
    if (m.node == self) {
      ++reachable;
      if (acceptor.durable_upto() >= acceptor.decided()) ++holders;
      continue;
    }
    for (const Peer& p : peers) {
      if (p.node != m.node) continue;
      if (fresh(p)) ++reachable;
      if (held_by(p) >= acceptor.decided()) ++holders;
    }
  }
  const uint32_t quorum = std::max(next.election_quorum, next.bill_quorum);
  if (reachable < quorum) {
    *why = ChangeRefused{ChangeRefused::Kind::unreachable,
                         "only " + std::to_string(reachable) +
                             " voters of the new epoch can be reached, it needs " + std::to_string(quorum)};
    return Verdict::refuse;
  }
  const uint32_t wanted = next.voter_count() - next.election_quorum + 1;
  if (holders >= wanted) return Verdict::go;
  *why = ChangeRefused{ChangeRefused::Kind::other,
                       "only " + std::to_string(holders) +
                           " voters of the new epoch hold everything decided, it needs " +
                           std::to_string(wanted)};
  return Verdict::wait;
}

NodeId Replica::Impl::choose_first_leader(const Membership& next) const {
  if (next.is_voter(self) && !draining && !retired) return self;
  const Peer* best = nullptr;
  for (const Peer& p : peers) {
    if (!next.is_voter(p.node)) continue;
    const auto rank = [this](const Peer& x) { return std::pair(fresh(x), held_by(x)); };
    if (best == nullptr || rank(p) > rank(*best)) best = &p;
  }
  return best == nullptr ? self : best->node;
}

void Replica::Impl::refuse_change(const RequestId& id, const ChangeRefused& why) {
  if (id.node != self) {
    send(id.node, ForwardReply{{id}, Outcome::definitely_not, why, false});
  } else if (id.seq == 0) {
    change_wanted = false;
  } else {
    outcome(id, Outcome::definitely_not, why);
  }
}

// True: the request left the queue, as the epoch's last Bill or refused. False: it has to wait, and
// everything behind it too.
bool Replica::Impl::try_stop_sign(const Entry& request) {
  Membership next;
  const std::string_view bytes = request.bytes();
  if (bytes.empty() || !decode_membership(bytes.substr(1), &next)) {
    refuse_change(request.id, {ChangeRefused::Kind::other, "the request cannot be read"});
    return true;
  }
  fill_incarnations(&next);
  ChangeRefused why{ChangeRefused::Kind::other, "the leader has not finished its Election"};
  const Verdict verdict = judge_change(next, bytes[0] != 0, &why);
  if (change_since == Tick(0)) change_since = now;
  if (verdict == Verdict::wait && now.value - change_since.value < options.change_wait_ticks) return false;
  change_since = Tick(0);
  if (verdict != Verdict::go) {
    refuse_change(request.id, why);
    return true;
  }
  const Slot slot = acceptor.next_acceptable();
  next.base = slot.next();
  next.last_node = NodeId(std::max(next_node(membership).value, next_node(next).value) - 1);
  next.first_leader = choose_first_leader(next);
  Entry stop;
  stop.kind = EntryKind::stop_sign;
  stop.id = request.id;
  stop.payload = std::make_shared<const std::string>(encode_membership(next));
  stop.digest = chain_link(Digest128{ballot.term(), ballot.priority}, slot, Digest128{self.value, 4});
  if (stop.id.node == self && stop.id.boot == boot && stop.id.seq != 0)
    in_doubt.emplace(stop.id, InDoubt{ballot.term(), now});
  append_bill({std::move(stop)});
  stop_proposed = last_slot();
  return true;
}

}  // namespace decree
