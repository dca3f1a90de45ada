// The load generator's orders and its report. The generator speaks plain etcd v3, so that it measures
// any server of that API with the same code.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/histogram.h"
#include "client/process_usage.h"
#include "decree/result.h"
#include "net/tcp.h"

namespace decree::client {

enum class LoadOp : uint8_t { put, range, txn };
constexpr size_t load_op_count = 3;
const char* load_op_name(LoadOp op);

struct LoadOptions {
  // One operation, or reads and puts mixed.
  LoadOp op = LoadOp::put;
  bool mixed = false;
  double read_share = 0.9;    // of mixed
  bool serializable = false;  // ranges only

  // Closed loop: `clients` requests are always under way, each followed by the next. Open loop
  // (rate > 0): requests begin at fixed moments whatever the answers do; `clients` is then the most
  // that may be under way, and a request that has to wait for a free place counts from its moment.
  size_t clients = 64;
  size_t connections = 10;
  double rate_per_second = 0;

  std::string key_prefix = "bench/";
  size_t key_bytes = 21;
  size_t value_bytes = 256;
  uint64_t keys = 10'000;
  bool random_keys = true;
  uint64_t seed = 1;

  uint64_t prefill = 0;  // puts of the keys 0..prefill-1 before anything is measured
  std::chrono::milliseconds warmup{1000};
  std::chrono::milliseconds duration{10'000};
  uint64_t total =
      0;  // > 0: the measured part ends after so many successes, `duration` is the longest it may take

  std::chrono::milliseconds request_timeout{10'000};
  std::chrono::milliseconds connect_timeout{5000};

  std::vector<net::HostPort> endpoints;
  std::vector<int> pids;  // of the servers, whose CPU time is measured
};

struct LoadCounts {
  uint64_t ok = 0;
  uint64_t failed = 0;
  uint64_t compare_failed = 0;  // txn: served, condition false
  uint64_t empty = 0;           // range: no such key
};

struct LoadReport {
  double seconds = 0;  // of the measured part
  LoadCounts counts;
  Histogram latency_ns;  // of successes
  std::array<Histogram, load_op_count> latency_ns_by_op;
  std::array<uint64_t, load_op_count> ok_by_op{};
  std::map<std::string, uint64_t> errors_by_code;
  std::map<std::string, uint64_t> error_texts;  // the first few different ones
  uint64_t unknown_outcomes = 0;
  uint64_t never_sent = 0;       // open loop: moments that passed without a free place
  double longest_gap_ms = 0;     // without any success
  double longest_gap_at_ms = 0;  // where it began, from the start of the measured part
  struct Gap {
    double at_ms = 0;
    double length_ms = 0;
  };
  std::vector<Gap> gaps;  // the longest ones, longest first
  double started_unix_s =
      0;  // wall clock at the start of the measured part, to place the gaps beside other events
  double first_success_ms = -1;  // from the start of the measured part
  double prefill_seconds = 0;
  uint64_t prefilled = 0;
  double generator_cpu_seconds = 0;
  std::vector<ServerUsage> servers;  // in the order of LoadOptions::pids

  double throughput() const { return seconds > 0 ? static_cast<double>(counts.ok) / seconds : 0; }
  // Summed over the servers; nothing without pids or when one of them is gone.
  std::optional<double> server_cpu_seconds() const;
};

struct LoadProgress {
  const char* phase = "";
  double elapsed_seconds = 0;
  double phase_seconds = 0;  // 0: not known
  uint64_t ok = 0;           // in this phase
  uint64_t failed = 0;
  double per_second = 0;  // since the last progress
};

// Runs on the caller's thread. `progress` may be empty; it is called about twice a second.
Result<LoadReport> run_load(const LoadOptions& options,
                            const std::function<void(const LoadProgress&)>& progress);

}  // namespace decree::client
