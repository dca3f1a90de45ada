// What a start must find.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "decree/record.h"

namespace decree::lab {

struct Expected {
  std::map<Slot, AcceptedEntry> accepted;
  Ballot promised;
  Membership membership;
  bool has_membership = false;
  Slot snapshot;  // newest durable file
  Slot decided;   // highest hint
  uint64_t boot = 0;

  void mean(const Record& record);
};

// Empty, or what is wrong with `found`: it must be one of the `possible` states, of which the first was
// acknowledged and the later ones were on their way.
std::string compare(const RecoveredState& found, const std::vector<Expected>& possible);

}  // namespace decree::lab
