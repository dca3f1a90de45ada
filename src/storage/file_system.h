// What the storage layer needs from an operating system, small enough to be simulated exactly.
//
// Two implementations: posix_file_system (real) and memory_file_system (simulation: loses, tears and
// corrupts what was not synced). Nothing else in src/storage touches a file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decree/result.h"

namespace decree::storage {

// One open file. Reads may come from any thread at any time; writes from one thread at a time.
class File {
 public:
  virtual ~File() = default;
  // Fills `out` from `offset`; fewer bytes than asked for only at the end of the file.
  virtual Result<size_t> read(uint64_t offset, std::span<char> out) const = 0;
  // All or an error; after an error any part of the range may have been written.
  virtual Result<void> write(uint64_t offset, std::string_view bytes) = 0;
  // Content and size are durable AFTER this returned ok. After an error nothing is known and nothing may be
  // retried.
  virtual Result<void> sync() = 0;
  // Writes zeros over [offset, offset + bytes), extending the file, so that later writes there need no new
  // blocks and cannot run out of space once this was synced.
  virtual Result<void> zero_fill(uint64_t offset, uint64_t bytes) = 0;
  virtual Result<void> truncate(uint64_t bytes) = 0;
  virtual Result<uint64_t> size() const = 0;
  virtual const std::string& path() const = 0;
};

// Held as long as it lives.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode : uint8_t {
  read_only,
  read_write,  // must exist
  create,      // must not exist; 0600
};

enum class PathKind : uint8_t { absent, file, directory, other };

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  // Replaces `to` when it exists. Durable after sync_directory of both parents.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> unlink(const std::string& path) = 0;
  // Names (not paths), sorted, without "." and "..".
  virtual Result<std::vector<std::string>> list(const std::string& directory) const = 0;
  // 0700. Ok when it is a directory already.
  virtual Result<void> make_directory(const std::string& path) = 0;
  // Entries made, renamed and removed in `directory` are durable AFTER this returned ok.
  virtual Result<void> sync_directory(const std::string& directory) = 0;
  virtual Result<PathKind> kind(const std::string& path) const = 0;
  // Creates the file when needed. ErrorCode::locked when another holder lives.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
  virtual Result<uint64_t> free_bytes(const std::string& path) const = 0;
  // True when someone other than the owner may read or enter the directory.
  virtual bool is_open_to_others(const std::string& path) const = 0;
};

std::string join_path(std::string_view directory, std::string_view name);
// "." for a name without a slash.
std::string parent_path(std::string_view path);

// Reads a whole file of at most `bytes_max`; ErrorCode::too_large beyond.
Result<std::string> read_whole(FileSystem& files, const std::string& path, uint64_t bytes_max);
// A file of its own in place of what has that name. Its bytes are durable on return, its name after a
// sync_directory().
Result<void> write_whole(FileSystem& files, const std::string& path, std::string_view bytes);

}  // namespace decree::storage
