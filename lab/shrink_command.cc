// decree-lab shrink, and decree-lab sim --schedule: schedules and their stories.
#include <charconv>
#include <fstream>
#include <iostream>
#include <sstream>

#include <fmt/format.h>

#include "lab/commands.h"
#include "lab/planted.h"
#include "lab/shrink/shrink.h"
#include "lab/sim/script.h"
#include "lab/story.h"

namespace decree::lab {

namespace {

// The bug of a schedule, in the program that has it inside; an error sentence when it cannot be.
std::string plant_problem(const std::string& name) {
  if (name.empty() || plant(name)) return "";
  if (planted_bugs().empty())
    return "the schedule is about the planted bug " + name +
           "; follow it with decree-lab-planted sim --schedule";
  return "there is no planted bug " + name;
}

}  // namespace

int follow_command(const std::string& file, const std::string& trace) {
  std::ifstream in(file);
  if (!in) {
    std::cerr << fmt::format(
        "decree-lab: {} cannot be read; name a file that decree-lab shrink has written\n", file);
    return 2;
  }
  const Result<Schedule> schedule = read_schedule(in);
  std::string problem =
      schedule ? plant_problem(schedule.value().plant) : file + ": " + schedule.error().message;
  if (!problem.empty()) {
    std::cerr << "decree-lab: " << problem << '\n';
    return 2;
  }
  ScriptResult result;
  if (trace.empty()) {
    result = tell_story(schedule.value(), std::cout);
  } else if (trace == "-") {
    result = follow(schedule.value(), &std::cout);
  } else {
    std::ofstream out(trace);
    result = follow(schedule.value(), &out);
  }
  return result.run.breach ? 1 : 0;
}

int shrink_command(const ShrinkCommand& command) {
  uint64_t seed = 0;
  const std::string& text = command.sim.seeds;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (ec != std::errc() || end != text.data() + text.size()) {
    std::cerr << fmt::format(
        "decree-lab: --seed {}: give the number of one seed that sim reported as broken\n", text);
    return 2;
  }
  if (const std::string problem = plant_problem(command.sim.plant); !problem.empty()) {
    std::cerr << "decree-lab: " << problem << '\n';
    return 2;
  }
  const RunOptions options = run_options(command.sim);
  const RunResult run = World(seed, options).run();
  if (!run.breach) {
    std::cerr << fmt::format("decree-lab: seed {} breaks nothing here; shrink the seeds that sim reports\n",
                             seed);
    return 2;
  }
  ShrinkLimits limits;
  limits.cpu_seconds_max = command.cpu_seconds;
  const Shrunk shrunk = shrink_seed(seed, options, command.sim.plant, limits);
  std::ofstream file;
  if (!command.out.empty()) file.open(command.out);
  write_schedule(shrunk.schedule, command.out.empty() ? std::cout : file);
  std::cerr << fmt::format("{}: {}\n{} steps of {}, after {} tries and {:.1f} s of CPU\n",
                           run.breach.invariant, run.breach.sentence, shrunk.schedule.length(),
                           shrunk.length_before, shrunk.tries, shrunk.cpu_seconds);
  if (!shrunk.reproduced) {
    std::cerr
        << "the recorded schedule does not break it again: what it needs is no step yet; use the seed\n";
    return 1;
  }
  if (!command.out.empty()) tell_story(shrunk.schedule, std::cout);
  return 0;
}

}  // namespace decree::lab
