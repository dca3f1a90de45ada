// Latency histogram with logarithmic buckets: fixed size, one array access per sample, every
// percentile within 1 % of the true value (as HdrHistogram).
//
// Values up to 255 have a bucket of their own; above, each power of two is cut into 128 equal parts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace decree::client {

class Histogram {
 public:
  Histogram();
  Histogram(const Histogram& other);
  Histogram& operator=(const Histogram& other);
  Histogram(Histogram&&) noexcept = default;
  Histogram& operator=(Histogram&&) noexcept = default;

  void record(uint64_t value);
  void merge(const Histogram& other);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }
  // The smallest value v such that at least `fraction` of the samples are <= v (the bucket's middle,
  // never above max()). 0 without samples.
  uint64_t percentile(double fraction) const;

 private:
  static constexpr int parts_log2 = 7;
  static constexpr size_t parts = size_t{1} << parts_log2;
  static constexpr size_t bucket_count = (64 - parts_log2 + 1) * parts;
  using Buckets = std::array<uint64_t, bucket_count>;

  static size_t bucket_of(uint64_t value);
  static uint64_t middle_of(size_t bucket);

  std::unique_ptr<Buckets> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace decree::client
