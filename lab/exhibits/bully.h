// Leader election by bully: right while delays are bounded, two coordinators as soon as one message is late;
// beside it, leadership by ballots, where a deposed leader may still believe in itself but can decide nothing
// (row M5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace decree::lab {

struct BullyOptions {
  uint32_t processes = 5;
  uint32_t starter = 1;  // notices that the coordinator, the highest process, has crashed
  uint64_t seed = 1;
  uint64_t delay_ms_max = 10;
  std::optional<uint64_t> late_message;  // this one (counted from 0) takes ten times the bound
};
struct BullyNote {
  uint64_t at_ms = 0;
  uint32_t process = 0;  // 0: nobody in particular
  std::string text;
};
struct BullyMessage {
  const char* name = "";  // "Election", "Answer", "Coordinator"
  uint32_t from = 0;
  uint32_t to = 0;
  uint64_t sent_ms = 0;
  uint64_t arrives_ms = 0;
};
struct BullyRun {
  uint64_t messages = 0;
  std::vector<uint32_t> coordinator;  // [process - 1]: whom it follows at the end; 0 nobody
  // Two living processes thought themselves coordinator at the same time.
  bool two_coordinators = false;
  // ... and still did when all messages had arrived.
  bool two_at_the_end = false;
  bool settled = false;  // at the end all living processes follow one living process
  std::vector<BullyNote> story;
  std::vector<BullyMessage> sent;
};
BullyRun run_bully(const BullyOptions& options);

// The same situation with the shipped replicas: the leader is cut off with its Bill on the way, another is
// elected, the old one's Bill arrives late. Both believe they lead; only one can decide.
struct RivalLeaders {
  uint32_t old_leader = 0;
  uint32_t new_leader = 0;
  bool both_lead = false;             // at one moment
  bool old_decided_anything = false;  // its late Bill was counted anywhere
  uint64_t refusals = 0;              // Nacks that its late messages met
  std::optional<uint32_t> decided;    // the value
  std::optional<uint32_t> old_value;
  std::optional<uint32_t> new_value;
};
RivalLeaders run_rival_leaders(uint32_t processes, uint64_t seed);

}  // namespace decree::lab
