// `decree`: the command line client.
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/run.h"

int main(int argc, char** argv) {
  // A reader that went away (`decree get ... | head -1`) ends us quietly, as it ends any filter.
  std::signal(SIGPIPE, SIG_DFL);
  std::ios::sync_with_stdio(false);
  const decree::cli::Streams streams{std::cin,
                                     std::cout,
                                     std::cerr,
                                     ::isatty(STDIN_FILENO) == 1,
                                     ::isatty(STDOUT_FILENO) == 1,
                                     ::isatty(STDERR_FILENO) == 1};
  return decree::cli::run(std::vector<std::string>(argv + 1, argv + argc), streams);
}
