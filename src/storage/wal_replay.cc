// What the records mean: LogReplay of wal_recovery.h.
#include <algorithm>

#include "base/planted_bugs.h"
#include "storage/wal_recovery.h"

namespace decree::storage {

void LogReplay::apply(const Record& record) {
  if (const auto* a = std::get_if<AcceptRecord>(&record)) {
    accept(*a);
  } else if (const auto* l = std::get_if<LawRecord>(&record)) {
    law(*l);
  } else if (const auto* e = std::get_if<EpochRecord>(&record)) {
    // Repeated at the head of every segment: the same epoch again changes nothing.
    if (!carried.has_epoch || e->membership.epoch > carried.epoch.membership.epoch) {
      carried.has_epoch = true;
      carried.epoch = *e;
      void_older(e->membership);
    }
  } else if (const auto* d = std::get_if<DecidedRecord>(&record)) {
    carried.decided.upto = std::max(carried.decided.upto, d->upto);
  } else if (const auto* s = std::get_if<SnapshotRecord>(&record)) {
    if (s->index > carried.snapshot.index) {
      decided_before_snapshot = carried.decided.upto;
      carried.snapshot = *s;
    }
  }
}

void LogReplay::accept(const AcceptRecord& record) {
  highest = std::max(highest, record.ballot);
  Slot slot = record.first;
  for (const Entry& entry : record.entries) {
    if (slot > floor_) {
      AcceptedEntry& held = accepted[slot];
      // A Law stays a Law (attack A14); its value is chosen, so a later ballot can only repeat it.
      if (!held.law) held.entry = entry;
      held.ballot = record.ballot;
      if (const auto lost = unknown.find(slot); lost != unknown.end() && lost->second <= record.ballot)
        unknown.erase(lost);
    }
    slot = slot.next();
  }
}

void LogReplay::law(const LawRecord& record) {
  Slot slot = record.first;
  for (const Entry& entry : record.entries) {
    if (slot > floor_) {
      AcceptedEntry& held = accepted[slot];
      // The ballot is kept where it was a ballot of this very value.
      if (!(held.entry == entry)) held.ballot = Ballot{};
      held.entry = entry;
      held.law = true;
      unknown.erase(slot);
    }
    slot = slot.next();
  }
}

// At every epoch record, not only the newest: an epoch after the next must not bring back what this one
// voided.
void LogReplay::void_older(const Membership& membership) {
  for (auto it = accepted.lower_bound(membership.base); it != accepted.end();) {
    const bool is_void = !it->second.law && it->second.ballot.epoch < membership.epoch;
    it = is_void ? accepted.erase(it) : std::next(it);
  }
  for (auto it = unknown.lower_bound(membership.base); it != unknown.end();)
    it = it->second.epoch < membership.epoch ? unknown.erase(it) : std::next(it);
}

void LogReplay::lose(SlotRange slots, const Ballot& bound) {
  highest = std::max(highest, bound);
  for (Slot slot = std::max(slots.first, floor_.next()); slot < slots.end; slot = slot.next()) {
    const auto held = accepted.find(slot);
    if (held != accepted.end() && held->second.law) continue;  // a Law stays a Law
    // What was accepted before is outranked by what is lost: to report it as the newest would be a lie.
    if (planted(PlantedBug::lost_batch_keeps_older) && held != accepted.end()) continue;
    accepted.erase(slot);
    Ballot& worst = unknown[slot];
    worst = std::max(worst, bound);
  }
}

std::string snapshot_problem(const RecoveredLog& log, const LogReplay& replay, Slot snapshot_index,
                             Slot truncated_upto) {
  const Slot recorded = log.carried.snapshot.index;
  if (snapshot_index >= recorded && snapshot_index >= truncated_upto) return "";
  const Slot needed = std::max(recorded, truncated_upto);
  const std::string what = "the snapshot at slot " + std::to_string(needed.value) + " is missing or damaged";
  if (truncated_upto > snapshot_index) return what + ", and the log before it has been dropped";
  // The file is lost, but the log still holds everything since the older one, and this member had decided it
  // itself.
  for (Slot slot = snapshot_index.next(); slot <= recorded; slot = slot.next()) {
    const auto held = log.accepted.find(slot);
    if (held == log.accepted.end())
      return what + ", and the log does not hold slot " + std::to_string(slot.value) + " that it covered";
    if (!held->second.law && slot > replay.decided_before_snapshot)
      return what + ", and the log does not prove what was decided at slot " + std::to_string(slot.value);
  }
  return "";
}

}  // namespace decree::storage
