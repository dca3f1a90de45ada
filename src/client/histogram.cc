#include "client/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace decree::client {

Histogram::Histogram() : buckets_(std::make_unique<Buckets>()) {}

Histogram::Histogram(const Histogram& other)
    : buckets_(std::make_unique<Buckets>(*other.buckets_)),
      count_(other.count_),
      sum_(other.sum_),
      max_(other.max_) {}

Histogram& Histogram::operator=(const Histogram& other) {
  if (this != &other) *this = Histogram(other);
  return *this;
}

size_t Histogram::bucket_of(uint64_t value) {
  if (value < 2 * parts) return static_cast<size_t>(value);
  const int shift = std::bit_width(value) - 1 - parts_log2;
  return (static_cast<size_t>(shift) << parts_log2) + static_cast<size_t>(value >> shift);
}

uint64_t Histogram::middle_of(size_t bucket) {
  if (bucket < 2 * parts) return bucket;
  const int shift = static_cast<int>(bucket >> parts_log2) - 1;
  const uint64_t low = (static_cast<uint64_t>(bucket & (parts - 1)) + parts) << shift;
  return low + (uint64_t{1} << shift) / 2;
}

void Histogram::record(uint64_t value) {
  ++(*buckets_)[bucket_of(value)];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, value);
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < bucket_count; ++i) (*buckets_)[i] += (*other.buckets_)[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void Histogram::clear() {
  buckets_->fill(0);
  count_ = sum_ = max_ = 0;
}

uint64_t Histogram::percentile(double fraction) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  if (rank == count_) return max_;
  uint64_t seen = 0;
  for (size_t i = 0; i < bucket_count; ++i) {
    seen += (*buckets_)[i];
    if (seen >= rank) return std::min(middle_of(i), max_);
  }
  return max_;
}

}  // namespace decree::client
