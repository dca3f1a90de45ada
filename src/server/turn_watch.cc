#include "server/turn_watch.h"

#include <ctime>

#include <array>
#include <utility>

#include <fmt/format.h>

namespace decree::server {
namespace {

std::chrono::nanoseconds thread_cpu() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

double ms(std::chrono::nanoseconds d) { return std::chrono::duration<double, std::milli>(d).count(); }

}  // namespace

void TurnWatch::sample_cpu() { cpu_ = thread_cpu(); }

double TurnWatch::observe(const TurnTimes& t, const std::function<std::string()>& work) {
  const auto whole = t.flushed - t.woke;
  const double seconds = std::chrono::duration<double>(whole).count();
  if (whole <= kSlow) return seconds;
  ++slow_turns_;
  if (t.flushed < next_line_) {
    ++suppressed_;
    return seconds;
  }
  next_line_ = t.flushed + std::chrono::seconds(1);
  const std::array<std::pair<const char*, std::chrono::nanoseconds>, 4> parts = {{
      {"reading requests and frames", t.read - t.woke},
      {"consensus and applying", t.applied - t.read},
      {"long answers", t.answered - t.applied},
      {"writing to sockets", t.flushed - t.answered},
  }};
  size_t worst = 0;
  for (size_t i = 1; i < parts.size(); ++i)
    if (parts[i].second > parts[worst].second) worst = i;
  // Processor time since the last sample is at least that of this turn.
  const std::chrono::nanoseconds cpu = thread_cpu() - cpu_;
  const char* cause = cpu < whole / 2 ? "no processor was given to this process" : parts[worst].first;
  log_(fmt::format(
      "slow turn ms={:.1f} cause=\"{}\" longest_part=\"{}\" part_ms={:.1f} cpu_ms={:.1f} {} suppressed={}",
      ms(whole), cause, parts[worst].first, ms(parts[worst].second), ms(cpu), work(),
      std::exchange(suppressed_, 0)));
  return seconds;
}

}  // namespace decree::server
