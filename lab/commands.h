// The subcommands of decree-lab.
#pragma once

#include <cstdint>
#include <string>

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
  bool old_image = false;         // also the fault that is not handled yet
  bool markers = false;           // how often each was hit
  std::string log = "mixed";      // "mixed", "model"
  std::string store = "kv";       // "kv", "toy"
  std::string plant;              // planted bug
  std::string ledger;             // append a line per campaign
  double scale = 1;
  uint32_t failures_max = 1;
  uint32_t hash_every = 100;  // every n-th seed is run twice; 0 = never
};
int sim_command(const SimCommand& command);

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

// Names that --plant takes; the empty string when there is none in this program.
std::string planted_names();
// False: unknown name.
bool plant(const std::string& name, bool* early_persisted);

}  // namespace decree::lab
