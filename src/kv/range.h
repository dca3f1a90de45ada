// Range in all its forms: at once for what fits a slice, as a job for what does not.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "decree/state_machine.h"

namespace etcdserverpb {
class RangeRequest;
}

namespace decree::kv {

class Mvcc;

// What every answer's header carries.
struct HeaderFields {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  uint64_t term = 0;
};

// A long range as of the revision at which it began, in slices of about 1 ms, while writes go on.
// First prepare() until it is true (counts, sorts, measures); then total_bytes() is the exact size of the
// serialized RangeResponse and next() hands it out piece by piece. It pins its revision: physical compaction
// waits, so drop jobs of gone clients. Memory: a few hundred bytes for ranges in key order; 8 bytes per
// matching key for sorted and filtered ones.
class RangeJob {
 public:
  RangeJob(std::shared_ptr<Mvcc> mvcc, const etcdserverpb::RangeRequest& request, const HeaderFields& header);
  ~RangeJob();
  RangeJob(const RangeJob&) = delete;
  RangeJob& operator=(const RangeJob&) = delete;

  bool prepare();
  uint64_t total_bytes() const;
  // Appends at least one piece and about `bytes_max` bytes; false when all of total_bytes() has been handed
  // out.
  bool next(size_t bytes_max, std::string* out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::kv
