// What happens to the processes and the network of a synod run: drawn from a seed, or given in a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace decree::lab {

enum class SynodAct : uint8_t {
  crash,    // a: loses what is not in its log
  restart,  // a: looks at its log
  cut,      // nothing from a reaches b, and the other way round
  deafen,   // nothing reaches a (a one-way cut)
  heal,     // all cuts end
  rival,    // a becomes a would-be leader beside the present one
};

struct SynodAction {
  uint64_t at_ms = 0;
  SynodAct act = SynodAct::crash;
  uint32_t a = 0;
  uint32_t b = 0;
};

// What a person does to a run between two of its steps. No calm ends it.
enum class SynodHand : uint8_t {
  crash,    // a
  restart,  // a
  cut,      // nothing from a reaches b, and the other way round
  join,     // that cut ends
  rival,    // a
  drop,     // the message is lost
  delay,    // the message comes `ms` later
  deliver,  // the message comes next
};

struct SynodHandAction {
  uint64_t after_step = 0;
  SynodHand act = SynodHand::crash;
  uint32_t a = 0;
  uint32_t b = 0;
  uint64_t message = 0;  // its id in the trace
  uint64_t ms = 0;
};

inline constexpr uint64_t kHandDelayMsMax = 10000;

struct SynodSchedule {
  std::vector<SynodAction> actions;  // by time
  uint32_t loss_permille = 0;
  uint32_t delay_ms_max = 20;
  uint32_t sync_ms_max = 10;
  uint64_t calm_from_ms = 3000;          // from here on: no loss, no cut, delays of at most 20 ms
  std::vector<std::string> lose;         // every message of these names is lost until then
  std::vector<SynodHandAction> by_hand;  // by step
};

// A world with bounds from the beginning (mission row M10).
SynodSchedule bounded_synod_schedule();

SynodSchedule draw_synod_schedule(uint64_t seed, uint32_t processes);

// One statement a line, `#` begins a comment:
//   loss 100          a message in a thousand this often is lost
//   delay 50          messages take 1..50 ms
//   sync 20           a log write takes 1..20 ms
//   calm 3000         faults of the network end at this time (ms)
//   lose Law           until then every message of this name is lost
//   at 400 crash 2 | restart 2 | cut 1 2 | deafen 3 | heal | rival 3
//   step 57 crash 2 | restart 2 | cut 1 2 | join 1 2 | rival 3 | drop 12 | delay 12 100 | deliver 12
//                     right after step 57 of the run; 12 is a message's id in its trace, 100 are ms
std::string show(const SynodSchedule& schedule);
std::string show(const SynodHandAction& hand);
// False: `error` says what is wrong in which line.
bool parse_synod_schedule(const std::string& text, uint32_t processes, SynodSchedule* out,
                          std::string* error);

// A prepared run, with what there is to see in it.
struct SynodScene {
  std::string name;
  std::string row;   // of the mission table
  std::string sees;  // a paragraph
  uint32_t processes = 3;
  uint64_t seed = 1;
  std::string inputs;    // "0,1,1"
  std::string schedule;  // as above
};
const std::vector<SynodScene>& synod_scenes();

}  // namespace decree::lab
