#include "lab/check/ghost.h"

#include <algorithm>

#include <fmt/format.h>

#include "paxos/acceptor.h"

namespace decree::lab {

std::string show(const RequestId& id) { return fmt::format("{}/{}/{}", id.node.value, id.boot, id.seq); }
std::string show(const Ballot& b) {
  return b.is_none() ? "none" : fmt::format("{}.{}.{}@{}", b.epoch, b.round, b.priority, b.node.value);
}

namespace {

template <class T>
T& at_index(std::vector<T>& items, Slot slot) {
  if (items.size() <= slot.value) items.resize(slot.value + 1 + slot.value / 4);
  return items[slot.value];
}

}  // namespace

uint64_t Ghost::value_hash(const Entry& e) {
  uint64_t h = (static_cast<uint64_t>(e.kind) + 1) * 0x9e3779b97f4a7c15ULL;
  auto mix = [&h](uint64_t v) {
    h = (h ^ v) * 0xff51afd7ed558ccdULL;
    h ^= h >> 32;
  };
  mix(e.id.node.value);
  mix(e.id.boot);
  mix(e.id.seq);
  const std::string_view bytes = e.bytes();
  mix(bytes.size());
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::copy_n(bytes.data() + i, 8, reinterpret_cast<char*>(&word));
    mix(word);
  }
  for (; i < bytes.size(); ++i) mix(static_cast<unsigned char>(bytes[i]));
  return h;
}

Ghost::Ghost(uint32_t members, uint32_t election_quorum, uint32_t bill_quorum)
    : count_(members), members_(members + 1) {
  EpochGhost& first = epochs_[0];
  for (uint32_t n = 1; n <= members; ++n) first.voters |= 1u << n;
  first.election_quorum = election_quorum;
  first.bill_quorum = bill_quorum;
}

// I11: an epoch is the same for all. What its record voids is forgotten (A9): neither a report nor an
// acknowledgement of it binds anybody any more.
void Ghost::on_epoch(NodeId member, const Membership& membership) {
  if (membership.epoch == 0) return;
  EpochGhost& e = epochs_[membership.epoch];
  if (e.voters == 0) {
    e.membership = membership;
    e.election_quorum = membership.election_quorum;
    e.bill_quorum = membership.bill_quorum;
    for (const Member& m : membership.members)
      if (m.role == MemberRole::voter) e.voters |= 1u << m.node.value;
  } else if (!(e.membership == membership)) {
    fail("I11", fmt::format("node {} opens epoch {} with other members or another base than somebody before",
                            member.value, membership.epoch));
  }
  MemberGhost& m = of(member);
  for (std::vector<Ballot>* list : {&m.handed, &m.acknowledged})
    for (size_t s = membership.base.value; s < list->size(); ++s)
      if ((*list)[s].epoch < membership.epoch) (*list)[s] = Ballot{};
}

void Ghost::fail(const char* invariant, std::string sentence) {
  if (breach_) return;
  breach_.invariant = invariant;
  breach_.sentence = std::move(sentence);
}

Ghost::SlotGhost& Ghost::at(Slot slot) { return at_index(slots_, slot); }

const ChosenSlot* Ghost::chosen(Slot slot) const {
  if (slot.value >= slots_.size() || !slots_[slot.value].chosen.chosen) return nullptr;
  return &slots_[slot.value].chosen;
}

void Ghost::on_send(NodeId from, uint64_t boot, const Message& message) {
  if (of(from).old_image) return;
  if (const auto* accept = std::get_if<Accept>(&message)) {
    on_accept(from, boot, *accept);
  } else if (const auto* accepted = std::get_if<Accepted>(&message)) {
    on_accepted(from, *accepted);
  } else if (const auto* promise = std::get_if<Promise>(&message)) {
    on_promise(from, *promise);
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    own_ballot(from, boot, prepare->ballot, "Prepare");
    BallotGhost& b = ballots_[prepare->ballot];
    b.first = prepare->first;
    if (std::none_of(b.reports.begin(), b.reports.end(), [from](const Report& r) { return r.from == from; }))
      b.reports.push_back(own_report(from, prepare->first));
  }
}

