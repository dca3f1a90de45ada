// Adversaries that only delay. They see the pool of messages and nothing else: no state of a process, no
// script.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab/flp/async_world.h"
#include "lab/sim/random.h"

namespace decree::lab {

// 0 and 1 in turn: a configuration from which both can be decided.
inline std::vector<uint32_t> mixed_inputs(uint32_t processes) {
  std::vector<uint32_t> inputs;
  for (uint32_t p = 0; p < processes; ++p) inputs.push_back(p % 2);
  return inputs;
}

// Holds back the one vote that would make a leader, until the candidate itself has gone on to a higher round;
// then the vote is stale, and is delivered. Every message arrives in the end, nobody crashes.
class PoolAdversary {
 public:
  // order_seed 0: always the oldest message that may go; else any of them, drawn.
  PoolAdversary(uint32_t processes, uint64_t order_seed)
      : processes_(processes), seed_(order_seed), random_(order_seed) {}

  // Has to see every message of the pool once; call before each choice.
  void watch(const AsyncWorld& world);
  // Index in the pool; none: nothing may be delivered now.
  std::optional<size_t> choose(const AsyncWorld& world);
  void delivered(const PoolMessage& m);
  // Whose clock goes off when nothing may be delivered.
  uint32_t next_clock() { return turn_ = turn_ % processes_ + 1; }

  bool would_make_a_leader(const PoolMessage& m) const;
  // For proving a cycle: what the choices depend on, rounds through `round`.
  std::string state(const std::function<uint32_t(uint32_t)>& round) const;

 private:
  uint32_t processes_;
  uint64_t seed_;
  Random random_;
  uint64_t watched_ = 0;                 // ids up to here
  std::map<uint32_t, Ballot> newest_;    // by candidate: its newest Prepare
  std::map<uint32_t, Ballot> promised_;  // by process: highest ballot it promised
  std::map<uint32_t, uint32_t> votes_;   // by candidate: promises of others delivered for the newest ballot
  uint32_t turn_ = 0;
};

struct SiegeResult {
  uint64_t rounds = 0;
  uint64_t delivered = 0;
  uint64_t ticks = 0;
  uint64_t longest_wait = 0;  // of a message, in deliveries
  uint64_t held_at_end = 0;
  bool drained = false;  // what was in the pool at the end was all delivered afterwards, as stale
  std::optional<uint32_t> decided;
};

// Lets the adversary run the world until `rounds` Elections have begun or something is decided.
// `on_round` is called whenever a new one has begun; false stops.
SiegeResult besiege(AsyncWorld& world, PoolAdversary& adversary, uint64_t rounds,
                    const std::function<bool(uint64_t round)>& on_round);

// Only `favourite`'s clock goes; the others answer, what their own candidacies sent is delayed, and so is all
// that comes from `silent` (0: nobody). What is then decided could be decided from here: a witness of
// valence, really executed.
std::optional<uint32_t> let_win(AsyncWorld& world, uint32_t favourite, uint32_t silent, uint64_t steps_max);

// At most so many ticks of everybody's clock: what an adversary may delay when it has a bound. After
// `calm_from` ticks it delays nothing any more (synchrony after some time).
struct BoundedSiege {
  uint64_t delay_ticks = 0;
  uint64_t calm_from_ticks = UINT64_MAX;
  uint64_t rounds_max = 1000;
};
SiegeResult besiege_bounded(AsyncWorld& world, PoolAdversary& adversary, const BoundedSiege& siege);

}  // namespace decree::lab
