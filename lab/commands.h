// The subcommands of decree-lab.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace decree::lab {

// Exit codes: 0 clean, 1 something was found, 2 the command could not be carried out.
int check_history_command(const std::string& file, bool also_keys, uint64_t key_steps_max);

struct SimCommand {
  std::string program = "decree-lab";
  std::string seeds;   // "A..B" or "A"; empty: fresh ones, from the time of day
  uint32_t fresh = 0;  // so many, from the time of day
  std::string past;    // a file of seeds that once failed, each with its options
  uint32_t jobs = 1;
  uint32_t minutes = 0;  // > 0: go on until the time is over
  bool verbose = false;
  std::string trace;              // file, "-" = standard output; needs a single seed
  std::string history;            // file for the clients' history of a single seed
  bool beats = false;             // heartbeats in the trace
  std::string profile = "mixed";  // "mixed", "core", "server"
  uint32_t members = 0;           // 0: drawn
  bool old_image = false;
  bool markers = false;       // how often each was hit
  std::string log = "mixed";  // "mixed", "model"
  std::string store = "kv";   // "kv", "toy"
  std::string plant;          // planted bug
  std::string schedule;       // follow this file instead of seeds
  std::string ledger;         // append a line per campaign
  double scale = 1;
  uint32_t failures_max = 1;
  uint32_t hash_every = 100;  // every n-th seed is run twice; 0 = never
};
int sim_command(const SimCommand& command);
// The options of the command as the simulator takes them.
struct RunOptions;
RunOptions run_options(const SimCommand& command);

struct EnumerateCommand {
  std::string what = "all";  // "crash", "rot", "all"
  uint64_t every = 1;        // only every n-th case
  uint64_t seed = 1;
  uint64_t samples = 64;
};
int enumerate_command(const EnumerateCommand& command);

struct ModelCommand {
  std::string config;  // empty: all
  bool list = false;
  bool quiet = false;  // stories of unexpected findings only
  uint64_t states_max = 100'000'000;
  bool no_order_reduction = false;
  bool no_symmetry = false;
  std::string plant;  // planted bug
};
int model_command(const ModelCommand& command);

struct LedgerCommand {
  std::string file = "lab/ledger.jsonl";
  std::string readme;  // put the totals between its ledger marks
};
int ledger_command(const LedgerCommand& command);

// Follows a schedule (lab/sim/schedule.h): its story to standard output, or its trace where `trace` says so.
int follow_command(const std::string& file, const std::string& trace);

struct ShrinkCommand {
  SimCommand sim;   // seeds: one
  std::string out;  // file of the schedule; empty: standard output
  double cpu_seconds = 120;
};
int shrink_command(const ShrinkCommand& command);

struct MutantsCommand {
  char** argv = nullptr;
  std::vector<std::string> only;  // names or beginnings of names
  uint64_t first_seed = 1;
  double cpu_seconds = 300;  // of search, for each
  double shrink_seconds = 60;
  uint32_t jobs = 1;
  double scale = 1;
  std::string out;  // directory for schedules and stories
  bool no_shrink = false;
  bool list = false;
};
int mutants_command(const MutantsCommand& command);

}  // namespace decree::lab
