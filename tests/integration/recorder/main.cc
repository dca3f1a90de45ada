// recorder: open-loop load on a cluster, everything written down as a history for `decree-lab check-history`.
//
// Prints a JSON status line every second and a summary at the end. Stops when --seconds are over or standard
// input is closed or a line "stop" comes; then reads everything at every member and writes the history.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "client/endpoint.h"
#include "tests/integration/recorder/recorder.h"

namespace {

bool input_ended() {
  pollfd fd{STDIN_FILENO, POLLIN, 0};
  if (::poll(&fd, 1, 0) <= 0) return false;
  char byte[64];
  return ::read(STDIN_FILENO, byte, sizeof(byte)) >= 0;  // end of file, or any line
}

}  // namespace

int main(int argc, char** argv) {
  using namespace decree;
  CLI::App app{"Open-loop load on all members, recorded for the linearizability checker."};
  std::string endpoints;
  std::string out;
  double seconds = 3600;
  int read_seconds = 60;
  bool no_history = false;
  bool no_finish = false;
  recorder::Settings settings;
  app.add_option("--endpoints", endpoints, "client addresses, comma-separated: member 1, 2, ...")->required();
  app.add_option("--out", out, "file for the history (JSON lines)");
  app.add_option("--seconds", seconds, "longest run; ends earlier when standard input is closed");
  app.add_option("--rate", settings.rate, "operations a second, all members together");
  app.add_option("--connections", settings.connections, "connections to each member");
  app.add_option("--deadline-ms", settings.deadline_ms,
                 "an operation without an answer for so long is unknown");
  app.add_option("--inflight-max", settings.inflight_max, "open operations; beyond, due ones are skipped");
  app.add_option("--seed", settings.workload.seed, "of the operations");
  app.add_option("--keys", settings.workload.keys, "how many keys");
  app.add_option("--hot-keys", settings.workload.hot_keys,
                 "a third of the operations goes to so many of them");
  app.add_option("--value-bytes", settings.workload.value_bytes, "at least so long");
  app.add_option("--txns", settings.workload.txns, "transactions of 1000 operations");
  app.add_option("--deletes", settings.workload.deletes, "deletes of 1000 operations");
  app.add_option("--reads", settings.workload.reads, "linearizable reads of 1000 operations");
  app.add_option("--serializable-reads", settings.workload.serializable_reads, "of 1000 operations");
  app.add_option("--read-seconds", read_seconds, "longest wait for the final reads");
  app.add_flag("--members-change", settings.members_change,
               "endpoints without a member are passed over by the final reads");
  app.add_flag("--no-history", no_history, "only count and measure");
  app.add_flag("--no-finish", no_finish, "no final reads");
  CLI11_PARSE(app, argc, argv);

  auto parsed = client::parse_endpoints(endpoints);
  if (!parsed) {
    std::fprintf(stderr, "recorder: %s\n", parsed.error().message.c_str());
    return 2;
  }
  settings.endpoints = std::move(parsed).value();
  settings.keep_history = !no_history;

  recorder::Recorder recorder(settings);
  auto next_line = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  recorder.run(std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9)), [&] {
    if (std::chrono::steady_clock::now() >= next_line) {
      next_line += std::chrono::seconds(1);
      std::printf("%s\n", recorder.status_line().c_str());
      std::fflush(stdout);
    }
    return input_ended();
  });
  recorder.drain();
  bool finished = true;
  if (!no_finish) {
    finished = recorder.read_all(std::chrono::seconds(read_seconds)) &&
               (no_history || recorder.resolve_unknown(std::chrono::seconds(read_seconds)));
    if (!finished) std::fprintf(stderr, "recorder: final reads failed: %s\n", recorder.problem().c_str());
  }
  if (!out.empty()) {
    std::ofstream file(out);
    for (const lab::Operation& op : recorder.history()) file << lab::encode_operation(op) << '\n';
    if (!file.flush()) {
      std::fprintf(stderr, "recorder: cannot write %s\n", out.c_str());
      return 1;
    }
  }
  std::printf("%s\n", recorder.summary_line().c_str());
  return finished ? 0 : 1;
}
