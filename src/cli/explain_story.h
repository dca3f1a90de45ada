// One story of a slot from what each member remembers of it. Pure: answers in, story out.
//
// Members stamp with monotonic clocks that have nothing in common. What brings two of them together is
// causality: a follower accepted AFTER the proposer proposed, and the proposer heard of its vote AFTER the
// follower's disk had it. Both bound the difference of the two clocks; the middle is taken, half the gap is
// the uncertainty. No wall clock is read, so none has to be right.
#pragma once

#include <vector>

#include "decree/explain.pb.h"

namespace decree::cli {

// `answers` about one slot; those of members that could not be asked are left out. Empty `slot` in the story:
// no answer knows anything about it.
explain::Story tell_story(const std::vector<explain::SlotResponse>& answers);

}  // namespace decree::cli