// False: an epoch is known, and it gives this node no vote.
bool Ghost::may_vote(NodeId node, const Ballot& ballot) const {
  const auto it = epochs_.find(ballot.epoch);
  return it == epochs_.end() || it->second.voters == 0 || (it->second.voters >> node.value & 1) != 0;
}

// I2, and the node's part of I3.
void Ghost::own_ballot(NodeId from, uint64_t boot, const Ballot& ballot, const char* message) {
  if (ballot.node != from)
    return fail("I2", fmt::format("node {} sent {} with ballot {}, which is not its own", from.value, message,
                                  show(ballot)));
  if (!may_vote(from, ballot))
    fail("I12", fmt::format("node {} sent {} with ballot {} of an epoch in which it is no voter", from.value,
                            message, show(ballot)));
  BallotGhost& b = ballots_[ballot];
  if (b.boot == 0) b.boot = boot;
  if (b.boot != boot)
    fail("I2", fmt::format("node {} used ballot {} in boot {} and again in boot {}", from.value, show(ballot),
                           b.boot, boot));
  MemberGhost& m = of(from);
  m.sent_max = std::max(m.sent_max, ballot);
}

// I1: one value per (ballot, slot).
Ghost::Proposal* Ghost::find_or_add(Slot slot, const Ballot& ballot, const Entry& entry, const char* where) {
  SlotGhost& s = at(slot);
  const uint64_t value = value_hash(entry);
  for (auto p = s.proposals.rbegin(); p != s.proposals.rend(); ++p) {
    if (p->ballot != ballot) continue;
    if (p->value != value)
      fail("I1", fmt::format("two values at ballot {} slot {}: {} and {} ({})", show(ballot), slot.value,
                             show(p->id), show(entry.id), where));
    return &*p;
  }
  s.proposals.push_back({ballot, value, 0, false, entry.digest, entry.kind, entry.id});
  return &s.proposals.back();
}

void Ghost::on_accept(NodeId from, uint64_t boot, const Accept& accept) {
  own_ballot(from, boot, accept.ballot, "Accept");
  BallotGhost& b = ballots_[accept.ballot];
  if (b.base == Slot(0)) b.base = accept.base;
  if (b.base != accept.base)
    fail("I9", fmt::format("ballot {} changed its base from {} to {}", show(accept.ballot), b.base.value,
                           accept.base.value));
  Slot slot = accept.first;
  for (const Entry& entry : accept.entries) {
    Proposal* p = find_or_add(slot, accept.ballot, entry, "Accept");
    if (!p->proposed) {
      p->proposed = true;
      if (entry.kind == EntryKind::barrier) barriers_.emplace(accept.ballot, slot);
      check_proposal(from, slot, *p);
    }
    slot = slot.next();
  }
}

// I7 for a value proposed after a choice; I6 against what the promises said.
void Ghost::check_proposal(NodeId from, Slot slot, const Proposal& p) {
  const SlotGhost& s = at(slot);
  if (s.chosen.chosen) {
    if (p.ballot > s.chosen.ballot && p.value != s.chosen.value)
      fail("I7",
           fmt::format("node {} proposes {} at ballot {} for slot {}, where {} is chosen since ballot {}",
                       from.value, show(p.id), show(p.ballot), slot.value, show(s.chosen.id),
                       show(s.chosen.ballot)));
    return;
  }
  const std::vector<Report>& reports = ballots_[p.ballot].reports;
  if (reports.empty()) return;  // an initial ballot
  // Existence of a quorum: promisers that report nothing above the highest report of this value.
  Ballot best;
  std::vector<Ballot> seen;
  const EpochGhost& epoch = epochs_[p.ballot.epoch];
  for (const Report& r : reports) {
    if ((epoch.voters >> r.from.value & 1) == 0) continue;  // I12
    if (r.covered >= slot) return;                          // known chosen to a promiser: I7 watches it
    Ballot reported;
    for (const PromiseRun& run : r.runs)
      if (run.slots.contains(slot)) {
        if (run.law) return;
        reported = std::max(reported, run.ballot);
      }
    for (const UnknownSlot& u : r.unknown)
      if (u.slot == slot) reported = std::max(reported, u.bound);
    if (is_void(reported, slot)) reported = Ballot{};
    seen.push_back(reported);
    if (reported.is_none() || reported <= best) continue;
    for (const Proposal& q : s.proposals)
      if (q.ballot == reported && q.value == p.value) best = reported;
  }
  const auto agreeing = std::count_if(seen.begin(), seen.end(), [&](const Ballot& b) { return b <= best; });
  if (agreeing < epoch.election_quorum)
    fail("I6", fmt::format("node {} proposes {} at ballot {} for slot {}, but only {} promisers allow it "
                           "(highest report of this "
                           "value: {})",
                           from.value, show(p.id), show(p.ballot), slot.value, agreeing, show(best)));
}

