// The experiments of the laboratory: one subcommand per claim of the notes (docs/lab.md).
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace CLI {
class App;
}

namespace decree::lab {

// Adds their subcommands. The one that is parsed runs at once and leaves its exit code (0 the claim holds,
// 1 it does not, 2 the command could not be carried out) in `code`, which must outlive the parsing.
void add_experiments(CLI::App& app, int* code);

struct SynodCommand {
  uint32_t processes = 3;
  std::string inputs;  // "0,1,1"; empty: drawn per seed
  std::string seeds = "1";
  std::string schedule;  // file; empty: drawn per seed
  std::string kill;      // "", "after-point-of-no-return", "before-point-of-no-return"
  std::string json;      // file, "-" = standard output
  bool show_schedule = false;
  bool bounded = false;  // the synchronous world: no fault, bounded delays
  std::string scene;     // a prepared run; "list" names them
  std::string plant;     // a fault inside the core (decree-lab-planted only)
};
int synod_command(const SynodCommand& command);

struct SynchronousCommand {
  std::string part = "all";  // "flood", "contradiction", "early", "omission", "chain", "timing"
  uint32_t processes = 4;    // of the contradiction and of the chain
  uint32_t faults = 2;
  uint32_t rounds = 0;  // of the chain; 0 = f
};
int synchronous_command(const SynchronousCommand& command, std::ostream& out);

struct FlpCommand {
  std::string part = "all";  // "initial", "graph", "adversary", "lemma", "lasso", "remedies"
  uint64_t rounds = 10000;
  uint64_t seeds = 1000;
};
int flp_command(const FlpCommand& command, std::ostream& out);

struct ExhibitCommand {
  std::string name;  // "broadcast", "detector", "election", "mutex"
  uint64_t seeds = 200;
};
int exhibit_command(const ExhibitCommand& command, std::ostream& out);

}  // namespace decree::lab
