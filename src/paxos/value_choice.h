// What a new leader must propose (paper: "Paxos Made Simple", section 2.2, phase 2a; protocol 2.5).
// Pure functions over the Promises of an election quorum: the heart of safety, shared by server,
// simulator and model checker.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "decree/message.h"

namespace decree {

// One acceptor's whole Promise, chunks joined.
struct PromiseReport {
  NodeId from;
  Slot decided;
  Slot snapshot_index;
  std::vector<PromiseRun> runs;           // ascending, disjoint
  std::vector<UnknownSlot> unknown = {};  // damaged at the reporter
};

// The value that outranks all others at a slot, by reference: accepted at `ballot` (or a Law) at `holder`.
struct SlotPick {
  Slot slot;
  Ballot ballot;
  bool law = false;
  NodeId holder;  // 0: nobody reported anything, propose a no-op
  friend bool operator==(const SlotPick&, const SlotPick&) = default;
};

// First slot the new ballot proposes. Everything below is a Law that somebody in the quorum holds by value.
// `asked_from` is the Prepare's f, `own_decided` the candidate's prefix (attacks A11, A12).
Slot choose_base(std::span<const PromiseReport> quorum, Slot own_decided, Slot asked_from, Slot epoch_base);

// How many of the reports count towards the quorum (protocol 2.14): one whose sender lost a slot to damage
// counts only where somebody reports, there, a Law or a ballot that nothing the sender may have accepted
// outranks, or where the slot lies below `base`. The values are chosen from all reports: what one that does
// not count tells of other slots is true.
size_t certain_count(std::span<const PromiseReport> reports, Slot base);

// For base <= t <= highest reported slot: the report with the highest ballot, Laws above all. Ascending,
// without gaps.
std::vector<SlotPick> choose_values(std::span<const PromiseReport> quorum, Slot base);

// Cuts what a barrier made void: its leader's Election saw nothing above it, so no ballot of a lower term can
// have chosen, or ever choose, a slot above. `value_at` returns the picked entry (null for "none reported").
// Returns the values to propose from `base` on, no-ops where nothing binds. A stop sign ends the list.
std::vector<Entry> bind_values(std::span<const SlotPick> picks, uint64_t decided_term,
                               const std::function<const Entry*(const SlotPick&)>& value_at);

}  // namespace decree