// A leader that put its barrier below `slot` had found nothing accepted above the barrier in its Election,
// and nothing of a lower ballot could become chosen there afterwards: such a report binds nobody.
bool Ghost::is_void(const Ballot& reported, Slot slot) const {
  for (auto it = barriers_.upper_bound(reported); it != barriers_.end(); ++it)
    if (it->second < slot) return true;
  return false;
}

Ghost::Report Ghost::own_report(NodeId node, Slot first) {
  MemberGhost& m = of(node);
  Report r;
  r.from = node;
  r.covered = std::max(first.prev(), m.decided);
  for (Slot s = r.covered.next(); s.value < m.handed.size(); s = s.next()) {
    const Ballot b = m.handed[s.value];
    if (b.is_none()) continue;
    if (!r.runs.empty() && r.runs.back().ballot == b && r.runs.back().slots.end == s)
      r.runs.back().slots.end = s.next();
    else
      r.runs.push_back({b, false, {s, s.next()}});
  }
  return r;
}

// I9 and I10 by the books: all of base..upto is on this disk, at this ballot or chosen.
void Ghost::on_accepted(NodeId from, const Accepted& a) {
  MemberGhost& m = of(from);
  m.sent_max = std::max(m.sent_max, a.ballot);
  if (a.upto == Slot(0)) return;
  const auto it = ballots_.find(a.ballot);
  const Slot base = it == ballots_.end() ? Slot(0) : it->second.base;
  if (base == Slot(0)) return;  // nothing proposed yet
  if (m.accepted_ballot != a.ballot) {
    m.accepted_ballot = a.ballot;
    m.accepted_upto = base.prev();
  }
  for (Slot s = m.accepted_upto.next(); s <= a.upto; s = s.next()) {
    const Held held = s.value < m.durable.size() ? m.durable[s.value] : Held{};
    const ChosenSlot& c = at(s).chosen;
    const bool at_ballot = s <= m.snapshot || held.law || held.ballot >= a.ballot;
    const bool as_chosen = !at_ballot && c.chosen && !held.ballot.is_none() && held.value == c.value;
    // What it knows to be chosen it holds at the ballot at which it accepted it, and is bound by that one
    // only (docs/invariants.md).
    Ballot& acknowledged = at_index(m.acknowledged, s);
    acknowledged = std::max(acknowledged, as_chosen ? held.ballot : a.ballot);
    if (at_ballot || as_chosen) continue;
    return fail("I10", fmt::format("node {} acknowledged ballot {} up to slot {}, but slot {} is not durable "
                                   "there (its disk has {})",
                                   from.value, show(a.ballot), a.upto.value, s.value, show(held.ballot)));
  }
  m.accepted_upto = std::max(m.accepted_upto, a.upto);
}

