// A backup as Maintenance.Snapshot streams it and as tools keep it in a file:
//
//   the state machine's own snapshot (kv/snapshot.h), then filling of 2 to 513 bytes, zeros but for the last
//   two: its length, u16 little-endian; then SHA-256 of all of that. The whole is 32 bytes more than a
//   multiple of 512, which is how etcdctl's `snapshot save` knows a stream with a checksum at its end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "decree/result.h"
#include "decree/state_machine.h"

struct evp_md_ctx_st;

namespace decree::api {

constexpr size_t backup_digest_bytes = 32;
constexpr size_t backup_filling_max = 513;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::string_view bytes);
  std::string finish();  // 32 bytes, once

 private:
  evp_md_ctx_st* context_;
};

class BackupSource {
 public:
  explicit BackupSource(std::unique_ptr<SnapshotSource> machine) : machine_(std::move(machine)) {}
  // Appends about `bytes_max` bytes; false when nothing is left.
  bool next(size_t bytes_max, std::string* out);

 private:
  std::unique_ptr<SnapshotSource> machine_;
  Sha256 digest_;
  uint64_t bytes_ = 0;
};

// Takes the bytes of a backup in pieces and hands the machine's own on to `machine`.
class BackupSink {
 public:
  explicit BackupSink(std::unique_ptr<SnapshotSink> machine) : machine_(std::move(machine)) {}
  Result<void> write(std::string_view bytes);
  // Verifies checksum and content, then replaces the machine's state.
  Result<void> finish();

 private:
  Result<void> pass_on(std::string_view bytes);
  std::unique_ptr<SnapshotSink> machine_;
  Sha256 digest_;
  std::string held_;  // may be filling and digest
  uint64_t bytes_ = 0;
};

}  // namespace decree::api
