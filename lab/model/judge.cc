#include "lab/model/judge.h"

#include <set>

namespace decree::lab::model {

namespace {

std::string letter(NodeId node) { return std::string(1, static_cast<char>('A' + node.value - 1)); }
std::string number(Slot slot) { return std::to_string(slot.value); }

const Entry* entry_in(const Note& accept, Slot slot) {
  if (slot < accept.slot || slot >= accept.slot + accept.entries.size()) return nullptr;
  return &accept.entries[slot - accept.slot];
}

// Whether `promise` speaks about `slot` with a ballot of at least `ballot`.
bool tells(const Note& promise, Slot slot, Ballot ballot) {
  if (promise.decided >= slot || promise.snapshot >= slot) return true;
  if (promise.damaged == slot && promise.bound >= ballot) return true;
  for (const PromiseRun& run : promise.runs)
    if (run.slots.contains(slot) && (run.law || run.ballot >= ballot)) return true;
  return false;
}

// The ballot that `accepted` binds its member to at `slot`: of what it knew to be chosen, the one on its
// disk.
Ballot bound_to(const Note& accepted, Slot slot) {
  for (const PromiseRun& run : accepted.runs)
    if (run.slots.contains(slot)) return run.ballot;
  return accepted.ballot;
}

}  // namespace

std::string show(const Ballot& b) {
  if (b.is_none()) return "none";
  const std::string epoch = b.epoch == 0 ? "" : "e" + std::to_string(b.epoch) + ".";
  return epoch + std::to_string(b.round) + letter(b.node);
}

std::string show(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::noop:
      return "no-op";
    case EntryKind::barrier:
      return "barrier of " + show(barrier_ballot(entry));
    case EntryKind::stop_sign:
    case EntryKind::command:
      break;
  }
  const std::string word = entry.kind == EntryKind::command ? "v" : "STOP";
  const std::string boot = entry.id.boot > 1 ? " of start " + std::to_string(entry.id.boot) : "";
  return word + "[" + std::to_string(entry.id.seq / 100) + letter(entry.id.node) + " slot " +
         std::to_string(entry.id.seq % 100) + boot + "]";
}

std::string show(const Note& n) {
  switch (n.kind) {
    case Note::Kind::prepare:
      return "Prepare(" + show(n.ballot) + ")";
    case Note::Kind::promise: {
      std::string text = "Promise(" + show(n.ballot) + ", decided " + number(n.decided);
      size_t at = 0;
      for (const PromiseRun& run : n.runs)
        for (Slot s = run.slots.first; s < run.slots.end; s = s.next())
          text += "; slot " + number(s) + " " + (run.law ? "Law" : "at " + show(run.ballot)) + " " +
                  show(n.entries[at++]);
      if (n.damaged != Slot(0)) text += "; slot " + number(n.damaged) + " unknown up to " + show(n.bound);
      return text + (n.runs.empty() ? "; nothing accepted)" : ")");
    }
    case Note::Kind::accept: {
      std::string text = "Accept(" + show(n.ballot) + ", slot " + number(n.slot);
      for (const Entry& entry : n.entries) text += ", " + show(entry);
      return text + ")";
    }
    case Note::Kind::law:
      return "Law(" + show(n.ballot) + ", decided " + number(n.slot) + ")";
    case Note::Kind::chosen:
      return "Chosen(up to slot " + number(n.slot) + ")";
    case Note::Kind::accepted:
      return "Accepted(" + show(n.ballot) + ", up to slot " + number(n.slot) +
             (n.runs.empty() ? ")" : ", of which chosen: slot " + number(n.runs[0].slots.first) + ")");
    case Note::Kind::voted:
      return "has slot " + number(n.slot) + " = " + show(n.entries[0]) + " at " + show(n.ballot) + " durable";
    case Note::Kind::applied:
      return "has applied up to slot " + number(n.slot);
  }
  return "?";
}

bool Judge::chosen(std::span<const uint32_t> said, uint32_t vote) const {
  uint32_t votes = 0;
  for (uint32_t set : said) votes += tables_.sets.contains(set, vote) ? 1 : 0;
  return votes >= config_.bill_quorum;
}

const Note* Judge::chosen_at(std::span<const uint32_t> said, Slot slot, const Entry& other_than) const {
  for (uint32_t set : said)
    for (uint32_t n : tables_.sets[set]) {
      const Note& vote = tables_.notes[n];
      if (vote.kind == Note::Kind::voted && vote.slot == slot && !(vote.entries[0] == other_than) &&
          chosen(said, n))
        return &vote;
    }
  return nullptr;
}

std::string Judge::look_at_vote(std::span<const uint32_t> said, uint32_t n) const {
  if (!chosen(said, n)) return "";
  const Note& vote = tables_.notes[n];
  const Entry& value = vote.entries[0];
  if (const Note* other = chosen_at(said, vote.slot, value); other != nullptr)
    return "I7: two values are chosen at slot " + number(vote.slot) + ": " + show(other->entries[0]) +
           " at ballot " + show(other->ballot) + ", and " + show(value) + " at ballot " + show(vote.ballot);
  if (!config_.harm_only)
    for (uint32_t set : said)
      for (uint32_t a : tables_.sets[set]) {
        const Note& accept = tables_.notes[a];
        if (accept.kind != Note::Kind::accept || accept.ballot <= vote.ballot) continue;
        const Entry* proposed = entry_in(accept, vote.slot);
        if (proposed != nullptr && !(*proposed == value))
          return "I7: " + show(value) + " is chosen at slot " + number(vote.slot) + ", ballot " +
                 show(vote.ballot) + ", and ballot " + show(accept.ballot) + " proposes " + show(*proposed);
      }
  return config_.stop ? look_at_stop(said) : "";
}