void Ghost::on_promise(NodeId from, const Promise& p) {
  MemberGhost& m = of(from);
  m.sent_max = std::max(m.sent_max, p.ballot);
  if (!may_vote(from, p.ballot))
    fail("I12", fmt::format("node {} promises ballot {} of an epoch in which it is no voter", from.value,
                            show(p.ballot)));
  if (p.chunk == 0) {
    m.capture = p.capture;
    m.report = Report{from, std::max(p.decided, p.snapshot_index), {}, p.unknown};
  }
  if (m.capture != p.capture) return;  // a repeated middle chunk of an older capture
  for (const PromiseRun& run : p.runs) m.report.runs.push_back(run);
  if (!p.last) return;
  check_promise(from, p, m.report);
  std::vector<Report>& reports = ballots_[p.ballot].reports;
  if (std::none_of(reports.begin(), reports.end(), [from](const Report& r) { return r.from == from; }))
    reports.push_back(m.report);
}

// I5 and I19: nothing acknowledged is missing; what was damaged is Unknown, and at no lower bound.
void Ghost::check_promise(NodeId from, const Promise& p, const Report& report) {
  const MemberGhost& m = of(from);
  Slot first = report.covered.next();
  if (const auto it = ballots_.find(p.ballot); it != ballots_.end())
    first = std::max(first, it->second.first);
  for (Slot s = first; s.value < m.acknowledged.size(); s = s.next()) {
    const Ballot acknowledged = m.acknowledged[s.value];
    if (acknowledged.is_none()) continue;
    const bool told = std::any_of(report.runs.begin(), report.runs.end(), [&](const PromiseRun& run) {
      return run.slots.contains(s) && (run.law || run.ballot >= acknowledged);
    });
    const bool unknown = std::any_of(report.unknown.begin(), report.unknown.end(), [&](const UnknownSlot& u) {
      return u.slot == s && u.bound >= acknowledged;
    });
    if (told || unknown) continue;
    return fail(
        m.unknown.contains(s) ? "I19" : "I5",
        fmt::format(
            "node {} promises ballot {} and does not report slot {}, which it acknowledged at ballot {}",
            from.value, show(p.ballot), s.value, show(acknowledged)));
  }
}

// I4: in the order of the records, no acceptance below the promise.
void Ghost::on_handed_out(NodeId member, std::span<const PersistedRecord> records) {
  MemberGhost& m = of(member);
  if (m.old_image) return;
  for (const PersistedRecord& r : records) {
    if (const auto* epoch = std::get_if<EpochRecord>(&r.record)) {
      on_epoch(member, epoch->membership);
      m.promised_handed = std::max(m.promised_handed, epoch->initial_ballot);
    }
    if (const auto* promise = std::get_if<PromiseRecord>(&r.record)) {
      if (promise->promised < m.promised_handed)
        fail("I3", fmt::format("node {} lowers its promise from {} to {}", member.value,
                               show(m.promised_handed), show(promise->promised)));
      m.promised_handed = promise->promised;
    } else if (const auto* accept = std::get_if<AcceptRecord>(&r.record)) {
      if (accept->ballot < m.promised_handed)
        fail("I4", fmt::format("node {} accepts slot {} at ballot {} below its promise {}", member.value,
                               accept->first.value, show(accept->ballot), show(m.promised_handed)));
      Slot slot = accept->first;
      for (const Entry& entry : accept->entries) {
        // An epoch's initial ballot is used again by a boot that does not find the epoch's record: what was
        // proposed at it counts from the moment that it left, or that it is durable behind that record.
        const bool may_vanish =
            accept->ballot.epoch > 0 && accept->ballot.round == 1 && accept->ballot.node == member;
        if (!may_vanish) find_or_add(slot, accept->ballot, entry, "AcceptRecord");
        at_index(m.handed, slot) = accept->ballot;
        slot = slot.next();
      }
    }
  }
}

void Ghost::hold(NodeId member, Slot slot, const Ballot& ballot, bool law, const Entry& entry) {
  MemberGhost& m = of(member);
  Held& held = at_index(m.durable, slot);
  held.ballot = ballot;
  held.law = held.law || law;
  held.value = value_hash(entry);
  if (ballot.is_none()) return;
  Proposal* p = find_or_add(slot, ballot, entry, "disk");
  const uint32_t bit = 1u << member.value;
  if ((p->durable_at & bit) != 0) return;
  p->durable_at |= bit;
  const EpochGhost& epoch = epochs_[ballot.epoch];
  const auto votes = static_cast<uint32_t>(__builtin_popcount(p->durable_at & epoch.voters));
  if (epoch.voters != 0 && votes >= epoch.bill_quorum) choose(slot, *p);
}

