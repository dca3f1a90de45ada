#include "lab/model/replica_judge.h"

#include <algorithm>
#include <set>

#include "lab/model/judge.h"

namespace decree::lab::model {

namespace {

std::string name_of(NodeId node) { return std::string(1, static_cast<char>('A' + node.value - 1)); }
std::string digits(Slot slot) { return std::to_string(slot.value); }

// The same value; what a draft makes its receiver believe of a stop sign is not the value's fault.
bool same(const Entry& a, const Entry& b) { return a.kind == b.kind && a.id == b.id && a.digest == b.digest; }

bool tells(const Promise& promise, Slot slot, Ballot ballot) {
  if (promise.decided >= slot || promise.snapshot_index >= slot) return true;
  for (const UnknownSlot& lost : promise.unknown)
    if (lost.slot == slot && lost.bound >= ballot) return true;
  for (const PromiseRun& run : promise.runs)
    if (run.slots.contains(slot) && (run.law || run.ballot >= ballot)) return true;
  return false;
}

std::string told(const std::vector<Entry>& entries, Slot first) {
  std::string text;
  for (const Entry& entry : entries) {
    text += (text.empty() ? "slot " : ", slot ") + digits(first) + " " + show(entry);
    first = first.next();
  }
  return text;
}

std::string told(const Membership& m) {
  std::string text = "epoch " + std::to_string(m.epoch) + " from slot " + digits(m.base) + ", voters ";
  for (const Member& member : m.members)
    if (member.role == MemberRole::voter) text += name_of(member.node);
  std::string others;
  for (const Member& member : m.members)
    if (member.role != MemberRole::voter) others += name_of(member.node);
  return others.empty() ? text : text + ", without vote " + others;
}

std::string told(const Message& message) {
  const std::string name = message_name(message);
  if (const auto* m = std::get_if<Prepare>(&message)) return name + "(" + show(m->ballot) + ")";
  if (const auto* m = std::get_if<Promise>(&message)) {
    std::string text = name + "(" + show(m->ballot) + ", decided " + digits(m->decided);
    for (const PromiseRun& run : m->runs)
      for (Slot s = run.slots.first; s < run.slots.end; s = s.next())
        text += "; slot " + digits(s) + (run.law ? " Law" : " at " + show(run.ballot));
    for (const UnknownSlot& lost : m->unknown) text += "; slot " + digits(lost.slot) + " Unknown";
    return text + ")";
  }
  if (const auto* m = std::get_if<Accept>(&message))
    return name + "(" + show(m->ballot) + ", " + (m->entries.empty() ? "probe" : told(m->entries, m->first)) +
           ")";
  if (const auto* m = std::get_if<Accepted>(&message))
    return name + "(" + show(m->ballot) + ", through slot " + digits(m->upto) + ")";
  if (const auto* m = std::get_if<Law>(&message))
    return name + "(" + show(m->ballot) + ", through slot " + digits(m->decided) + ")";
  if (const auto* m = std::get_if<Chosen>(&message)) return name + "(" + told(m->entries, m->first) + ")";
  if (const auto* m = std::get_if<Learn>(&message)) return name + "(from slot " + digits(m->first) + ")";
  return name;
}

}  // namespace

std::string show(const Word& w) {
  switch (w.kind) {
    case Word::Kind::message:
      return told(w.message) + " to " + name_of(w.to);
    case Word::Kind::hello:
      return "hello to " + name_of(w.to);
    case Word::Kind::beat:
      return "Beat(" + std::to_string(w.disk_writes) + " writes)";
    case Word::Kind::voted:
      return "durably accepted: slot " + digits(w.slot) + " " + show(w.entry) + " at " + show(w.ballot);
    case Word::Kind::decided:
      return "decided: slot " + digits(w.slot) + " " + show(w.entry);
    case Word::Kind::opened:
      return "opens " + told(w.membership);
  }
  return "";
}

template <class Each>
void ReplicaJudge::each_word(std::span<const uint32_t> said, Each&& each) const {
  for (uint32_t set : said)
    for (uint32_t n : tables_.sets[set]) each(tables_.words[n]);
}

const Membership* ReplicaJudge::epoch(std::span<const uint32_t> said, uint32_t number) const {
  if (number == first_.epoch) return &first_;
  const Membership* found = nullptr;
  each_word(said, [&](const Word& w) {
    if (w.kind == Word::Kind::opened && w.membership.epoch == number) found = &w.membership;
  });
  return found;
}

// By so many voters of the ballot's epoch, each with the disk that the epoch names. Learners and strangers
// do not count (I12).
bool ReplicaJudge::chosen(std::span<const uint32_t> said, const Word& vote) const {
  const Membership* members = epoch(said, vote.ballot.epoch);
  if (members == nullptr) return false;
  uint32_t votes = 0;
  for (uint32_t m = 0; m < said.size(); ++m) {
    const Member* member = members->find(NodeId(m + 1));
    if (member == nullptr || member->role != MemberRole::voter) continue;
    const std::vector<uint32_t>& words = tables_.sets[said[m]];
    votes += std::any_of(words.begin(), words.end(), [&](uint32_t n) {
      const Word& w = tables_.words[n];
      return w.kind == Word::Kind::voted && w.ballot == vote.ballot && w.slot == vote.slot &&
             same(w.entry, vote.entry) &&
             (member->incarnation == Incarnation(0) || w.incarnation == member->incarnation);
    });
  }
  return votes >= members->bill_quorum;
}

const Word* ReplicaJudge::chosen_otherwise(std::span<const uint32_t> said, Slot slot,
                                           const Entry& value) const {
  const Word* other = nullptr;
  each_word(said, [&](const Word& w) {
    if (other == nullptr && w.kind == Word::Kind::voted && w.slot == slot && !same(w.entry, value) &&
        chosen(said, w))
      other = &w;
  });
  return other;
}

std::string ReplicaJudge::look_at_vote(std::span<const uint32_t> said, const Word& vote) const {
  if (!chosen(said, vote)) return "";
  if (const Word* other = chosen_otherwise(said, vote.slot, vote.entry); other != nullptr)
    return "I7: two values are chosen at slot " + digits(vote.slot) + ": " + show(other->entry) +
           " at ballot " + show(other->ballot) + ", and " + show(vote.entry) + " at ballot " +
           show(vote.ballot);
  return config_.harm_only ? "" : look_at_stop(said, vote);
}

std::string ReplicaJudge::look_at_stop(std::span<const uint32_t> said, const Word& vote) const {
  std::string problem;
  each_word(said, [&](const Word& w) {
    if (w.kind != Word::Kind::voted || w.ballot.epoch != vote.ballot.epoch || !problem.empty()) return;
    for (const auto& [below, above] : {std::pair(&w, &vote), std::pair(&vote, &w)})
      if (stop_sign_membership(below->entry).epoch == below->ballot.epoch + 1 && below->slot < above->slot &&
          chosen(said, w) && chosen(said, vote))
        problem = "I11: slot " + digits(above->slot) + " is chosen above the stop sign at slot " +
                  digits(below->slot);
  });
  return problem;
}

std::string ReplicaJudge::look_at_accept(std::span<const uint32_t> said, const Accept& accept) const {
  if (config_.harm_only) return "";
  std::string problem;
  for (size_t i = 0; i < accept.entries.size() && problem.empty(); ++i) {
    const Slot slot = accept.first + i;
    const Entry& value = accept.entries[i];
    each_word(said, [&](const Word& w) {
      const auto* other = std::get_if<Accept>(&w.message);
      if (w.kind != Word::Kind::message || other == nullptr || other->ballot != accept.ballot ||
          slot < other->first || slot >= other->first + other->entries.size())
        return;
      if (!same(other->entries[slot - other->first], value))
        problem = "I1: ballot " + show(accept.ballot) + " proposes two values at slot " + digits(slot) +
                  ": " + show(other->entries[slot - other->first]) + " and " + show(value);
    });
    const Word* chosen = chosen_otherwise(said, slot, value);
    if (problem.empty() && chosen != nullptr && chosen->ballot < accept.ballot)
      problem = "I7: " + show(chosen->entry) + " is chosen at slot " + digits(slot) + ", ballot " +
                show(chosen->ballot) + ", and ballot " + show(accept.ballot) + " proposes " + show(value);
  }
  return problem;
}

std::string ReplicaJudge::look_at_decided(std::span<const uint32_t> said, const Word& decided) const {
  std::string problem;
  bool known = false;
  each_word(said, [&](const Word& w) {
    if (w.slot != decided.slot) return;
    if (w.kind == Word::Kind::decided && !same(w.entry, decided.entry))
      problem = "I8: two members decided differently at slot " + digits(w.slot) + ": " + show(w.entry) +
                " and " + show(decided.entry);
    known = known || (w.kind == Word::Kind::voted && same(w.entry, decided.entry) && chosen(said, w));
  });
  if (problem.empty() && !known && !config_.harm_only)
    problem = "I8, I12: a member decided slot " + digits(decided.slot) + " = " + show(decided.entry) +
              ", which no quorum of the epoch's voters has accepted";
  return problem;
}

// I11: the members and the base of an epoch are those that its stop sign names, for everybody.
std::string ReplicaJudge::look_at_opened(std::span<const uint32_t> said, const Word& opened) const {
  if (config_.harm_only) return "";
  bool named = false;
  each_word(said, [&](const Word& w) {
    if (w.kind != Word::Kind::voted || named) return;
    const Membership next = stop_sign_membership(w.entry);
    named = next.epoch != 0 && next == opened.membership && chosen(said, w);
  });
  if (named) return "";
  return "I11: a member opens " + told(opened.membership) + ", which no chosen stop sign names";
}

// I5, within one epoch and one start of one disk.
std::string ReplicaJudge::look_at_reports(const std::vector<uint32_t>& own) const {
  for (uint32_t p : own) {
    const auto* promise = std::get_if<Promise>(&tables_.words[p].message);
    if (tables_.words[p].kind != Word::Kind::message || promise == nullptr) continue;
    for (uint32_t a : own) {
      const Word& vote = tables_.words[a];
      if (vote.kind != Word::Kind::voted || vote.ballot >= promise->ballot ||
          vote.ballot.epoch != promise->ballot.epoch || vote.incarnation != tables_.words[p].incarnation)
        continue;
      if (!tells(*promise, vote.slot, vote.ballot))
        return "I5: " + show(tables_.words[p]) + " keeps silent about slot " + digits(vote.slot) +
               ", accepted at ballot " + show(vote.ballot);
    }
  }
  return "";
}

std::string ReplicaJudge::look(std::span<const uint32_t> said, uint32_t who,
                               const std::vector<uint32_t>& added) const {
  bool reports = false;
  // What a disk accepts after an old image of it was put back binds nobody as long as nobody counts it; so
  // there only what is decided tells.
  const bool counts = config_.cluster->images == 0;
  for (uint32_t n : added) {
    const Word& word = tables_.words[n];
    std::string problem;
    if (word.kind == Word::Kind::voted && counts) problem = look_at_vote(said, word);
    if (word.kind == Word::Kind::decided) problem = look_at_decided(said, word);
    if (word.kind == Word::Kind::opened) problem = look_at_opened(said, word);
    if (word.kind == Word::Kind::message && counts) {
      if (const auto* accept = std::get_if<Accept>(&word.message)) problem = look_at_accept(said, *accept);
      reports = reports || std::holds_alternative<Promise>(word.message);
    }
    if (!problem.empty()) return problem;
  }
  const bool judged = !config_.harm_only && !config_.cluster->disks;  // an emptied disk reports nothing
  return reports && judged ? look_at_reports(tables_.sets[said[who]]) : "";
}

std::string ReplicaJudge::look_at_loss(std::span<const uint32_t> said,
                                       std::span<const Site* const> sites) const {
  std::string problem;
  each_word(said, [&](const Word& w) {
    if (w.kind != Word::Kind::voted || !problem.empty() || !chosen(said, w)) return;
    const bool held = std::any_of(sites.begin(), sites.end(), [&](const Site* site) {
      if (site->gone) return false;
      const paxos::LogSlot* slot = site->replica.acceptor().log().find(w.slot);
      return slot != nullptr && same(slot->entry, w.entry);
    });
    if (!held)
      problem = "I18: " + show(w.entry) + " is chosen at slot " + digits(w.slot) +
                ", and nobody who is left holds it";
  });
  return problem;
}

bool ReplicaJudge::may_retire(std::span<const uint32_t> said, NodeId node) const {
  bool told = false;
  each_word(said, [&](const Word& w) {
    if (w.kind != Word::Kind::opened || w.membership.find(node) != nullptr) return;
    if (config_.draft == Draft::a5_wiped_at_stop_sign) told = true;
    each_word(said, [&](const Word& d) {
      told = told || (d.kind == Word::Kind::decided && d.slot >= w.membership.base);
    });
  });
  return told;
}

}  // namespace decree::lab::model
