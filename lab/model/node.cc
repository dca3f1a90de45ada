#include "lab/model/node.h"

#include <algorithm>

#include "lab/sim/disk.h"

namespace decree::lab::model {

namespace {

bool same_disk(const RecoveredState& a, const RecoveredState& b) {
  return a.promised == b.promised && a.snapshot_index == b.snapshot_index &&
         a.decided_hint == b.decided_hint && a.snapshot_chain == b.snapshot_chain &&
         a.snapshot_term == b.snapshot_term && a.accepted == b.accepted && a.unknown == b.unknown;
}

uint64_t mix(uint64_t h, const Ballot& b) {
  return model::mix(model::mix(h, b.term()), (static_cast<uint64_t>(b.priority) << 32) | b.node.value);
}

uint64_t mix(uint64_t h, const Entry& e) {
  h = model::mix(h, static_cast<uint64_t>(e.kind));
  return model::mix(model::mix(h, e.id.node.value), e.id.boot ^ (e.id.seq << 8));
}

Entry entry_of(const Node& node, Slot slot, EntryKind kind, bool one_digest, const Membership& now) {
  Entry entry;
  if (kind == EntryKind::stop_sign) {  // it names the epoch it opens (A17)
    Membership next = now;
    ++next.epoch;
    next.base = slot.next();
    entry.payload = std::make_shared<const std::string>(encode_membership(next));
  }
  entry.kind = kind;
  entry.id = RequestId{node.ballot.node, node.boot, node.ballot.round * 100 + slot.value};
  entry.digest = one_digest ? Digest128{1, 1}
                            : chain_link(Digest128{node.ballot.round, node.boot},
                                         Slot(node.ballot.node.value * 100 + slot.value),
                                         Digest128{slot.value, static_cast<uint64_t>(kind)});
  return entry;
}

// Ranks for the drafts that compare ballots wrongly; the kernel's value choice itself stays as it is.
Ballot upside_down(Ballot b) {
  b.round = 1000 - b.round;
  return b;
}
Ballot without_epoch(Ballot b) {
  b.epoch = 0;
  return b;
}

}  // namespace

bool operator==(const Node& a, const Node& b) {
  return a.role == b.role && a.ballot == b.ballot && a.boot == b.boot && a.mute == b.mute &&
         a.next_token == b.next_token && a.asked_from == b.asked_from && a.heard == b.heard &&
         a.owed == b.owed && a.deferred == b.deferred && a.queue == b.queue && a.log == b.log &&
         same_disk(a.disk, b.disk) && a.acceptor == b.acceptor;
}

uint64_t HashNote::operator()(const Note& n) const {
  uint64_t h = mix(static_cast<uint64_t>(n.kind), n.ballot);
  h = model::mix(h, n.slot.value | (n.base.value << 8) | (n.decided.value << 16) | (n.snapshot.value << 24));
  for (const PromiseRun& run : n.runs)
    h = model::mix(mix(h, run.ballot),
                   run.slots.first.value | (run.slots.end.value << 16) | (run.law ? 1u << 31 : 0u));
  for (const Entry& entry : n.entries) h = mix(h, entry);
  return h;
}

uint64_t HashNode::operator()(const Node& n) const {
  uint64_t h = model::mix(n.acceptor.fingerprint(),
                          n.next_token.value | (n.queue.size() << 16) | (n.deferred.size() << 24));
  h = mix(mix(h, n.ballot), n.disk.promised);
  h = model::mix(h, static_cast<uint64_t>(n.role) | (n.boot << 8) | (n.disk.decided_hint.value << 24));
  for (const Deferred& d : n.deferred) h = model::mix(h, d.note);
  for (const Pending& p : n.queue) h = model::mix(h, p.record.index() | (p.done ? 16u : 0u));
  for (const auto& [slot, held] : n.disk.accepted)
    h = mix(mix(model::mix(h, slot.value), held.ballot), held.entry);
  return h;
}

Node NodeStep::fresh(const Membership& membership, const RecoveredState& disk) {
  Node node{
      Acceptor(disk, membership), disk, {}, {}, {}, LogToken(1), Role::follower, {}, {}, 1, false, {}, {}};
  return node;
}

LogToken NodeStep::hand_out(Node& node, Record record) {
  const LogToken token = node.next_token;
  node.next_token = LogToken(token.value + 1);
  node.queue.push_back(Pending{token, std::move(record)});
  return token;
}

// ---- ELECTION ----

void NodeStep::start_election(Node& node, Ballot ballot) {
  node.role = Role::candidate;
  node.ballot = ballot;
  node.asked_from = node.acceptor.decided().next();
  if (!node.acceptor.raise_promise(ballot, node.next_token)) return;
  const LogToken token = hand_out(node, PromiseRecord{ballot});
  Note prepare;
  prepare.kind = Note::Kind::prepare;
  prepare.ballot = ballot;
  prepare.slot = node.asked_from;
  if (draft(Draft::a1_early_prepare)) {
    say(prepare);
  } else {
    say_when_durable(node, token, tables_.notes.number(prepare));
  }
  say_when_durable(node, token, promise_note(node, ballot, false));
}

void NodeStep::say_when_durable(Node& node, LogToken token, uint32_t note) {
  const Deferred deferred{token, note};
  if (std::find(node.deferred.begin(), node.deferred.end(), deferred) == node.deferred.end())
    node.deferred.push_back(deferred);
}

uint32_t NodeStep::promise_note(const Node& node, Ballot ballot, bool durable_only) {
  Note promise;
  promise.kind = Note::Kind::promise;
  promise.ballot = ballot;
  promise.decided = node.acceptor.decided();
  if (draft(Draft::a4_heard_index)) promise.decided = std::max(promise.decided, node.heard);
  promise.snapshot = node.acceptor.snapshot_index();
  for (const UnknownSlot& lost : node.acceptor.unknown_above_decided()) {  // one at most: see Config::rots
    promise.damaged = lost.slot;
    promise.bound = lost.bound;
  }
  for (const PromiseRun& run : node.acceptor.runs_above_decided()) {
    for (Slot s = run.slots.first; s < run.slots.end; s = s.next()) {
      if (durable_only && !node.acceptor.slot_durable(s)) continue;
      if (!promise.runs.empty() && promise.runs.back().slots.end == s &&
          promise.runs.back().ballot == run.ballot && promise.runs.back().law == run.law) {
        promise.runs.back().slots.end = s.next();
      } else {
        promise.runs.push_back(PromiseRun{run.ballot, run.law, SlotRange{s, s.next()}});
      }
      promise.entries.push_back(node.acceptor.log().find(s)->entry);
    }
  }
  return tables_.notes.number(promise);
}

void NodeStep::on_prepare(Node& node, const Note& note) {
  // A refusal is a Nack, which only tells what silence tells, too.
  if (node.acceptor.raise_promise(note.ballot, node.next_token)) {
    node.role = Role::follower;
    hand_out(node, PromiseRecord{note.ballot});
    if (draft(Draft::a13_durable_report)) node.owed = note.ballot;
  } else if (note.ballot != node.acceptor.promised() || note.ballot == node.acceptor.bill_ballot()) {
    return;  // outranked; or a late copy: its sender leads already
  }
  if (draft(Draft::a13_durable_report)) return;
  // From memory, at this moment; it leaves when everything handed out so far is durable (A13).
  const LogToken last = LogToken(node.next_token.value - 1);
  say_when_durable(node, last, promise_note(node, note.ballot, false));
}

std::vector<PromiseReport> NodeStep::reports_of(std::span<const uint32_t> promises, Slot from) const {
  std::vector<PromiseReport> reports;
  for (uint32_t number : promises) {
    const Note& note = tables_.notes[number];
    PromiseReport report{NodeId(static_cast<uint32_t>(reports.size() + 1)), note.decided, note.snapshot,
                         note.runs};
    if (note.damaged != Slot(0)) report.unknown.push_back(UnknownSlot{note.damaged, note.bound});
    for (PromiseRun& run : report.runs) {
      if (draft(Draft::lowest_ballot)) run.ballot = upside_down(run.ballot);
      if (draft(Draft::a9_round_only)) run.ballot = without_epoch(run.ballot);
      // "report from slot f on", where f is the candidate's
      if (draft(Draft::a12_quorum_only)) run.slots.first = std::max(run.slots.first, from);
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

namespace {

const Entry* entry_at(const Note& promise, Slot slot) {
  size_t at = 0;
  for (const PromiseRun& run : promise.runs) {
    if (run.slots.contains(slot)) return &promise.entries[at + (slot - run.slots.first)];
    at += run.slots.size();
  }
  return nullptr;
}

}  // namespace

// Holds a stop sign of this epoch for decided.
bool NodeStep::knows_stop(const Node& node) const {
  for (Slot s = std::max(membership_.base, node.acceptor.log().first()); s <= node.acceptor.decided();
       s = s.next()) {
    const paxos::LogSlot* held = node.acceptor.log().find(s);
    if (held != nullptr && held->entry.kind == EntryKind::stop_sign) return true;
  }
  return false;
}

bool NodeStep::lead(Node& node, std::span<const uint32_t> promises) {
  const std::vector<PromiseReport> quorum = reports_of(promises, node.asked_from);
  const bool blind = draft(Draft::a12_quorum_only);
  const Slot base = choose_base(quorum, blind ? Slot(0) : node.acceptor.decided(),
                                blind ? Slot(1) : node.asked_from, membership_.base);
  if (certain_count(quorum, base) < config_.election_quorum) return false;
  if (knows_stop(node)) return false;  // protocol 2.5: leads nothing more in this epoch
  // Whoever holds these Laws has to be asked first (their Chosen is a note of its own).
  if (node.acceptor.decided() < base.prev() && !draft(Draft::a4_heard_index)) return false;
  const std::vector<SlotPick> picks = choose_values(quorum, base);
  const auto value_at = [&](const SlotPick& pick) {
    return entry_at(tables_.notes[promises[pick.holder.value - 1]], pick.slot);
  };
  std::vector<Entry> values = bind_values(picks, node.acceptor.decided_term(), value_at);
  node.role = Role::leader;
  node.acceptor.enter_ballot(node.ballot, base);
  const bool sealed = !values.empty() && values.back().kind == EntryKind::stop_sign;
  if (config_.barriers && !sealed && base.value + values.size() <= config_.slots) {
    Entry barrier;
    barrier.kind = EntryKind::barrier;
    barrier.id = RequestId{node.ballot.node, node.boot, 0};
    barrier.payload = std::make_shared<const std::string>(encode_barrier(node.ballot));
    barrier.digest = chain_link(Digest128{node.ballot.term(), 0}, Slot(node.boot), Digest128{node.boot, 3});
    values.push_back(std::move(barrier));
  }
  accept_own(node, std::move(values));
  return true;
}

bool NodeStep::lead_initial(Node& node) {
  if (initial_.is_none() || node.role != Role::follower || node.acceptor.promised() != initial_) return false;
  if (node.acceptor.bill_ballot() == initial_) return false;
  if (node.boot > 1 && !draft(Draft::a3_initial_ballot))
    return false;  // only in the boot that wrote the record
  node.role = Role::leader;
  node.ballot = initial_;
  node.acceptor.enter_ballot(initial_, std::max(membership_.base, node.acceptor.decided().next()));
  return true;
}

// ---- BILL ----

void NodeStep::accept_own(Node& node, std::vector<Entry> entries) {
  if (entries.empty()) return;
  Accept accept;
  accept.ballot = node.ballot;
  accept.base = node.acceptor.bill_base();
  accept.first = node.acceptor.next_acceptable();
  accept.entries = std::move(entries);
  const Acceptor::AcceptResult result = node.acceptor.accept(accept, node.next_token);
  if (result.count != accept.entries.size()) {
    breach = "I9: a leader's own acceptor did not take all it proposes";
    return;
  }
  hand_out(node, AcceptRecord{node.ballot, accept.first, accept.entries});
  Note note;
  note.kind = Note::Kind::accept;
  note.ballot = node.ballot;
  note.base = accept.base;
  note.slot = accept.first;
  if (config_.batches && accept.entries.size() > 1) {
    note.entries = accept.entries;
    say(note);
  }
  for (const Entry& entry : accept.entries) {
    note.entries = {entry};
    say(note);
    note.slot = note.slot.next();
  }
}

bool NodeStep::propose(Node& node, EntryKind kind) {
  const Slot slot = node.acceptor.next_acceptable();
  if (node.role != Role::leader || slot.value > config_.slots) return false;
  for (Slot s = node.acceptor.bill_base(); s < slot; s = s.next()) {
    const paxos::LogSlot* held = node.acceptor.log().find(s);
    if (held != nullptr && held->entry.kind == EntryKind::stop_sign) return false;
  }
  accept_own(node, {entry_of(node, slot, kind, config_.one_digest, membership_)});
  return true;
}

void NodeStep::on_accept(Node& node, const Note& note) {
  Acceptor& acceptor = node.acceptor;
  if (draft(Draft::a2_exact_predecessor) && note.slot > note.base) {
    const paxos::LogSlot* before = acceptor.log().find(note.slot.prev());
    if (before == nullptr || before->ballot != note.ballot) return;
  }
  if (note.ballot > acceptor.promised()) {
    node.role = Role::follower;
    acceptor.raise_promise(note.ballot, node.next_token);
    if (!draft(Draft::a7_promise_in_record)) hand_out(node, PromiseRecord{note.ballot});
  }
  Accept accept{note.ballot, note.base, note.slot, Slot(0), note.entries};
  if (draft(Draft::a6_by_checksum)) {
    for (size_t i = 0; i < accept.entries.size(); ++i) {
      const paxos::LogSlot* held = acceptor.log().find(note.slot + i);
      if (held != nullptr && held->entry.digest == accept.entries[i].digest) accept.entries[i] = held->entry;
    }
  }
  const Acceptor::AcceptResult result = acceptor.accept(accept, node.next_token);
  if (result.count > 0) {
    const auto begin = accept.entries.begin() + static_cast<ptrdiff_t>(result.first_new - note.slot);
    const std::vector<Entry> taken{begin, begin + static_cast<ptrdiff_t>(result.count)};
    if (draft(Draft::vote_from_memory) && disk_has(node, result.first_new, taken)) {
      hand_out(node, PromiseRecord{note.ballot});
    } else {
      hand_out(node, AcceptRecord{note.ballot, result.first_new, taken});
    }
  } else if (draft(Draft::early_on_duplicates) && result.verdict == Acceptor::Verdict::accepted) {
    say_accepted(node, acceptor.next_acceptable().prev());
  }
}

bool NodeStep::disk_has(const Node& node, Slot first, const std::vector<Entry>& entries) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto held = node.disk.accepted.find(first + i);
    if (held == node.disk.accepted.end() || !(held->second.entry == entries[i])) return false;
  }
  return true;
}

// What an Accepted up to `upto` says of slots that are known here to be chosen, and that a restart would
// report at a lower ballot (docs/invariants.md).
std::vector<PromiseRun> NodeStep::known_chosen(const Node& node, Slot upto) {
  const Acceptor& acceptor = node.acceptor;
  std::vector<PromiseRun> runs;
  for (Slot s = acceptor.bill_base(); s <= std::min(upto, acceptor.decided()); s = s.next()) {
    const auto held = node.disk.accepted.find(s);
    if (held == node.disk.accepted.end() || held->second.law ||
        held->second.ballot >= acceptor.bill_ballot() || s <= node.disk.decided_hint)
      continue;
    runs.push_back(PromiseRun{held->second.ballot, false, SlotRange{s, s.next()}});
  }
  return runs;
}

void NodeStep::say_accepted(Node& node, Slot upto) {
  const Acceptor& acceptor = node.acceptor;
  if (upto < acceptor.bill_base()) return;
  Note note;
  note.kind = Note::Kind::accepted;
  note.ballot = acceptor.bill_ballot();
  note.base = acceptor.bill_base();
  note.slot = upto;
  if (!config_.harm_only && !draft(Draft::known_vote_binds)) note.runs = known_chosen(node, upto);
  say(note);
  if (config_.harm_only || !breach.empty()) return;
  // I10: what a crash at this instant would leave.
  if (node.disk.promised < note.ballot) breach = "I10: Accepted left before the promise was durable";
  for (Slot s = note.base; s <= upto; s = s.next()) {
    if (s <= node.disk.snapshot_index || s < acceptor.log().first()) continue;
    const auto held = node.disk.accepted.find(s);
    const paxos::LogSlot* memory = acceptor.log().find(s);
    const bool law = s <= acceptor.decided() && memory != nullptr && held != node.disk.accepted.end() &&
                     held->second.entry == memory->entry;
    if (held == node.disk.accepted.end() || (!held->second.law && held->second.ballot < note.ballot && !law))
      breach = "I10: Accepted left before slot " + std::to_string(s.value) + " was durable";
  }
}

// ---- LAW ----

void NodeStep::decide(Node& node, Slot upto) {
  const Slot now = node.acceptor.decide(node.ballot, upto);
  Note law;
  law.kind = Note::Kind::law;
  law.ballot = node.ballot;
  law.slot = now;
  say(law);
}

void NodeStep::on_chosen(Node& node, const Note& note) {
  if (node.role == Role::leader || note.base > node.acceptor.decided().next()) return;
  for (Slot s = node.acceptor.decided().next(); s <= note.slot; s = s.next()) {
    const Entry& entry = note.entries[s - note.base];
    const bool news = node.acceptor.learn(s, entry, node.next_token);
    if (news || draft(Draft::a14_bare_law)) hand_out(node, LawRecord{s, {entry}});
  }
}

void NodeStep::install(Node& node, const Note& chosen) {
  if (chosen.slot <= node.acceptor.decided()) return;
  node.role = Role::follower;
  node.acceptor.install_snapshot(chosen.slot, chosen.chain, chosen.term);
  hand_out(node, SnapshotRecord{chosen.slot, chosen.chain, chosen.term});
}

void NodeStep::deliver(Node& node, const Note& note) {
  if (note.kind != Note::Kind::chosen && note.ballot.epoch != membership_.epoch) return;
  switch (note.kind) {
    case Note::Kind::prepare:
      return on_prepare(node, note);
    case Note::Kind::accept:
      return on_accept(node, note);
    case Note::Kind::law:
      if (draft(Draft::a4_heard_index)) node.heard = std::max(node.heard, note.slot);
      if (note.ballot >= node.acceptor.promised() && note.ballot == node.acceptor.bill_ballot())
        node.acceptor.decide(note.ballot, note.slot);
      return;
    case Note::Kind::chosen:
      return on_chosen(node, note);
    default:
      return;
  }
}

// ---- the disk ----

void NodeStep::make_durable(Node& node, Pending& pending) {
  pending.done = true;
  const auto* law = std::get_if<LawRecord>(&pending.record);
  if (law != nullptr && draft(Draft::a14_bare_law)) {
    node.disk.accepted.erase(law->first);
  } else {
    replay(pending.record, &node.disk);
  }
  std::erase_if(node.disk.unknown, [&](const auto& lost) {  // as recovery does
    const auto held = node.disk.accepted.find(lost.first);
    return held != node.disk.accepted.end() && (held->second.law || held->second.ballot >= lost.second);
  });
  if (const auto* accept = std::get_if<AcceptRecord>(&pending.record)) {
    Note vote;
    vote.kind = Note::Kind::voted;
    vote.ballot = accept->ballot;
    vote.slot = accept->first;
    for (const Entry& entry : accept->entries) {
      vote.entries = {entry};
      say(vote);
      vote.slot = vote.slot.next();
    }
  }
  if (config_.rots > 0) node.log.push_back(pending.record);
}

void NodeStep::settle(Node& node) {
  LogToken upto = node.acceptor.persisted_upto();
  size_t done = 0;
  while (done < node.queue.size() && node.queue[done].done) upto = node.queue[done++].token;
  if (done == 0) return;
  node.queue.erase(node.queue.begin(), node.queue.begin() + static_cast<ptrdiff_t>(done));
  node.acceptor.persisted(upto);
}

bool NodeStep::sync_next(Node& node) {
  for (Pending& pending : node.queue) {
    if (pending.done) continue;
    make_durable(node, pending);
    settle(node);
    return true;
  }
  return false;
}

bool NodeStep::sync_superblock(Node& node) {
  bool older = false;
  for (Pending& pending : node.queue) {
    if (pending.done) continue;
    const bool promise = std::holds_alternative<PromiseRecord>(pending.record);
    if (promise && !older) return false;  // that is sync_next()
    if (promise) {
      make_durable(node, pending);
      settle(node);
      return true;
    }
    older = true;
  }
  return false;
}

void NodeStep::sync_all(Node& node) {
  while (sync_next(node)) {
  }
}

bool NodeStep::restart(Node& node, Loss loss) {
  RecoveredState disk = node.disk;
  std::vector<Record> log = node.log;
  if (loss == Loss::keep_hint) {
    Slot hint = disk.decided_hint;
    while (hint < node.acceptor.decided() && node.acceptor.slot_durable(hint.next())) hint = hint.next();
    if (hint == disk.decided_hint) return false;
    disk.decided_hint = hint;
  } else if (loss == Loss::rot) {
    if (log.empty() || !std::holds_alternative<AcceptRecord>(log.back())) return false;
    const AcceptRecord lost = std::get<AcceptRecord>(log.back());
    log.pop_back();
    disk = RecoveredState{};
    for (const Record& record : log) replay(record, &disk);
    // The batch behind it tells slot and ballot (decision 0015); the draft's has only the promise that is
    // left.
    disk.accepted.erase(lost.first);
    disk.unknown[lost.first] = draft(Draft::a7_promise_in_record) ? disk.promised : lost.ballot;
  }
  const uint32_t boot = node.boot + 1;
  RecoveredState found = disk;
  if (draft(Draft::forgotten_promise)) found.promised = Ballot{};
  if (draft(Draft::damage_is_absence)) found.unknown.clear();
  node = fresh(membership_, found);
  node.disk = std::move(disk);
  node.log = std::move(log);
  node.boot = boot;
  return true;
}

void NodeStep::wipe(Node& node) {
  const uint32_t boot = node.boot + 1;
  node = fresh(membership_, RecoveredState{});
  node.boot = boot;
  node.mute = !draft(Draft::wiped_member_votes);
}

// ---- what leaves at the end of a step ----

void NodeStep::say_decided(Node& node) {
  const Acceptor& acceptor = node.acceptor;
  if (!config_.learn || acceptor.decided() == Slot(0)) return;
  Note note;
  note.kind = Note::Kind::chosen;
  note.slot = acceptor.decided();
  note.base = acceptor.log().first();
  note.chain = acceptor.decided_chain();
  note.term = acceptor.decided_term();
  for (Slot s = note.base; s <= note.slot; s = s.next())
    note.entries.push_back(acceptor.log().find(s)->entry);
  say(note);
}

void NodeStep::say_applied(Node& node) {
  if (!config_.apply) return;
  const Acceptor& acceptor = node.acceptor;
  Slot applied;
  while (applied < acceptor.decided() &&
         (draft(Draft::a10_early_apply) || acceptor.slot_durable(applied.next())))
    applied = applied.next();
  if (applied == Slot(0)) return;
  Note note;
  note.kind = Note::Kind::applied;
  note.slot = applied;
  say(note);
  for (Slot s = Slot(1); s <= applied && breach.empty(); s = s.next()) {
    if (s <= node.disk.snapshot_index || s < acceptor.log().first()) continue;
    const auto held = node.disk.accepted.find(s);
    if (held == node.disk.accepted.end() || !(held->second.entry == acceptor.log().find(s)->entry))
      breach = "I21: applied slot " + std::to_string(s.value) + ", which a crash now would take away again";
  }
}

void NodeStep::end_turn(Node& node) {
  if (node.mute) return;
  if (synced_) sync_all(node);
  const LogToken durable = node.acceptor.persisted_upto();
  std::erase_if(node.deferred, [&](const Deferred& d) {
    if (d.token > durable) return false;
    said.push_back(d.note);
    return true;
  });
  if (!node.owed.is_none() && node.disk.promised >= node.owed) {
    said.push_back(promise_note(node, node.owed, true));
    node.owed = Ballot{};
  }
  const Ballot b = node.acceptor.bill_ballot();
  if (node.role != Role::leader && !b.is_none() && b == node.acceptor.promised() &&
      node.acceptor.promise_durable())
    say_accepted(node, node.acceptor.durable_upto());
  say_decided(node);
  say_applied(node);
  if (breach.empty() && !config_.harm_only) breach = node.acceptor.broken_invariant();
}

}  // namespace decree::lab::model