// The instant of the q2-th durable acceptance, whoever noticed.
void Ghost::choose(Slot slot, const Proposal& p) {
  SlotGhost& s = at(slot);
  if (s.chosen.chosen) {
    if (s.chosen.value != p.value)
      fail("I7", fmt::format("slot {} has two chosen values: {} at ballot {} and {} at ballot {}", slot.value,
                             show(s.chosen.id), show(s.chosen.ballot), show(p.id), show(p.ballot)));
    return;
  }
  EpochGhost& epoch = epochs_[p.ballot.epoch];
  if (epoch.stop != Slot(0) && slot > epoch.stop)
    fail("I11", fmt::format("slot {} is chosen at ballot {}, behind the stop sign at slot {}", slot.value,
                            show(p.ballot), epoch.stop.value));
  if (p.kind == EntryKind::stop_sign) {
    if (chosen_max_ > slot)
      fail("I11", fmt::format("a stop sign is chosen at slot {} below the chosen slot {}", slot.value,
                              chosen_max_.value));
    epoch.stop = slot;
  }
  if (!epoch.chose_something) check_succession(p.ballot.epoch);
  epoch.chose_something = true;
  s.chosen = ChosenSlot{true, p.ballot, p.value, p.digest, p.kind, p.id};
  chosen_max_ = std::max(chosen_max_, slot);
  if (choice_log_ != nullptr) choice_log_->push_back(slot);
  for (const Proposal& q : s.proposals)
    if (q.proposed && q.ballot > p.ballot && q.value != p.value)
      fail("I7", fmt::format("slot {}: {} becomes chosen at ballot {} although ballot {} proposes {}",
                             slot.value, show(p.id), show(p.ballot), show(q.ballot), show(q.id)));
  if (p.kind == EntryKind::command) {
    const auto [it, is_new] = chosen_ids_.emplace(p.id, slot);
    if (!is_new && it->second != slot)
      fail("I16", fmt::format("request {} is chosen twice, in slots {} and {}", show(p.id), it->second.value,
                              slot.value));
    if (refused_ids_.count(p.id) != 0)
      fail("I16",
           fmt::format("request {} is chosen in slot {} after its client was told that it surely is not",
                       show(p.id), slot.value));
  }
  while (const ChosenSlot* next = chosen(Slot(chain_.size())))
    chain_.push_back(chain_link(chain_.back(), Slot(chain_.size()), next->digest));
}

void Ghost::on_durable(NodeId member, std::span<const PersistedRecord> records) {
  MemberGhost& m = of(member);
  if (m.old_image) return;
  for (const PersistedRecord& r : records) {
    if (const auto* accept = std::get_if<AcceptRecord>(&r.record)) {
      Slot slot = accept->first;
      for (const Entry& entry : accept->entries) {
        hold(member, slot, accept->ballot, false, entry);
        slot = slot.next();
      }
    } else if (const auto* law = std::get_if<LawRecord>(&r.record)) {
      Slot slot = law->first;
      for (const Entry& entry : law->entries) {
        const ChosenSlot* c = chosen(slot);
        if (c == nullptr || c->value != value_hash(entry))
          fail("I8",
               fmt::format("node {} keeps {} as the Law of slot {}, but {}", member.value, show(entry.id),
                           slot.value, c ? "another value is chosen" : "nothing is chosen there"));
        hold(member, slot, Ballot{}, true, entry);
        slot = slot.next();
      }
    } else if (const auto* snapshot = std::get_if<SnapshotRecord>(&r.record)) {
      m.snapshot = std::max(m.snapshot, snapshot->index);
    }
  }
}

