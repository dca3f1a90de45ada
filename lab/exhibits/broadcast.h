// Uniform total-order broadcast and consensus, each built on the other.
#pragma once

#include "lab/exhibits/ordered_group.h"
#include "lab/synod/properties.h"

namespace decree::lab {

struct BroadcastOptions {
  GroupOptions group;
  uint32_t messages_each = 3;
  uint32_t crashes = 1;
};
struct BroadcastRun {
  std::string name;
  std::vector<std::vector<uint32_t>> sent;       // [process - 1]: ids
  std::vector<std::vector<uint32_t>> delivered;  // [process - 1]
  std::vector<bool> correct;
  uint64_t data_messages = 0;
  uint64_t consensus_messages = 0;
  uint64_t instances = 0;
};
BroadcastRun run_broadcast(const BroadcastOptions& options);

// Validity, no duplication, no creation, uniform agreement, uniform total order.
std::vector<PropertyVerdict> check_broadcast(const BroadcastRun& run);

// Consensus from broadcast: everybody broadcasts its input and decides the first one delivered.
ConsensusRun consensus_by_broadcast(const GroupOptions& group, uint32_t crashes);

}  // namespace decree::lab
