#include "paxos/value_choice.h"

#include <algorithm>

#include "base/planted_bugs.h"
#include "paxos/acceptor.h"

namespace decree {

Slot choose_base(std::span<const PromiseReport> quorum, Slot own_decided, Slot asked_from, Slot epoch_base) {
  Slot below = std::max(own_decided, std::max(asked_from.prev(), epoch_base.prev()));
  if (planted(PlantedBug::base_from_reports_only)) below = epoch_base.prev();
  for (const PromiseReport& report : quorum) below = std::max({below, report.decided, report.snapshot_index});
  return below.next();
}

namespace {

bool outranks(const PromiseRun& run, const SlotPick& pick) {
  if (pick.holder == NodeId(0)) return true;
  if (run.law != pick.law) return run.law;
  if (planted(PlantedBug::lowest_ballot)) return run.ballot < pick.ballot;
  return run.ballot > pick.ballot;
}

}  // namespace

namespace {

bool reports_over(const PromiseReport& report, const UnknownSlot& lost) {
  for (const UnknownSlot& own : report.unknown)
    if (own.slot == lost.slot) return false;
  for (const PromiseRun& run : report.runs)
    if (run.slots.contains(lost.slot)) return run.law || run.ballot >= lost.bound;
  return false;
}

}  // namespace

size_t certain_count(std::span<const PromiseReport> reports, Slot base) {
  if (planted(PlantedBug::unknown_counts_as_none)) return reports.size();
  const auto settled = [&](const UnknownSlot& lost) {
    return lost.slot < base || std::any_of(reports.begin(), reports.end(),
                                           [&](const PromiseReport& r) { return reports_over(r, lost); });
  };
  return static_cast<size_t>(std::count_if(reports.begin(), reports.end(), [&](const PromiseReport& report) {
    return std::all_of(report.unknown.begin(), report.unknown.end(), settled);
  }));
}

std::vector<SlotPick> choose_values(std::span<const PromiseReport> quorum, Slot base) {
  Slot end = base;
  for (const PromiseReport& report : quorum)
    for (const PromiseRun& run : report.runs) end = std::max(end, run.slots.end);
  std::vector<SlotPick> picks(end - base);
  for (size_t i = 0; i < picks.size(); ++i) picks[i].slot = base + i;
  for (const PromiseReport& report : quorum) {
    for (const PromiseRun& run : report.runs) {
      for (Slot s = std::max(run.slots.first, base); s < run.slots.end; s = s.next()) {
        SlotPick& pick = picks[s - base];
        if (!outranks(run, pick)) continue;
        pick.ballot = run.ballot;
        pick.law = run.law;
        pick.holder = report.from;
      }
    }
  }
  return picks;
}

std::vector<Entry> bind_values(std::span<const SlotPick> picks, uint64_t decided_term,
                               const std::function<const Entry*(const SlotPick&)>& value_at) {
  std::vector<Entry> values;
  size_t bound = 0;  // values up to here were reported; trailing no-ops are dropped
  uint64_t barrier = decided_term;
  for (const SlotPick& pick : picks) {
    const bool void_report =
        !pick.law && pick.ballot.term() < barrier && !planted(PlantedBug::void_report_revived);
    if (pick.holder == NodeId(0) || void_report) {
      values.emplace_back();
      continue;
    }
    const Entry* value = value_at(pick);
    DECREE_CHECK(value != nullptr, "every picked value was fetched before it is bound");
    values.push_back(*value);
    bound = values.size();
    barrier = std::max(barrier, barrier_term(*value));
    if (value->kind == EntryKind::stop_sign) break;  // nothing of this epoch lies above
  }
  values.resize(bound);
  return values;
}

}  // namespace decree