void Ghost::on_start(NodeId member, const RecoveredState& found) {
  MemberGhost& m = of(member);
  if (m.old_image) {
    m.promised = found.promised;
    m.decided = m.applied = found.snapshot_index;
    return;
  }
  m.unknown = found.unknown;
  if (found.promised < m.sent_max)
    fail("I3", fmt::format("node {} starts with promise {} after having answered or used ballot {}",
                           member.value, show(found.promised), show(m.sent_max)));
  check_fork(member, found);
  m.promised = m.promised_handed = found.promised;
  m.decided = m.applied = found.snapshot_index;
  m.snapshot = found.snapshot_index;
  m.accepted_ballot = Ballot{};
  m.capture = 0;
  m.durable.clear();
  m.handed.clear();
  if (found.has_membership) on_epoch(member, found.membership);
  for (const auto& [slot, accepted] : found.accepted) {
    hold(member, slot, accepted.ballot, accepted.law, accepted.entry);
    at_index(m.handed, slot) = accepted.ballot;
  }
  check_holders(member);
}

uint32_t Ghost::holders_of(Slot slot, uint64_t value, const EpochGhost& epoch) const {
  uint32_t holders = 0;
  for (uint32_t n = 1; n <= count_; ++n) {
    if ((epoch.voters >> n & 1) == 0) continue;
    const MemberGhost& m = members_[n];
    const Held held = slot.value < m.durable.size() ? m.durable[slot.value] : Held{};
    // What a fault took is not what the protocol lost.
    const bool excused = m.old_image || m.unknown.contains(slot);
    holders += excused || slot <= m.snapshot || held.value == value ? 1 : 0;
  }
  return holders;
}

// I18 across epochs: with the first choice in an epoch its voters have taken over everything before it.
void Ghost::check_succession(uint32_t number) {
  const EpochGhost& epoch = epochs_[number];
  const uint32_t voters = static_cast<uint32_t>(__builtin_popcount(epoch.voters));
  for (Slot s = Slot(1); number > 0 && s < epoch.membership.base; s = s.next()) {
    const ChosenSlot* c = chosen(s);
    if (c == nullptr || holders_of(s, c->value, epoch) >= voters - epoch.election_quorum + 1) continue;
    return fail("I18", fmt::format("epoch {} chooses its first slot, and only {} of its voters hold slot {}",
                                   number, holders_of(s, c->value, epoch), s.value));
  }
}

// I18: what is chosen is held by so many that every Election quorum meets one of them. A start is where a
// member may turn out to hold less than was thought.
void Ghost::check_holders(NodeId member) {
  // Of the newest epoch only: what an older one decided is its successor's to keep.
  const auto& [number, epoch] = *std::prev(epochs_.end());
  const uint32_t voters = static_cast<uint32_t>(__builtin_popcount(epoch.voters));
  const uint32_t needed = voters - epoch.election_quorum + 1;
  for (Slot s = of(member).snapshot.next(); s <= chosen_max_; s = s.next()) {
    const ChosenSlot* c = chosen(s);
    if (c == nullptr || c->ballot.epoch != number) continue;
    const uint32_t holders = holders_of(s, c->value, epoch);
    if (holders >= needed) continue;
    return fail("I18", fmt::format("slot {} is chosen, but after a start of node {} only {} voters hold it",
                                   s.value, member.value, holders));
  }
}

bool Ghost::covers(const RecoveredState& found, Slot slot, const Ballot& ballot) const {
  if (slot <= found.snapshot_index) return true;
  if (const auto lost = found.unknown.find(slot); lost != found.unknown.end() && lost->second >= ballot)
    return true;
  const auto it = found.accepted.find(slot);
  if (it == found.accepted.end()) return false;
  if (it->second.law || it->second.ballot >= ballot) return true;
  const ChosenSlot* c = chosen(slot);
  return c != nullptr && c->value == value_hash(it->second.entry);
}

