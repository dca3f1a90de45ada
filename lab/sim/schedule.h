// A run written down as what the world does to the members, step by step, without a seed: who is asked what,
// whose clock goes on, which message arrives, who crashes and starts. docs/simulator_schedules.md tells what
// a step is and what the file looks like.
//
// A message that no step delivers is lost. What members do by themselves - turns of their loops, log writes,
// workers - happens right after the step that caused it where `automatic` says so, else by steps of its own.
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <variant>
#include <vector>

#include "decree/message.h"
#include "decree/result.h"
#include "lab/check/history.h"
#include "lab/sim/disk.h"
#include "lab/sim/swarm.h"

namespace decree::lab {

constexpr size_t kMessageKinds = std::variant_size_v<Message>;
const char* message_kind_name(size_t kind);

enum class StepKind : uint8_t {
  time,        // member's clock goes on n ticks, one by one; member 0: everybody's
  jump,        // ... n ticks at once
  deliver,     // member -> other: the n-th newest message of `what` on this link arrives (again)
  request,     // client n asks member for `operation`
  give_up,     // client n does not wait any longer
  crash,       // what: 0 the process, 1 the power; fate: which unsynced writes are found later
  start,       // member's process
  pause,       // SIGSTOP
  resume,      // SIGCONT
  connect,     // member - other
  disconnect,  // both notice
  transfer,    // member is asked to hand leadership to `other` (0: to anybody)
  hold,        // member's log writes do not end any more, until release or a crash
  release,
  disk,     // member's oldest log write ends
  work,     // member's n-th oldest worker ends
  notice,   // member learns that its connection to other is up (n = 1) or down
  turn,     // member's loop runs
  compact,  // member is asked to keep the newest n revisions; other = 1: and to wait until it is done
  change,   // member is asked to change the membership: what = 1: roles too, fate: how
  harm,     // member's disk is damaged or fails as `what` (Harm) says; n: how many operations, fate: where
  count,
};
const char* step_name(StepKind kind);

struct Step {
  StepKind kind = StepKind::time;
  uint8_t member = 0;
  uint8_t other = 0;
  uint8_t what = 0;
  uint32_t n = 0;
  uint32_t operation = 0;  // index into Schedule::operations
  uint64_t fate = 0;
};

struct Schedule {
  std::string checker;  // what it is known to break; empty: nothing
  std::string plant;    // the planted bug that has to be inside
  Swarm swarm;          // members, limits, disks; no faults are drawn from it
  // Bit per member (bit 0 unused): its turns, log writes and workers need no steps.
  uint32_t automatic_turns = ~0u;
  uint32_t automatic_disks = ~0u;
  uint32_t automatic_works = ~0u;
  std::array<bool, kMessageKinds> automatic_messages{};  // arrive at once, in order
  uint32_t automatic_notices = ~0u;                      // of connections
  bool started = true;                                   // all members run when the first step comes
  bool forks =
      false;  // every Promise and Accepted forks the sender's disk (the last ones of a long schedule)
  bool early_persisted = false;  // RunOptions::early_persisted
  bool settle = false;           // after the last step all faults end, and the cluster has to come to rest
  std::vector<Operation> operations;
  std::vector<Step> steps;

  // A step of the trailer counts as one.
  size_t length() const { return steps.size() + (settle ? 1 : 0); }
};

void write_schedule(const Schedule& schedule, std::ostream& out);
// The error names the line.
Result<Schedule> read_schedule(std::istream& in);
// One line for the story, without the consequences.
std::string describe(const Step& step, const Schedule& schedule);

}  // namespace decree::lab
