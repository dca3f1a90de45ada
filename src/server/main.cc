// decreed: the replicated key-value server. Flags in, exit code out; everything else is in the folder's other
// files.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "server/process.h"

int main(int argc, char** argv) {
  using decree::server::ExitCode;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto request =
      decree::server::parse_config(arguments, [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
      });
  if (!request) {
    std::fprintf(stderr, "decreed: %s\n", request.error().message.c_str());
    return static_cast<int>(ExitCode::usage);
  }
  if (!request->print.empty()) {
    std::fputs(request->print.c_str(), stdout);
    return static_cast<int>(ExitCode::ok);
  }
  // Thousands of clients need thousands of descriptors.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  return static_cast<int>(decree::server::run_process(*request->config));
}
