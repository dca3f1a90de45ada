#include <fstream>
#include <iostream>

#include <fmt/format.h>

#include "lab/check/history.h"
#include "lab/check/linearizability.h"
#include "lab/commands.h"

namespace decree::lab {

namespace {

const char* word(Judgement j) {
  return j == Judgement::good ? "good" : j == Judgement::bad ? "BAD" : "undecided";
}

int show(const char* name, const Verdict& v) {
  std::cout << fmt::format("{}: {}{}{} ({} steps)\n", name, word(v.judgement), v.problem.empty() ? "" : ": ",
                           v.problem, v.steps);
  return v.judgement == Judgement::bad ? 1 : 0;
}

}  // namespace

int check_history_command(const std::string& file, bool also_keys, uint64_t key_steps_max) {
  std::ifstream stream;
  if (file != "-") {
    stream.open(file);
    if (!stream) {
      std::cerr << fmt::format(
          "decree-lab: {} cannot be read; name a file of JSON lines, or - for standard input\n", file);
      return 2;
    }
  }
  const Result<History> history = read_history(file == "-" ? std::cin : stream);
  if (!history) {
    std::cerr << fmt::format("decree-lab: {} is not a history: {}\n", file, history.error().message);
    return 2;
  }
  uint64_t count[3] = {};
  for (const Operation& op : history.value()) ++count[static_cast<int>(op.outcome)];
  std::cout << fmt::format("{} operations: {} ok, {} surely failed, {} unknown\n", history.value().size(),
                           count[0], count[1], count[2]);
  int bad = show("whole store, by revisions", check_whole_store(history.value()));
  CheckLimits limits;
  limits.steps_max = key_steps_max;
  if (also_keys) bad |= show("per key, by search", check_keys(history.value(), limits));
  return bad;
}

}  // namespace decree::lab
