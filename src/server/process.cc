#include "server/process.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include "server/logging.h"
#include "server/member.h"
#include "server/stop_signals.h"
#include "server/version.h"

namespace decree::server {

ExitCode exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::locked:
      return ExitCode::locked;
    case ErrorCode::identity:
      return ExitCode::identity;
    case ErrorCode::permission:
      return ExitCode::permission;
    case ErrorCode::corrupt:
      return ExitCode::corrupt;
    case ErrorCode::no_space:
      return ExitCode::no_space;
    case ErrorCode::format:
      return ExitCode::format;
    default:
      return ExitCode::failure;
  }
}

namespace {

void tell(const Config& config, const std::string& sentence) {
  log_line(Level::error, sentence);
  // Once is enough when the log goes there anyway.
  if (std::find(config.log_outputs.begin(), config.log_outputs.end(), "stderr") == config.log_outputs.end())
    std::fprintf(stderr, "decreed: %s\n", sentence.c_str());
}

}  // namespace

ExitCode run_process(const Config& config) {
  net::EventLoop loop;
  Member* running = nullptr;
  // BEFORE any thread is started: they inherit the signal mask.
  StopSignals signals([&loop, &running](const char* name) {
    loop.post([&running, name] {
      if (running != nullptr) running->stop(name);
    });
  });
  Result<void> logging = start_logging(config.log_level, config.log_outputs);
  if (!logging) {
    std::fprintf(stderr, "decreed: %s\n", logging.error().message.c_str());
    return ExitCode::usage;
  }
  log_line(Level::info, fmt::format("decreed starts release={} etcd_api={} name={} data_dir={}", kRelease,
                                    kEtcdVersion, config.name, config.data_dir));
  for (const std::string& note : config.notes) log_line(Level::info, note);
  if (!config.insecure_addresses.empty())
    log_line(
        Level::warn,
        fmt::format("insecure by request: whoever reaches these addresses can read and change everything "
                    "addresses={}",
                    fmt::join(config.insecure_addresses, ",")));
  ExitCode code = ExitCode::ok;
  {
    Member member(loop, config);
    const std::optional<StartProblem> problem = member.start();
    if (problem) {
      tell(config, problem->sentence);
      code = problem->code;
    } else {
      running = &member;
      code = member.run();
      running = nullptr;
      if (code != ExitCode::ok) tell(config, member.end_sentence());
    }
  }
  log_line(Level::info, fmt::format("decreed ends exit_code={}", static_cast<int>(code)));
  stop_logging();
  return code;
}

}  // namespace decree::server
