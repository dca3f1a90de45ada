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
  std::vector<PromiseRun> runs;  // ascending, disjoint
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

// For base <= t <= highest reported slot: the report with the highest ballot, Laws above all. Ascending,
// without gaps.
std::vector<SlotPick> choose_values(std::span<const PromiseReport> quorum, Slot base);

// Cuts what a barrier made void: its leader's Election saw nothing above it, so no ballot of a lower term can
// have chosen, or ever choose, a slot above. `value_at` returns the picked entry (null for "none reported").
// Returns the values to propose from `base` on, no-ops where nothing binds. A stop sign ends the list.
std::vector<Entry> bind_values(std::span<const SlotPick> picks, uint64_t decided_term,
                               const std::function<const Entry*(const SlotPick&)>& value_at);

}  // namespace decree
