// Shared by the storage tests: records, directories and comparisons.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/data_dir.h"
#include "storage/memory_file_system.h"
#include "storage/wal_format.h"

namespace decree::storage::testing {

inline Identity test_identity() {
  return Identity{ClusterId(0xc1), NodeId(1), 0xabc, Incarnation(0x1234567)};
}

inline Ballot ballot(uint32_t round, uint32_t node = 1, uint32_t epoch = 0) {
  return Ballot{epoch, round, 0, NodeId(node)};
}

inline Entry command(uint64_t seq, const std::string& payload) {
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = RequestId{NodeId(1), 1, seq};
  entry.digest = Digest128{seq * 31 + payload.size(), seq};
  if (!payload.empty()) entry.payload = std::make_shared<const std::string>(payload);
  return entry;
}

inline Membership three_members(uint32_t epoch = 0, Slot base = Slot(1)) {
  std::vector<Member> members;
  for (uint32_t n = 1; n <= 3; ++n) {
    Member m;
    m.node = NodeId(n);
    m.member_id = 100 + n;
    m.name = "m" + std::to_string(n);
    members.push_back(m);
  }
  return make_membership(std::move(members), epoch, base);
}

inline AcceptRecord accept(const Ballot& b, uint64_t first, uint64_t count, const std::string& payload) {
  AcceptRecord record;
  record.ballot = b;
  record.first = Slot(first);
  for (uint64_t i = 0; i < count; ++i)
    record.entries.push_back(command(first + i, payload + std::to_string(first + i)));
  return record;
}

inline LawRecord law(uint64_t first, uint64_t count, const std::string& payload) {
  LawRecord record;
  record.first = Slot(first);
  for (uint64_t i = 0; i < count; ++i)
    record.entries.push_back(command(first + i, payload + std::to_string(first + i)));
  return record;
}

inline std::vector<PersistedRecord> batch(std::vector<Record> records) {
  std::vector<PersistedRecord> out;
  uint64_t token = 1;
  for (Record& record : records) out.push_back(PersistedRecord{LogToken(token++), std::move(record)});
  return out;
}

inline OpenOptions small_options() {
  OpenOptions options;
  options.create = test_identity();
  options.wal.segment_bytes = 16 * 1024;
  options.wal.opening_segment_bytes = 8 * 1024;
  options.wal.block_bytes = 512;
  return options;
}

inline constexpr const char* kDir = "/data/m1";
constexpr uint64_t kBlock = 512;  // of the log

inline std::string segment(uint64_t sequence) { return std::string(kDir) + "/wal/" + segment_name(sequence); }

inline Result<std::unique_ptr<DataDir>> open_dir(MemoryFileSystem& files,
                                                 const OpenOptions& options = small_options()) {
  return DataDir::open(files, kDir, options);
}

// Aborts the test with the error's sentence.
template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.error().message;
    std::abort();
  }
  return std::move(result).value();
}

inline void must(const Result<void>& result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.error().message;
    std::abort();
  }
}

inline std::string error_of(const Result<void>& result) { return result.ok() ? "" : result.error().message; }
template <class T>
std::string error_of(const Result<T>& result) {
  return result.ok() ? "" : result.error().message;
}

// Readable names of segment files, ascending.
inline std::vector<std::string> segment_files(const MemoryFileSystem& files) {
  std::vector<std::string> out;
  for (const std::string& path : files.files_below(std::string(kDir) + "/wal")) out.push_back(path);
  return out;
}

}  // namespace decree::storage::testing
