// One-shot consensus on the shipped replica: N processes with inputs x_p and write-once outputs y_p. A
// process that becomes leader proposes x_p only if its Election brought no value to adopt; y_p is the first
// command of the log. Same options, same run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "decree/types.h"
#include "lab/synod/properties.h"
#include "lab/synod/schedule.h"

namespace decree::lab {

// When the leader is killed for good.
enum class KillLeader : uint8_t {
  never,
  after_point,   // right after the step in which the value became irrevocable
  before_point,  // instead of that step: the log write that would have been the quorum's last is lost with it
};

// A line of the story. Process 0: nobody in particular.
struct SynodNote {
  uint64_t step = 0;
  uint64_t at_ms = 0;
  uint32_t process = 0;
  const char* phase = "";  // "ELECTION", "BILL", "LAW", "FAULT", "POINT", "OUTPUT"
  Ballot ballot;           // none when the line belongs to no round
  std::string text;
};

struct SynodOptions {
  uint32_t processes = 3;
  std::vector<std::string> inputs;  // x_1, x_2, ...; one per process
  uint64_t seed = 1;
  SynodSchedule schedule;
  KillLeader kill = KillLeader::never;
  // Votes too few in the definition of the point of no return. Tests only: with 1 the claim is false.
  uint32_t point_votes_missing = 0;
  uint64_t horizon_ms = 60000;
  std::function<void(const SynodNote&)> story;        // null: not told
  std::function<void(const std::string&)> json_line;  // null: not written
};

// Where the value became irrevocable.
struct PointOfNoReturn {
  uint64_t step = 0;
  uint64_t at_ms = 0;
  uint32_t process = 0;  // whose log write it was
  Ballot ballot;
  std::string value;
};

struct SynodResult {
  ConsensusRun run;
  std::optional<PointOfNoReturn> point;
  std::string breach;  // an invariant of docs/invariants.md that broke, or empty
  uint64_t steps = 0;
  uint64_t ended_ms = 0;
  uint64_t first_known_ms = 0;  // when the first process knew; 0 = nobody
  uint64_t messages = 0;
  uint64_t lost = 0;
  uint64_t crashes = 0;
  uint64_t ballots = 0;
  uint64_t aborts = 0;  // a candidate or leader heard of a higher round
  uint64_t hash = 0;
};

SynodResult run_synod(const SynodOptions& options);

// Runs once to find the point, then again with the leader killed at it. `before`: the run without the kill.
SynodResult run_synod_with_kill(SynodOptions options, SynodResult* before);

std::string show_round(const Ballot& ballot);

}  // namespace decree::lab
