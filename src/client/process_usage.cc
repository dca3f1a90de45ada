#include "client/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace decree::client {

std::optional<ProcessUsage> usage_of(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream stat_file(folder + "/stat");
  std::string stat;
  if (!std::getline(stat_file, stat)) return std::nullopt;
  // The name (field 2) may hold anything; what counts begins behind its last parenthesis.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  uint64_t user_ticks = 0;
  uint64_t system_ticks = 0;
  if (!(fields >> user_ticks >> system_ticks)) return std::nullopt;
  ProcessUsage usage;
  usage.cpu_seconds =
      static_cast<double>(user_ticks + system_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));

  std::ifstream status(folder + "/status");
  std::string line;
  while (std::getline(status, line)) {
    unsigned long long kib = 0;
    if (std::sscanf(line.c_str(), "VmRSS: %llu", &kib) == 1) usage.rss_bytes = kib * 1024;
    if (std::sscanf(line.c_str(), "VmHWM: %llu", &kib) == 1) usage.peak_rss_bytes = kib * 1024;
    if (std::sscanf(line.c_str(), "RssAnon: %llu", &kib) == 1) usage.anonymous_bytes = kib * 1024;
  }
  return usage;
}

double own_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

UsageWindow::UsageWindow(std::vector<int> pids) : pids_(std::move(pids)) {}

void UsageWindow::begin() {
  before_.clear();
  for (const int pid : pids_) before_.push_back(usage_of(pid));
}

std::vector<ServerUsage> UsageWindow::end() const {
  std::vector<ServerUsage> servers;
  for (size_t i = 0; i < pids_.size(); ++i) {
    ServerUsage server{pids_[i], std::nullopt, usage_of(pids_[i])};
    if (i < before_.size() && before_[i] && server.at_the_end) {
      server.cpu_seconds = server.at_the_end->cpu_seconds - before_[i]->cpu_seconds;
    }
    servers.push_back(std::move(server));
  }
  return servers;
}

}  // namespace decree::client
