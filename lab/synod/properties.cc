#include "lab/synod/properties.h"

#include <algorithm>

#include <fmt/format.h>

namespace decree::lab {

PropertyVerdict check_validity(const ConsensusRun& run) {
  for (const ProcessOutcome& p : run.processes)
    for (const std::string& y : p.output.writes()) {
      const bool proposed = std::any_of(run.processes.begin(), run.processes.end(),
                                        [&](const ProcessOutcome& q) { return q.input == y; });
      if (!proposed)
        return {"validity", false,
                fmt::format("{}: y_{} = {}, which is nobody's input", run.name, p.process, y)};
    }
  return {"validity", true, fmt::format("{}: every output is some process's input", run.name)};
}

PropertyVerdict check_integrity(const ConsensusRun& run) {
  for (const ProcessOutcome& p : run.processes)
    if (p.output.writes().size() > 1)
      return {"integrity", false,
              fmt::format("{}: y_{} was written {} times: {} and then {}", run.name, p.process,
                          p.output.writes().size(), p.output.writes()[0], p.output.writes()[1])};
  return {"integrity", true, fmt::format("{}: every output was written at most once", run.name)};
}

PropertyVerdict check_agreement(const ConsensusRun& run) {
  const ProcessOutcome* first = nullptr;
  for (const ProcessOutcome& p : run.processes)
    for (const std::string& y : p.output.writes()) {
      if (first == nullptr) first = &p;
      if (y != first->output.value())
        return {"agreement", false,
                fmt::format("{}: y_{} = {} but y_{} = {}", run.name, first->process, first->output.value(),
                            p.process, y)};
    }
  return {"agreement", true,
          first == nullptr ? fmt::format("{}: nobody wrote an output", run.name)
                           : fmt::format("{}: all outputs are {}", run.name, first->output.value())};
}

PropertyVerdict check_termination(const ConsensusRun& run) {
  for (const ProcessOutcome& p : run.processes)
    if (p.correct && p.output.blank())
      return {"termination", false,
              fmt::format("{}: y_{} is still blank although the process is correct", run.name, p.process)};
  return {"termination", true, fmt::format("{}: every correct process wrote its output", run.name)};
}

PropertyVerdict check_non_triviality(std::span<const ConsensusRun> runs,
                                     std::span<const std::string> values) {
  for (const std::string& value : values) {
    const bool decided = std::any_of(runs.begin(), runs.end(), [&](const ConsensusRun& run) {
      return std::any_of(run.processes.begin(), run.processes.end(), [&](const ProcessOutcome& p) {
        return !p.output.blank() && p.output.value() == value;
      });
    });
    if (!decided)
      return {"non-triviality", false,
              fmt::format("in none of {} runs is {} decided: the outcome is fixed in advance", runs.size(),
                          value)};
  }
  return {"non-triviality", true,
          fmt::format("each of the {} values is decided in some run of {}", values.size(), runs.size())};
}

std::vector<PropertyVerdict> check_run(const ConsensusRun& run) {
  return {check_validity(run), check_integrity(run), check_agreement(run), check_termination(run)};
}

}  // namespace decree::lab