void Ghost::check_fork(NodeId member, const RecoveredState& found) {
  const MemberGhost& m = of(member);
  if (found.promised < m.sent_max)
    return fail(
        "I10",
        fmt::format("a crash of node {} now would leave promise {}, but it has answered or used ballot {}",
                    member.value, show(found.promised), show(m.sent_max)));
  for (Slot s = found.snapshot_index.next(); s.value < m.acknowledged.size(); s = s.next()) {
    const Ballot acknowledged = m.acknowledged[s.value];
    if (acknowledged.is_none() || covers(found, s, acknowledged)) continue;
    return fail("I10", fmt::format("a crash of node {} loses slot {}, which it acknowledged at ballot {}",
                                   member.value, s.value, show(acknowledged)));
  }
}

void Ghost::on_step(NodeId member, const Replica& replica) {
  MemberGhost& m = of(member);
  const Acceptor& a = replica.acceptor();
  if (a.promised() < m.promised)
    fail("I3", fmt::format("node {}'s promise fell from {} to {}", member.value, show(m.promised),
                           show(a.promised())));
  m.promised = a.promised();
  if (a.decided() < m.decided)
    fail("I8", fmt::format("node {}'s decided prefix fell from {} to {}", member.value, m.decided.value,
                           a.decided().value));
  if (a.decided() == m.decided) return;
  m.decided = a.decided();
  if (m.decided > chosen_prefix())
    return fail("I8", fmt::format("node {} takes slot {} for decided, but only {} slots are chosen",
                                  member.value, m.decided.value, chosen_prefix().value));
  if (a.decided_chain() != chain_[m.decided.value])
    fail("I8", fmt::format("node {}'s chain at slot {} is not that of the chosen values", member.value,
                           m.decided.value));
}

void Ghost::on_snapshot(NodeId member, Slot index) {
  of(member).snapshot = std::max(of(member).snapshot, index);
}

void Ghost::on_applied(NodeId member, Slot applied, Digest128 chain) {
  MemberGhost& m = of(member);
  if (applied < m.applied)
    return fail("I8", fmt::format("node {} applied slot {} after slot {}", member.value, applied.value,
                                  m.applied.value));
  if (applied == m.applied) return;
  m.applied = applied;
  if (applied > chosen_prefix())
    return fail("I8", fmt::format("node {} applied slot {}, but only {} slots are chosen", member.value,
                                  applied.value, chosen_prefix().value));
  if (chain != chain_[applied.value])
    return fail("I8", fmt::format("node {} applied other entries up to slot {} than were chosen",
                                  member.value, applied.value));
  if (applied <= m.snapshot || m.old_image) return;
  const Held held = applied.value < m.durable.size() ? m.durable[applied.value] : Held{};
  if (held.value != slots_[applied.value].chosen.value)
    fail("I21",
         fmt::format("node {} applied slot {} before its own copy was durable", member.value, applied.value));
}

void Ghost::on_state(NodeId member, Slot slot, Digest128 digest) {
  SlotGhost& s = at(slot);
  if (!s.has_state) {
    s.has_state = true;
    s.state = digest;
  } else if (s.state != digest) {
    fail("I17", fmt::format("node {}'s state after slot {} differs from another member's", member.value,
                            slot.value));
  }
}

const Digest128* Ghost::state_after(Slot slot) const {
  // What is no command changes nothing.
  for (size_t s = std::min<size_t>(slot.value, slots_.size() - 1); s > 0; --s) {
    if (slots_[s].has_state) return &slots_[s].state;
    if (!slots_[s].chosen.chosen || slots_[s].chosen.kind == EntryKind::command) return nullptr;
  }
  return nullptr;
}

void Ghost::on_definitely_not(RequestId id) {
  refused_ids_.emplace(id, true);
  const auto it = chosen_ids_.find(id);
  if (it != chosen_ids_.end())
    fail("I16",
         fmt::format("a client was told that request {} is surely not done, but it is chosen in slot {}",
                     show(id), it->second.value));
}

uint64_t Ghost::fingerprint() const {
  const Digest128 d = chain_.back();
  return d.hi ^ (d.lo * 3) ^ (chain_.size() << 32) ^ ballots_.size();
}

}  // namespace decree::lab
