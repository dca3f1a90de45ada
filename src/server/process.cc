#include "server/process.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include "server/logging.h"
#include "server/member.h"
#include "server/resync.h"
#include "server/stop_signals.h"
#include "server/version.h"
#include "storage/posix_file_system.h"

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

// The member that runs, for the thread of the signals. Each has a loop of its own: what was posted to the
// loop of one that has ended must not run.
class Running {
 public:
  void stop(const char* cause) {
    const std::lock_guard lock(mutex_);
    stop_asked_ = true;
    if (loop_ == nullptr) return;
    loop_->post([this, cause] {
      if (member_ != nullptr) member_->stop(cause);
    });
  }
  bool stop_asked() {
    const std::lock_guard lock(mutex_);
    return stop_asked_;
  }
  void set(net::EventLoop* loop, Member* member) {
    const std::lock_guard lock(mutex_);
    loop_ = loop;
    member_ = member;
  }

 private:
  std::mutex mutex_;
  bool stop_asked_ = false;
  net::EventLoop* loop_ = nullptr;
  Member* member_ = nullptr;  // changed and used on its loop's thread only
};

ExitCode run_member(const Config& config, Running& running, std::optional<Divergence>* divergence) {
  net::EventLoop loop;
  Member member(loop, config);
  const std::optional<StartProblem> problem = member.start();
  if (problem) {
    tell(config, problem->sentence);
    return problem->code;
  }
  running.set(&loop, &member);
  const ExitCode code = running.stop_asked() ? ExitCode::ok : member.run();
  running.set(nullptr, nullptr);
  *divergence = member.divergence();
  if (code != ExitCode::ok) tell(config, member.end_sentence());
  return code;
}

// The member has closed its directory. False: it could not be set aside, and everything is as it was.
bool begin_anew(const Config& config, const Divergence& divergence) {
  const std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  Result<std::string> evidence = set_aside(*files, config.data_dir, divergence);
  if (!evidence) {
    tell(config, fmt::format("the data directory could not be set aside: {}", evidence.error().message));
    return false;
  }
  log_line(Level::warn,
           fmt::format("this member begins anew with an empty data directory and learns everything from the "
                       "others evidence={}",
                       *evidence));
  return true;
}

}  // namespace

ExitCode run_process(const Config& config) {
  Running running;
  // BEFORE any thread is started: they inherit the signal mask.
  StopSignals signals([&running](const char* name) { running.stop(name); });
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
  std::optional<Divergence> divergence;
  ExitCode code = ExitCode::start_again;
  bool began_anew = false;
  while (code == ExitCode::start_again) {
    code = run_member(config, running, &divergence);
    // Once. A machine on which it happens again is not to be trusted.
    if (code != ExitCode::diverged || began_anew || !divergence || !begin_anew(config, *divergence)) continue;
    began_anew = true;
    code = ExitCode::start_again;
  }
  log_line(Level::info, fmt::format("decreed ends exit_code={}", static_cast<int>(code)));
  stop_logging();
  return code;
}

}  // namespace decree::server
