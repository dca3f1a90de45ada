#include "lab/enumerate/expected.h"

#include <algorithm>

namespace decree::lab {

namespace {

std::string at(Slot slot, const char* what) { return "slot " + std::to_string(slot.value) + " " + what; }

std::string difference(const RecoveredState& found, const Expected& expected) {
  if (found.has_membership != expected.has_membership) return "membership there or not";
  if (found.has_membership && !(found.membership == expected.membership)) return "another membership";
  for (const auto& [slot, held] : expected.accepted) {
    if (slot <= found.snapshot_index) continue;
    const auto it = found.accepted.find(slot);
    if (it == found.accepted.end()) return at(slot, "is lost");
    if (!(it->second.entry == held.entry)) return at(slot, "has another value");
    if (it->second.ballot != held.ballot) return at(slot, "has another ballot");
    if (it->second.law != held.law) return at(slot, "is Law or not");
  }
  for (const auto& [slot, held] : found.accepted)
    if (!expected.accepted.contains(slot)) return at(slot, "is invented");
  return "";
}

}  // namespace

void Expected::mean(const Record& record) {
  if (const auto* a = std::get_if<AcceptRecord>(&record)) {
    Slot slot = a->first;
    for (const Entry& entry : a->entries) {
      AcceptedEntry& held = accepted[slot];
      held.entry = entry;
      held.ballot = a->ballot;
      slot = slot.next();
    }
    promised = std::max(promised, a->ballot);
  } else if (const auto* l = std::get_if<LawRecord>(&record)) {
    Slot slot = l->first;
    for (const Entry& entry : l->entries) {
      AcceptedEntry& held = accepted[slot];
      if (!(held.entry == entry)) held.ballot = Ballot{};
      held.entry = entry;
      held.law = true;
      slot = slot.next();
    }
  } else if (const auto* p = std::get_if<PromiseRecord>(&record)) {
    promised = std::max(promised, p->promised);
  } else if (const auto* d = std::get_if<DecidedRecord>(&record)) {
    decided = std::max(decided, d->upto);
  } else if (const auto* e = std::get_if<EpochRecord>(&record)) {
    promised = std::max(promised, e->initial_ballot);  // who opened an epoch answers nothing older
    membership = e->membership;
    has_membership = true;
    std::erase_if(accepted, [&](const auto& held) {
      return held.first >= e->membership.base && !held.second.law &&
             held.second.ballot.epoch < e->membership.epoch;
    });
  }
}

std::string compare(const RecoveredState& found, const std::vector<Expected>& possible) {
  const Expected& before = possible.front();
  const Expected& after = possible.back();
  std::string problem;
  for (const Expected& expected : possible) {
    const std::string one = difference(found, expected);
    if (one.empty()) {
      problem.clear();
      break;
    }
    problem += (problem.empty() ? "acknowledged: " : "; or with what was under way: ") + one;
  }
  if (!problem.empty()) return problem;
  if (found.promised < before.promised) return "the promise went back";
  if (found.promised > after.promised) return "a promise was invented";
  if (found.snapshot_index < before.snapshot) return "the snapshot is lost";
  if (found.snapshot_index > after.snapshot) return "a snapshot was invented";
  if (found.decided_hint > std::max(after.decided, after.snapshot)) return "a decision was invented";
  if (found.boot <= before.boot) return "a boot number was used twice";
  return "";
}

}  // namespace decree::lab