std::string Judge::look_at_stop(std::span<const uint32_t> said) const {
  const Note* stop = nullptr;
  const Note* above = nullptr;
  for (uint32_t set : said)
    for (uint32_t n : tables_.sets[set]) {
      const Note& vote = tables_.notes[n];
      if (vote.kind != Note::Kind::voted || !chosen(said, n)) continue;
      if (vote.entries[0].kind == EntryKind::stop_sign && (stop == nullptr || vote.slot < stop->slot))
        stop = &vote;
      if (above == nullptr || vote.slot > above->slot) above = &vote;
    }
  if (stop == nullptr || above->slot <= stop->slot || above->ballot.epoch != stop->ballot.epoch) return "";
  return "I11: slot " + number(above->slot) + " = " + show(above->entries[0]) +
         " is chosen above the stop sign " + show(stop->entries[0]) + ", which is chosen at slot " +
         number(stop->slot);
}

std::string Judge::look_at_accept(std::span<const uint32_t> said, const Note& accept) const {
  if (config_.harm_only) return "";
  for (size_t i = 0; i < accept.entries.size(); ++i) {
    const Slot slot = accept.slot + i;
    for (uint32_t set : said)
      for (uint32_t n : tables_.sets[set]) {
        const Note& other = tables_.notes[n];
        if (other.kind != Note::Kind::accept || other.ballot != accept.ballot) continue;
        const Entry* value = entry_in(other, slot);
        if (value != nullptr && !(*value == accept.entries[i]))
          return "I1: ballot " + show(accept.ballot) + " proposes two values at slot " + number(slot) + ": " +
                 show(*value) + " and " + show(accept.entries[i]);
      }
    const Note* chosen = chosen_at(said, slot, accept.entries[i]);
    if (chosen != nullptr && chosen->ballot < accept.ballot)
      return "I7: " + show(chosen->entries[0]) + " is chosen at slot " + number(slot) + ", ballot " +
             show(chosen->ballot) + ", and ballot " + show(accept.ballot) + " proposes " +
             show(accept.entries[i]);
  }
  return "";
}

std::string Judge::look_at_chosen(std::span<const uint32_t> said, const Note& note) const {
  for (size_t i = 0; i < note.entries.size(); ++i) {
    const Slot slot = note.base + i;
    for (uint32_t set : said)
      for (uint32_t n : tables_.sets[set]) {
        const Note& other = tables_.notes[n];
        if (other.kind != Note::Kind::chosen || slot < other.base || slot > other.slot) continue;
        const Entry& value = other.entries[slot - other.base];
        if (!(value == note.entries[i]))
          return "I8: two members decided differently at slot " + number(slot) + ": " + show(value) +
                 " and " + show(note.entries[i]);
      }
    if (config_.harm_only) continue;
    bool known = false;
    for (uint32_t set : said)
      for (uint32_t n : tables_.sets[set]) {
        const Note& vote = tables_.notes[n];
        known = known || (vote.kind == Note::Kind::voted && vote.slot == slot &&
                          vote.entries[0] == note.entries[i] && chosen(said, n));
      }
    if (!known)
      return "I8: a member holds slot " + number(slot) + " = " + show(note.entries[i]) +
             " for decided, which is not chosen";
  }
  return "";
}

// I5: every Promise lists what its member ever acknowledged at a lower ballot, before or after.
std::string Judge::look_at_reports(const std::vector<uint32_t>& own) const {
  for (uint32_t p : own) {
    const Note& promise = tables_.notes[p];
    if (promise.kind != Note::Kind::promise) continue;
    for (uint32_t a : own) {
      const Note& accepted = tables_.notes[a];
      if (accepted.kind != Note::Kind::accepted || accepted.ballot >= promise.ballot) continue;
      for (Slot s = accepted.base; s <= accepted.slot; s = s.next())
        if (!tells(promise, s, bound_to(accepted, s)))
          return "I5: " + show(promise) + " keeps silent about slot " + number(s) +
                 ", acknowledged at ballot " + show(accepted.ballot);
    }
  }
  return "";
}

std::string Judge::look(std::span<const uint32_t> said, uint32_t who,
                        const std::vector<uint32_t>& added) const {
  bool reports = false;
  for (uint32_t n : added) {
    const Note& note = tables_.notes[n];
    std::string problem;
    if (note.kind == Note::Kind::voted) problem = look_at_vote(said, n);
    if (note.kind == Note::Kind::accept) problem = look_at_accept(said, note);
    if (note.kind == Note::Kind::chosen) problem = look_at_chosen(said, note);
    if (!problem.empty()) return problem;
    reports = reports || note.kind == Note::Kind::promise || note.kind == Note::Kind::accepted;
  }
  if (reports && !config_.harm_only) return look_at_reports(tables_.sets[said[who]]);
  return "";
}

std::string Judge::look_at_restart(std::span<const uint32_t> said, uint32_t who, Ballot promised) const {
  if (config_.harm_only) return "";
  for (uint32_t n : tables_.sets[said[who]]) {
    const Note& note = tables_.notes[n];
    if ((note.kind == Note::Kind::promise || note.kind == Note::Kind::accepted) && note.ballot > promised)
      return "I3: after its restart the member promises " + show(promised) + " only, and had said " +
             show(note);
  }
  return "";
}

std::string Judge::outcome(std::span<const uint32_t> said) const {
  std::set<std::string> lines;
  for (uint32_t set : said)
    for (uint32_t n : tables_.sets[set]) {
      const Note& vote = tables_.notes[n];
      if (vote.kind == Note::Kind::voted && chosen(said, n))
        lines.insert(number(vote.slot) + "=" + show(vote.entries[0]) + " ");
    }
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

}  // namespace decree::lab::model
