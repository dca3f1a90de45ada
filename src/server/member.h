// The running member: data directory, store, node, peers, client port, and the loop that turns them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "net/event_loop.h"
#include "server/config.h"
#include "server/exit_code.h"
#include "server/resync.h"

namespace decree::server {

struct StartProblem {
  ExitCode code = ExitCode::failure;
  std::string sentence;
};

class Member {
 public:
  Member(net::EventLoop& loop, const Config& config);
  ~Member();

  // Opens the data, loads the store, then the peer port, then the client port. Blocking.
  std::optional<StartProblem> start();
  // Turns until stop() is through or the log failed.
  ExitCode run();
  // Loop thread. Hands leadership over, lets calls finish, ends run(). A second call skips the waiting.
  void stop(const char* cause);
  // Why run() did not end well.
  const std::string& end_sentence() const;
  // Set when run() ended with ExitCode::diverged.
  const std::optional<Divergence>& divergence() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::server
