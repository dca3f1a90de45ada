#include "server/stop_signals.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace decree::server {
namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);  // ends the thread
  return set;
}

}  // namespace

StopSignals::StopSignals(std::function<void(const char* name)> on_signal) {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([handler = std::move(on_signal), set] {
    for (;;) {
      int number = 0;
      if (sigwait(&set, &number) != 0) continue;
      if (number == SIGUSR1) return;
      handler(number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
  });
}

StopSignals::~StopSignals() {
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

}  // namespace decree::server
