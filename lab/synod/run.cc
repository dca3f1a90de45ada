#include "lab/synod/run.h"

#include <fmt/format.h>

#include "lab/synod/world.h"

namespace decree::lab {

SynodResult run_synod(const SynodOptions& options) { return SynodWorld(options, 0).run(); }

SynodResult run_synod_with_kill(SynodOptions options, SynodResult* before) {
  SynodOptions quiet = options;
  quiet.kill = KillLeader::never;
  quiet.story = nullptr;
  quiet.json_line = nullptr;
  SynodResult first = run_synod(quiet);
  const uint64_t step = first.point ? first.point->step : 0;
  if (before != nullptr) *before = std::move(first);
  return SynodWorld(options, step).run();
}

std::string show_round(const Ballot& ballot) {
  return fmt::format("round {} of process {}", ballot.round, ballot.node.value);
}

}  // namespace decree::lab
