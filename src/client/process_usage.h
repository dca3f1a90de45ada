// CPU time and memory of other processes, from /proc.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace decree::client {

struct ProcessUsage {
  double cpu_seconds = 0;  // user + system, all threads, since its start
  uint64_t rss_bytes = 0;
  uint64_t anonymous_bytes = 0;  // of the rss; the rest is mapped files
  uint64_t peak_rss_bytes = 0;
};

// Nothing if there is no such process.
std::optional<ProcessUsage> usage_of(int pid);
double own_cpu_seconds();

// One server over a measured time.
struct ServerUsage {
  int pid = 0;
  std::optional<double> cpu_seconds;  // nothing: it was gone at the start or at the end
  std::optional<ProcessUsage> at_the_end;
};

class UsageWindow {
 public:
  explicit UsageWindow(std::vector<int> pids);
  void begin();
  std::vector<ServerUsage> end() const;

 private:
  std::vector<int> pids_;
  std::vector<std::optional<ProcessUsage>> before_;
};

}  // namespace decree::client
