// Valence: which decisions can still be reached. Exactly, by exploring every configuration of a small group
// with few ballots; and by witness, for groups that may retry for ever.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "lab/flp/kernel.h"

namespace decree::lab {

// A set of decisions as bits: 1 = 0 can be decided, 2 = 1 can be.
using Valence = uint8_t;
inline constexpr Valence kZeroValent = 1;
inline constexpr Valence kOneValent = 2;
inline constexpr Valence kBivalent = 3;
const char* valence_name(Valence v);

struct ValenceGraph {
  uint64_t configurations = 0;
  uint64_t edges = 0;
  std::array<uint64_t, 4> by_valence{};  // index = Valence; 0: nothing is decided any more (ballots used up)
  uint64_t critical = 0;                 // bivalent, and every event settles it
  uint64_t critical_with_fork = 0;       // ... with two events of opposite outcome
  uint64_t critical_at_one_process = 0;  // ... all such pairs at the same process: its silence blocks
  uint64_t disagreements = 0;            // configurations with two different decisions
  Valence initial = 0;
  bool exhausted = true;
  std::vector<std::string>
      critical_story;  // way to a critical configuration, and what each event there settles
};
// `configurations_max`: gives up (not exhausted) beyond.
ValenceGraph explore_valence(const KernelOptions& options, uint64_t configurations_max);

// Decisions that witnesses reach from here: each really executed on a copy.
Valence witnessed_valence(const KernelWorld& world);

// The first lemma of FLP, mechanically: input vectors that differ in one process, one deciding 0 and the
// other 1.
struct InitialStep {
  std::string inputs;
  Valence valence = 0;
  uint64_t configurations = 0;
};
std::vector<InitialStep> walk_initial_configurations(uint32_t voters);

// The third lemma: an adversary that for the next step which is due (a process's oldest message, or its
// clock) looks for a schedule that ends with this step in a bivalent configuration, and plays it.
struct LemmaResult {
  uint64_t stages = 0;  // steps that were due and taken
  uint64_t events = 0;  // all steps played
  uint64_t rounds = 0;
  uint64_t delivered = 0;
  uint64_t direct = 0;  // stages without any step in between
  uint64_t longest_detour = 0;
  bool stuck = false;  // no such schedule within the search limits
  std::optional<uint32_t> decided;
};
LemmaResult keep_bivalent(KernelWorld world, uint64_t stages, uint32_t detour_max);

// A run that never ends, as a finite object: the configuration at two moments, equal up to a shift of rounds,
// with every message of the first delivered and every process having taken a step in between.
struct Lasso {
  bool found = false;
  uint64_t head_step = 0;
  uint64_t length_steps = 0;
  uint64_t length_rounds = 0;
  uint64_t hash_at_head = 0;
  uint64_t hash_at_end = 0;
  bool fair = false;
  uint64_t bivalent_configurations = 0;  // on the loop, by witness; all of them, or it is no proof
};
Lasso find_lasso(const KernelOptions& options, uint64_t steps_max);

}  // namespace decree::lab
