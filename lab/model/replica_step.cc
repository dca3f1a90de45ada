#include "lab/model/replica_step.h"

#include <algorithm>

#include "lab/model/bytes.h"
#include "lab/sim/disk.h"
#include "transport/handshake.h"

namespace decree::lab::model {

namespace {

// Messages about who is there, reads and forwarding are the simulator's business. A refusal because of a
// higher promise tells what silence tells, too.
bool is_kept(const Message& message) {
  if (const auto* nack = std::get_if<Nack>(&message)) return nack->reason == NackReason::old_disk;
  return std::holds_alternative<Prepare>(message) || std::holds_alternative<Promise>(message) ||
         std::holds_alternative<Fetch>(message) || std::holds_alternative<FetchReply>(message) ||
         std::holds_alternative<Accept>(message) || std::holds_alternative<Accepted>(message) ||
         std::holds_alternative<Law>(message) || std::holds_alternative<Learn>(message) ||
         std::holds_alternative<Chosen>(message) || std::holds_alternative<StopHint>(message);
}

std::string key_of(const Word& w) {
  Bytes b;
  b.put(static_cast<uint64_t>(w.kind), w.to, w.incarnation, w.boot, w.to_boot);
  switch (w.kind) {
    case Word::Kind::message:
      b.put(w.message);
      break;
    case Word::Kind::hello:
    case Word::Kind::beat:
      b.put(w.disk_writes, w.epoch, w.to_incarnation);
      break;
    case Word::Kind::voted:
    case Word::Kind::decided:
      b.put(w.ballot, w.slot, w.entry);
      break;
    case Word::Kind::opened:
      b.put(w.membership);
      break;
  }
  return b.take();
}

std::string key_of(const Site& s) {
  Bytes b;
  b.put(s.node, s.gone, s.incarnation, s.boot, s.replica.bytes(), s.disk, s.disk_writes, s.image.has_value());
  if (s.image) b.put(*s.image);
  b.list(s.queue, [&](const PersistedRecord& r) { b.put(r.record); });
  return b.take();
}

// Ballots of a message that is void wherever a higher one is promised; none for the others. An Accept or
// Prepare of an old epoch is not void: it is answered with a StopHint.
Ballot ballot_of(const Message& message) {
  if (const auto* m = std::get_if<Promise>(&message)) return m->ballot;
  if (const auto* m = std::get_if<Accepted>(&message)) return m->ballot;
  if (const auto* m = std::get_if<FetchReply>(&message)) return m->ballot;
  if (const auto* m = std::get_if<Law>(&message)) return m->ballot;
  return Ballot{};
}

Entry with_membership(const Entry& stop, const Membership& membership) {
  Entry changed = stop;
  changed.payload = std::make_shared<const std::string>(encode_membership(membership));
  return changed;
}

RequestId next_id(const ReplicaValue& replica, uint64_t boot) {
  return RequestId{replica.ballot().node, boot,
                   replica.ballot().round * 100 + replica.acceptor().next_acceptable().value};
}

}  // namespace

bool is_void(const Word& word, const Site& to) {
  if (word.kind != Word::Kind::message || word.to != to.node) return false;
  if (to.gone) return true;
  const Acceptor& acceptor = to.replica.acceptor();
  if (const auto* chosen = std::get_if<Chosen>(&word.message))
    return chosen->first + chosen->entries.size() <= acceptor.decided().next();
  const Ballot ballot = ballot_of(word.message);
  return !ballot.is_none() && ballot < acceptor.promised();
}

ReplicaStep::ReplicaStep(const Config& config, SiteTables& tables, Replica& scratch, bool settled)
    : config_(config), tables_(tables), replica_(scratch), settled_(settled) {}

void ReplicaStep::say(Site& site, Word word) {
  if (cluster().disks && word.kind != Word::Kind::decided && word.kind != Word::Kind::opened) {
    word.incarnation = site.incarnation;
    if (word.kind != Word::Kind::voted) word.boot = site.boot;
  }
  word.key = key_of(word);
  said.push_back(tables_.words.number(word));
}

void ReplicaStep::say_message(Site& site, const Outgoing& out) {
  if (!is_kept(out.message)) return;
  check_said(site, out.message);
  Word word;
  word.to = out.to;
  word.message = out.message;
  if (cluster().disks) {  // a message goes to the process at the other end, or is lost
    word.to_boot = ReplicaValue::of(replica_, settled_).peer_boot(out.to);
    if (word.to_boot == 0) return;
  }
  if (auto* accepted = std::get_if<Accepted>(&word.message)) accepted->decided = Slot(0);  // a view
  say(site, std::move(word));
}

// I3 and I10 at the moment of sending: what a power failure now would leave.
void ReplicaStep::check_said(const Site& site, const Message& message) {
  if (settled_ || config_.harm_only || !breach.empty()) return;
  const auto* promise = std::get_if<Promise>(&message);
  if (promise != nullptr && site.disk.promised < promise->ballot)
    breach = "I3: a Promise left before it was durable";
  const auto* accepted = std::get_if<Accepted>(&message);
  if (accepted == nullptr) return;
  if (site.disk.promised < accepted->ballot) breach = "I10: Accepted left before the promise was durable";
  for (Slot s = replica_.acceptor().bill_base(); s <= accepted->upto; s = s.next()) {
    const auto held = site.disk.accepted.find(s);
    if (held == site.disk.accepted.end() ||
        (!held->second.law && held->second.ballot < accepted->ballot && s > replica_.acceptor().decided()))
      breach = "I10: Accepted left before slot " + std::to_string(s.value) + " was durable";
  }
}

// ---- one turn of the host ----

template <class Act>
void ReplicaStep::turn(Site& site, Act&& act) {
  site.replica.put_into(replica_);
  act();
  replica_.end_turn(effects_);
  take_effects(site);
  if (breach.empty() && !config_.harm_only) breach = replica_.broken_invariant();
  if (settled_) site.disk = RecoveredState{};
  site.replica = ReplicaValue::of(replica_, settled_);
  site.key = key_of(site);
}

void ReplicaStep::take_effects(Site& site) {
  while (!effects_.empty() || (at_once() && !site.queue.empty())) {
    Effects done = std::move(effects_);
    effects_ = Effects{};
    site.queue.insert(site.queue.end(), done.persist.begin(), done.persist.end());
    for (const Outgoing& out : done.send_now) say_message(site, out);
    for (const Outgoing& out : done.released) say_message(site, out);
    for (const DecidedEntry& decided : done.decided) {
      Word word;
      word.kind = Word::Kind::decided;
      word.slot = decided.slot;
      word.entry = decided.entry;
      say(site, std::move(word));
    }
    for (const Job& job : done.jobs) {
      const auto* changed = std::get_if<MembershipChanged>(&job);
      if (changed == nullptr) continue;
      Word word;
      word.kind = Word::Kind::opened;
      word.membership = changed->membership;
      say(site, std::move(word));
      connect_all(site);
    }
    if (at_once() && !site.queue.empty()) {
      const LogToken last = site.queue.back().token;
      while (!site.queue.empty()) make_durable(site);
      step(Persisted{last, counted() ? site.disk_writes : 0});
    }
    replica_.end_turn(effects_);
  }
}

void ReplicaStep::make_durable(Site& site) {
  const Record record = std::move(site.queue.front().record);
  site.queue.erase(site.queue.begin());
  if (counted()) ++site.disk_writes;
  const auto* epoch = std::get_if<EpochRecord>(&record);
  const bool lost = draft(Draft::lost_epoch_record) && epoch != nullptr && epoch->membership.epoch > 0;
  if (!settled_ && !lost) replay(record, &site.disk);
  if (const auto* accept = std::get_if<AcceptRecord>(&record)) {
    Slot slot = accept->first;
    for (const Entry& entry : accept->entries) {
      Word word;
      word.kind = Word::Kind::voted;
      word.ballot = accept->ballot;
      word.slot = slot;
      word.entry = entry;
      word.incarnation = site.incarnation;
      say(site, std::move(word));
      slot = slot.next();
    }
  }
}

// Where connections are not modelled, everybody is connected to everybody, always.
void ReplicaStep::connect_all(Site& site) {
  if (cluster().disks) return;
  std::vector<Member> others = replica_.membership().members;
  for (const Member& m : replica_.former_members()) others.push_back(m);
  const ReplicaValue now = ReplicaValue::of(replica_, settled_);
  for (const Member& m : others)
    if (m.node != site.node && !now.connected(m.node)) step(PeerLink{m.node, true});
}

// The others answer the beats of this turn, as it suits: they hear of no leader (`good` false), or hold all
// this member decided. True or not: views are for liveness, and safety must not rest on them.
void ReplicaStep::answers(const Site& site, bool good, bool dead_answer) {
  const ReplicaValue before = ReplicaValue::of(replica_, settled_);
  for (uint32_t m = 0; m < cluster().roles.size() + 2; ++m) {
    const NodeId node(m + 1);
    if (node == site.node || !before.connected(node) || before.knocked(node)) continue;
    const bool dead = (cluster().dead >> m & 1u) != 0;
    if (dead && !dead_answer) continue;
    BeatReply reply;
    reply.round = 1;
    if (good) {
      reply.view.leader = before.ballot();
      reply.view.happy = true;
      reply.view.decided = reply.view.upto = before.acceptor().decided();
    }
    step(Received{node, reply});
  }
}

// ---- what may happen to a member ----

void ReplicaStep::start(Site& site, RecoveredState found, const Membership& told) {
  found.identity.node = site.node;
  found.identity.incarnation = site.incarnation;
  found.boot = site.boot;
  found.disk_writes = counted() ? site.disk_writes : 0;
  Options options = timeless_options();
  options.confirm_genesis = cluster().wipes > 0 && !draft(Draft::fresh_disk_votes);
  site.queue.clear();
  replica_ = Replica(std::move(found), told, options);
  site.replica = ReplicaValue::of(replica_, settled_);
  turn(site, [&] {
    step(Ticked{Tick(1)});
    connect_all(site);
  });
}

bool ReplicaStep::run(Site& site, bool dead_answer) {
  const Ballot before = site.replica.ballot();
  if (site.replica.role() == Role::leader || !site.replica.votes()) return false;
  turn(site, [&] {
    step(Ticked{Tick(1)});
    answers(site, false, dead_answer || !cluster().true_answers || draft(Draft::a8_too_few_answers));
  });
  return site.replica.role() != Role::follower && site.replica.ballot() > before;
}

bool ReplicaStep::command(Site& site) {
  if (site.replica.role() != Role::leader) return false;
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = next_id(site.replica, site.boot);
  entry.digest =
      chain_link(Digest128{entry.id.seq, entry.id.boot}, Slot(entry.id.node.value), Digest128{9, 9});
  const Slot before = site.replica.acceptor().next_acceptable();
  turn(site, [&] { step(Propose{entry}); });
  return site.replica.acceptor().next_acceptable() == before.next();
}

bool ReplicaStep::change(Site& site, const NextRoles& roles) {
  if (site.replica.role() != Role::leader) return false;
  const Membership& now = site.replica.membership();
  std::vector<Member> members;
  for (uint32_t m = 0; m < roles.size(); ++m) {
    if (!roles[m]) continue;
    const Member* known = now.find(NodeId(m + 1));
    members.push_back(known != nullptr ? *known : Member{NodeId(m + 1), {}, {}, 0, {}, {}});
    members.back().role = *roles[m];
  }
  ChangeMembers ask;
  ask.id = next_id(site.replica, site.boot);
  ask.next = make_membership(std::move(members), now.epoch + 1);
  ask.forced = true;
  const Slot before = site.replica.acceptor().next_acceptable();
  turn(site, [&] {
    step(Ticked{Tick(1)});
    answers(site, true, true);
    step(ask);
  });
  return site.replica.acceptor().next_acceptable() > before;
}

bool ReplicaStep::tend(Site& site) {
  if (site.replica.role() != Role::leader) return false;
  const Slot before = site.replica.acceptor().next_acceptable();
  const uint32_t epoch = site.replica.membership().epoch;
  const ReplicaValue was = site.replica;
  turn(site, [&] {
    for (uint32_t m = 0; m < cluster().roles.size(); ++m)
      if (was.knocked(NodeId(m + 1))) step(PeerLink{NodeId(m + 1), false});  // its old disk is not there
    step(Ticked{Tick(1)});
    answers(site, true, true);
    step(Ticked{Tick(2)});
  });
  return site.replica.acceptor().next_acceptable() > before || site.replica.membership().epoch > epoch;
}

bool ReplicaStep::sync_next(Site& site) {
  if (site.queue.empty()) return false;
  turn(site, [&] {
    const LogToken token = site.queue.front().token;
    make_durable(site);
    step(Persisted{token, counted() ? site.disk_writes : 0});
  });
  return true;
}

void ReplicaStep::sync_all(Site& site) {
  turn(site, [] {});
}

bool ReplicaStep::crash(Site& site) {
  ++site.boot;
  start(site, site.disk, site.replica.membership());
  return true;
}

// The data directory is gone; the flags still tell the first members.
void ReplicaStep::wipe(Site& site, const Membership& genesis) {
  site.boot += 100;
  if (!draft(Draft::wiped_old_name)) site.incarnation = Incarnation(site.incarnation.value + 100);
  site.disk = RecoveredState{};
  site.disk_writes = 0;
  start(site, RecoveredState{}, genesis);
}

void ReplicaStep::retire(Site& site) {
  site.gone = true;
  site.replica = ReplicaValue();
  site.disk = RecoveredState{};
  site.queue.clear();
  site.key = "gone " + std::to_string(site.node.value);
}

bool ReplicaStep::keep_image(Site& site) {
  if (site.image) return false;
  site.image = site.disk;
  site.image->disk_writes = site.disk_writes;
  site.key = key_of(site);
  return true;
}

bool ReplicaStep::put_image_back(Site& site) {
  if (!site.image || site.image->disk_writes == site.disk_writes) return false;
  ++site.boot;
  site.disk = *site.image;
  site.disk_writes = site.image->disk_writes;
  site.image.reset();
  start(site, site.disk, site.disk.membership);
  return true;
}

// ---- connections ----

Word ReplicaStep::hello(const Site& site, NodeId to) const {
  Word word;
  word.kind = Word::Kind::hello;
  word.to = to;
  word.incarnation = site.incarnation;
  word.boot = site.boot;
  word.epoch = site.replica.membership().epoch;
  const Member* known = site.replica.membership().find(to);
  word.to_incarnation = known != nullptr && known->incarnation != Incarnation(0)
                            ? known->incarnation
                            : site.replica.peer_incarnation(to);
  word.disk_writes = site.disk_writes;
  word.key = key_of(word);
  return word;
}

// Whether `hello` is answered: the transport's own judgement. An unnamed disk that was met is remembered, as
// there.
bool ReplicaStep::meet(Site& site, NodeId from, const Word& hello) {
  if (site.replica.peer_boot(from) >= hello.boot) return false;  // that process, or a later one
  transport::Self self;
  self.node = site.node;
  self.incarnation = site.incarnation;
  self.epoch = site.replica.membership().epoch;
  std::vector<Member> members = site.replica.membership().members;
  bool other_disk = false;
  for (Member& m : members) {
    if (m.incarnation == Incarnation(0)) m.incarnation = site.replica.peer_incarnation(m.node);
    if (m.node == from) other_disk = m.incarnation != Incarnation(0) && m.incarnation != hello.incarnation;
  }
  transport::Hello wire;
  wire.from = from;
  wire.from_incarnation = hello.incarnation;
  wire.to = site.node;
  wire.to_incarnation = hello.to_incarnation;
  wire.epoch = hello.epoch;
  const auto refusal = transport::check_hello(self, members, wire);
  if (refusal && !draft(Draft::fresh_disk_votes)) {
    const bool knock = refusal->code == transport::RefusalCode::wrong_incarnation && other_disk &&
                       !site.replica.knocked(from);
    if (knock) turn(site, [&] { step(DiskReplaced{from, hello.incarnation}); });
    return knock;
  }
  turn(site, [&] {
    const uint64_t writes = draft(Draft::writes_not_counted) ? 0 : hello.disk_writes;
    step(PeerLink{from, true, hello.incarnation, hello.boot, writes});
  });
  return true;
}

Word ReplicaStep::beat(const Site& site) const {
  Word word;
  word.kind = Word::Kind::beat;
  word.disk_writes = site.disk_writes;
  word.incarnation = site.incarnation;
  word.boot = site.boot;
  word.key = key_of(word);
  return word;
}

// ---- messages ----

Entry ReplicaStep::as_drafted(const Site& site, Entry entry) const {
  Membership next = stop_sign_membership(entry);
  if (next.epoch == 0) return entry;
  if (draft(Draft::every_opener_leads)) {
    next.first_leader = site.node;
    return with_membership(entry, next);
  }
  if (draft(Draft::a17_any_stop_sign)) {
    next.epoch = site.replica.membership().epoch + 1;
    return with_membership(entry, next);
  }
  return entry;
}

Message ReplicaStep::as_drafted(const Site& site, Message message) const {
  if (auto* accept = std::get_if<Accept>(&message))
    for (Entry& entry : accept->entries) entry = as_drafted(site, std::move(entry));
  if (auto* chosen = std::get_if<Chosen>(&message))
    for (Entry& entry : chosen->entries) entry = as_drafted(site, std::move(entry));
  return message;
}

bool ReplicaStep::deliver(Site& site, NodeId from, const Word& word) {
  if (word.kind == Word::Kind::hello) return meet(site, from, word);
  if (cluster().disks && site.replica.peer_boot(from) != word.boot) return false;
  if (cluster().disks && word.kind == Word::Kind::message && word.to_boot != site.boot) return false;
  if (word.kind == Word::Kind::beat) {
    BeatView view;
    view.disk_writes = word.disk_writes;
    turn(site, [&] { step(Received{from, Beat{1, view, {}}}); });
    return true;
  }
  NodeId as = from;
  if (draft(Draft::joiner_counts) && std::holds_alternative<Accepted>(word.message) &&
      !site.replica.membership().is_voter(from))
    for (const Member& m : site.replica.membership().members)
      if (m.role == MemberRole::voter && m.node != site.node) as = m.node;
  turn(site, [&] { step(Received{as, as_drafted(site, word.message)}); });
  return true;
}

}  // namespace decree::lab::model
