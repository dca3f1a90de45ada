#include <iostream>

#include <fmt/format.h>

#include "lab/commands.h"
#include "lab/model/search.h"
#include "lab/planted.h"

namespace decree::lab {

namespace {

using model::Config;
using model::Expect;
using model::Found;

const char* expectation(const Config& config) {
  switch (config.expect) {
    case Expect::holds:
      return "must hold";
    case Expect::breaks:
      return "must break";
    case Expect::reached:
      return "goal must be reachable";
    case Expect::unreachable:
      return "goal must be out of reach";
  }
  return "";
}

std::string ending(const Config& config, const Found& found) {
  if (!found.breach.empty()) return "BROKEN: " + found.breach;
  const bool ends = config.expect == Expect::reached || config.expect == Expect::unreachable;
  if (found.goal && ends) return "goal reached";
  if (!found.exhausted && config.states_max != 0 && found.states >= config.states_max)
    return fmt::format("bounded: nothing broken in the first {} states", found.states);
  if (!found.exhausted) return "NOT exhausted: stopped at the bound on states";
  return config.goal_decided > 0 || config.goal_round > 0 ? "exhausted: the goal is out of reach"
                                                          : "exhausted: nothing broken";
}

bool run(const Config& config, const ModelCommand& command) {
  model::Limits limits;
  limits.states_max = command.states_max;
  limits.reduce_order = !command.no_order_reduction;
  limits.reduce_symmetry = !command.no_symmetry;
  const Found found = model::search_all(config, limits);
  const bool good = found.as_expected(config);
  std::cout << fmt::format(
      "{}: {} ({})\n  {} states, {} transitions, depth {}, {:.2f} s of CPU, {:.0f} states/s\n  {}{}\n",
      config.name, config.about, expectation(config), found.states, found.transitions, found.depth,
      found.seconds, static_cast<double>(found.states) / std::max(found.seconds, 1e-6), ending(config, found),
      good ? "" : "   <-- NOT AS EXPECTED");
  const bool tell = !found.story.empty() && (!good || !command.quiet);
  for (size_t i = 0; tell && i < found.story.size(); ++i)
    std::cout << fmt::format("  {:2}. {}\n", i + 1, found.story[i]);
  std::cout.flush();
  return good;
}

}  // namespace

int model_command(const ModelCommand& command) {
  if (command.list) {
    for (const Config& config : model::catalog())
      std::cout << fmt::format("{:26} {} ({})\n", config.name, config.about, expectation(config));
    return 0;
  }
  if (!command.plant.empty() && !plant(command.plant)) {
    std::cerr << fmt::format(
        "decree-lab: there is no bug {} in this program; decree-lab mutants --list names them\n",
        command.plant);
    return 2;
  }
  bool good = true;
  if (!command.config.empty()) {
    const Config* config = model::find_config(command.config);
    if (config == nullptr) {
      std::cerr << fmt::format("decree-lab: there is no configuration {}; --list names them\n",
                               command.config);
      return 2;
    }
    return run(*config, command) ? 0 : 1;
  }
  for (const Config& config : model::catalog()) good = run(config, command) && good;
  return good ? 0 : 1;
}

}  // namespace decree::lab
