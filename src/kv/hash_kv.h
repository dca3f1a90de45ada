// etcd's HashKV: CRC32-C over "key" and every version that compaction would keep, in revision order, in
// etcd's own record layout. The same history on etcd and here gives the same number.
#pragma once

#include <cstdint>
#include <memory>

#include "decree/state_machine.h"
#include "kv/range.h"

namespace decree::kv {

// O(n) in slices; pins its revision.
class HashJob {
 public:
  HashJob(std::shared_ptr<Mvcc> mvcc, int64_t revision, const HeaderFields& header);
  ~HashJob();
  HashJob(const HashJob&) = delete;
  HashJob& operator=(const HashJob&) = delete;

  bool step();          // one slice; true when finished
  Reply reply() const;  // HashKVResponse

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::kv
