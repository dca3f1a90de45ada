#include <csignal>
#include <cstring>
#include <iostream>

#include <fmt/format.h>
#include <unistd.h>

#include "lab/commands.h"
#include "lab/enumerate/enumerate.h"

namespace decree::lab {

namespace {

// Read by the signal handler, therefore plain bytes.
char current_case[600] = "none";

void on_crash(int signal_number) {
  const char text[] = "decree-lab enumerate: THE READER CRASHED at: ";
  (void)!::write(STDERR_FILENO, text, sizeof(text) - 1);
  (void)!::write(STDERR_FILENO, current_case, std::strlen(current_case));
  (void)!::write(STDERR_FILENO, "\n", 1);
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

}  // namespace

void set_current_case(const std::string& row, const std::string& where) {
  std::snprintf(current_case, sizeof(current_case), "%s: %s", row.c_str(), where.c_str());
}

int enumerate_command(const EnumerateCommand& command) {
  for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) std::signal(number, on_crash);
  EnumerateOptions options;
  options.every = command.every;
  options.seed = command.seed;
  options.subsets_max = command.samples;
  Tally total;
  const Report report = [&](const std::string& row, const Tally& tally) {
    std::cout << fmt::format("{:>9} cases: {:>8} harmless {:>8} repaired {:>8} refused {:>4} WRONG  {}\n",
                             tally.cases, tally.harmless, tally.repaired, tally.refused, tally.wrong, row);
    if (tally.wrong > 0) std::cout << "          " << tally.first_wrong << '\n';
    std::cout.flush();
    total.cases += tally.cases;
    total.harmless += tally.harmless;
    total.repaired += tally.repaired;
    total.refused += tally.refused;
    total.wrong += tally.wrong;
  };
  if (command.what != "rot") enumerate_crashes(options, report);
  if (command.what != "crash") enumerate_rot(options, report);
  std::cout << fmt::format(
      "total: {} cases, {} harmless, {} repaired, {} refused, {} wrong answers, 0 crashes of the reader\n",
      total.cases, total.harmless, total.repaired, total.refused, total.wrong);
  if (total.wrong > 0)
    std::cout << fmt::format("again: decree-lab enumerate --what {} --every {} --seed {} --samples {}\n",
                             command.what, command.every, command.seed, command.samples);
  return total.wrong == 0 ? 0 : 1;
}

}  // namespace decree::lab
