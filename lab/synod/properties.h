// The properties of the consensus problem (mission rows M1, M2) as named checkers over one run, whatever
// protocol made it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace decree::lab {

// y_p: starts at b ("blank") and can be written once. Keeps every attempt, so that a second one is seen.
class WriteOnce {
 public:
  // False: it was written before. The first value stays.
  bool write(const std::string& value) {
    writes_.push_back(value);
    return writes_.size() == 1;
  }
  bool blank() const { return writes_.empty(); }
  const std::string& value() const { return writes_.front(); }
  const std::vector<std::string>& writes() const { return writes_; }

 private:
  std::vector<std::string> writes_;
};

struct ProcessOutcome {
  uint32_t process = 0;
  std::string input;
  WriteOnce output;
  bool correct = true;  // not crashed for good
};

struct ConsensusRun {
  std::string name;  // how to repeat it
  std::vector<ProcessOutcome> processes;
};

struct PropertyVerdict {
  std::string property;
  bool holds = true;
  std::string sentence;  // names the run and, when broken, the processes
};

// Every value written was some process's input.
PropertyVerdict check_validity(const ConsensusRun& run);
// Every output was written at most once.
PropertyVerdict check_integrity(const ConsensusRun& run);
// No two outputs differ, those of crashed processes included (the uniform form).
PropertyVerdict check_agreement(const ConsensusRun& run);
// Every correct process wrote its output.
PropertyVerdict check_termination(const ConsensusRun& run);
// Both outcomes are possible: over these runs each of `values` is decided at least once.
PropertyVerdict check_non_triviality(std::span<const ConsensusRun> runs, std::span<const std::string> values);

// Validity, integrity, agreement, termination, in this order.
std::vector<PropertyVerdict> check_run(const ConsensusRun& run);

}  // namespace decree::lab
