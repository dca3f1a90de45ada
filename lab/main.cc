// decree-lab: the same object files under simulated time, network and disks. One subcommand per experiment.
#include <CLI/CLI.hpp>

#include "lab/commands.h"

int main(int argc, char** argv) {
  CLI::App app{"decree-lab: searches the shipped object files for faults under simulated time, network and disks."};
  app.require_subcommand(1);

  std::string history_file;
  bool also_keys = true;
  CLI::App* check = app.add_subcommand("check-history", "judge a recorded client history (format: lab/check/history.h)");
  check->add_option("file", history_file, "JSON lines, or - for standard input")->required();
  check->add_flag("--keys,!--no-keys", also_keys, "also run the independent search per key");

  CLI11_PARSE(app, argc, argv);
  if (check->parsed()) return decree::lab::check_history_command(history_file, also_keys);
  return 2;
}
