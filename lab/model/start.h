// How a configuration begins: membership, ballots, and what every member finds on its disk.
#pragma once

#include <vector>

#include "lab/model/node.h"

namespace decree::lab::model {

struct Beginning {
  Membership membership;
  std::vector<Ballot> rounds;    // ascending: who may run with which ballot
  std::vector<uint32_t> owners;  // of the rounds
  Ballot initial;                // first ballot of an epoch that opened with a leader; else none
  uint32_t initial_owner = ~0u;
  uint32_t dead = 0;            // bit per member that takes no step
  std::vector<uint32_t> nodes;  // per member: its state
  std::vector<uint32_t> sets;   // per member: what it has said
};

Beginning make_start(const Config& config, size_t pattern, Tables& tables);

// Attack A16's draft: adds Promises whose chunks come from two captures, cut at every slot.
void add_mixed(std::vector<uint32_t>& promises, uint32_t slots, Tables& tables);

}  // namespace decree::lab::model
