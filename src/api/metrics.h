// What operators and dashboards see: Prometheus text with etcd's names where etcd has one.
//
// Feeding is cheap (a bucket search and two additions) and for the loop's thread only. Everything that
// can be asked when somebody scrapes is not counted at all: it comes from sources.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace decree::api {

// Fixed exponential buckets: first, first*2, ... (the last one open).
class Timings {
 public:
  static constexpr size_t bucket_count = 16;
  explicit Timings(double first_seconds) : first_seconds_(first_seconds) {}
  void observe(double seconds);
  double first_seconds() const { return first_seconds_; }
  const std::array<uint64_t, bucket_count>& buckets() const { return buckets_; }  // not cumulative
  uint64_t count() const { return count_; }
  double sum_seconds() const { return sum_seconds_; }

 private:
  double first_seconds_;
  std::array<uint64_t, bucket_count> buckets_{};
  uint64_t count_ = 0;
  double sum_seconds_ = 0;
};

class Metrics {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  using Source = std::function<double()>;

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // ---- fed by the host ----
  Timings turn_seconds{50e-6};           // decree_turn_seconds
  Timings wal_fsync_seconds{50e-6};      // etcd_disk_wal_fsync_duration_seconds
  Timings backend_commit_seconds{1e-3};  // etcd_disk_backend_commit_duration_seconds: one snapshot file
  uint64_t proposals_failed = 0;         // etcd_server_proposals_failed_total
  uint64_t slow_turns = 0;               // decree_slow_turns_total

  // Asked at every scrape. The same name may come several times with different labels.
  void add_counter(const std::string& name, const std::string& help, Source source, Labels labels = {});
  void add_gauge(const std::string& name, const std::string& help, Source source, Labels labels = {});

  // Exposition format 0.0.4.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::api
