// Quorums as pure values.
#pragma once

#include <algorithm>
#include <vector>

#include "decree/types.h"

namespace decree::paxos {

// Highest slot that at least `quorum` of the voters' positions have reached; slot 0 when there are fewer
// voters.
inline Slot quorum_position(std::vector<Slot>& positions, uint32_t quorum) {
  if (quorum == 0 || positions.size() < quorum) return Slot(0);
  std::nth_element(positions.begin(), positions.begin() + (quorum - 1), positions.end(), std::greater<>());
  return positions[quorum - 1];
}

}  // namespace decree::paxos
