// A disk in memory for tests, the laboratory and fuzzing: keeps what was synced apart from what was not, and
// can lose, keep or tear the latter. Deterministic: the same calls and seeds give the same disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_system.h"

namespace decree::storage {

enum class CrashMode : uint8_t {
  random,        // each unsynced write is dropped, kept or torn by 512-byte sectors, some or all of which are
                 // garbage then; each unsynced entry dropped or kept. One crash in four tears them all
  drop_all,      // exactly what was synced
  keep_all,      // everything reached the disk in time
  process_only,  // kill -9: what was not synced is still seen, and still lost by a later power failure
};

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;
  // A copy is a fork of the disk: same content, same unsynced writes, independent from then on. Open files
  // and locks stay with the original.
  MemoryFileSystem(const MemoryFileSystem& other);
  MemoryFileSystem& operator=(const MemoryFileSystem& other);

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) const override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> sync_directory(const std::string& directory) override;
  Result<PathKind> kind(const std::string& path) const override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) const override;
  bool is_open_to_others(const std::string& path) const override;

  // ---- faults ----
  // Power failure (or kill -9): decides the fate of everything unsynced, closes all files (their handles
  // answer errors from now on), frees all locks, disarms fail_after.
  void crash(uint64_t seed, CrashMode mode = CrashMode::random);
  // What a crash now would decide about, in a fixed order: every unsynced entry, then every 512-byte sector
  // of an unsynced write; a truncation is one piece.
  uint64_t unsynced_pieces() const;
  // Power failure that keeps exactly the pieces whose bit is set; missing bits are false. For trying all
  // subsets.
  void crash_keeping(const std::vector<bool>& keep);
  // The n-th mutating call from now (1 = the next) is begun but answers an io error, and so does every later
  // one until crash(): the owner dies in the middle of it. 0 disarms.
  void fail_after(uint64_t n);
  bool failed() const;  // an armed failure has struck
  // The next sync of a file answers an io error and loses what it should have made durable, although reads
  // still show it.
  void fail_next_sync();
  // The next n reads of files answer io errors; crash() disarms.
  void fail_reads(uint64_t n);
  // The next write to a file below `directory` lands in `to` at `offset` instead, durable there, and nobody
  // is told; its own place keeps what it had. crash() disarms. False: there is no such file.
  bool misdirect_next_write(const std::string& directory, const std::string& to, uint64_t offset);
  bool misdirect_pending() const;
  // Mutating calls so far (write, zero_fill, truncate, sync, create, rename, unlink, make_directory,
  // sync_directory).
  uint64_t operations() const;
  // Sum of all file sizes beyond this answers no_space. Default: no limit.
  void set_capacity(uint64_t bytes);
  uint64_t used_bytes() const;
  // Opening anything below `directory` answers ErrorCode::permission.
  void deny(const std::string& directory);

  // ---- damage: changes synced and visible content alike, without any error being seen ----
  bool flip_bit(const std::string& path, uint64_t bit);
  bool overwrite(const std::string& path, uint64_t offset, std::string_view bytes);
  void put_file(const std::string& path, std::string_view content);  // makes or replaces
  bool remove_file(const std::string& path);
  bool resize_file(const std::string& path, uint64_t bytes);
  std::string content(const std::string& path) const;                        // empty when absent
  std::vector<std::string> files_below(const std::string& directory) const;  // full paths, sorted

 private:
  struct State;
  friend class MemoryFile;
  friend class MemoryLock;
  std::shared_ptr<State> state_;
};

}  // namespace decree::storage
