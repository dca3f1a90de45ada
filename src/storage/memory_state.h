// Inside of the simulated disk, shared by memory_file_system.cc (what a disk does) and memory_faults.cc (what
// it suffers).
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "storage/memory_content.h"
#include "storage/memory_file_system.h"

namespace decree::storage {

namespace memory {

constexpr uint64_t kSectorBytes = 512;

struct FileOp {
  enum Kind : uint8_t { write, zero, truncate } kind = write;
  uint64_t offset = 0;  // of truncate: the new size
  uint64_t bytes = 0;
  std::string data;
};

struct Inode {
  FileContent visible;
  FileContent durable;
  std::vector<FileOp> unsynced;
  bool lost_writes = false;  // a failed sync left `visible` ahead of `durable` for ever
};

inline void apply(const FileOp& op, FileContent* content) {
  if (op.kind == FileOp::truncate) {
    content->resize(op.offset);
  } else {
    content->write(op.offset, op.kind == FileOp::write ? op.data.data() : nullptr, op.bytes);
  }
}

struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  bool coin() { return (next() & 1) != 0; }
};

struct EntryOp {
  enum Kind : uint8_t { create, remove, rename, rename_directory, make_directory } kind = create;
  std::string path;
  std::string to;
  std::shared_ptr<Inode> inode;
};

enum class Fate : uint8_t { go, strike, dead };

inline Error crashed() { return Error{ErrorCode::io, "the simulated machine has crashed"}; }

}  // namespace memory

// Everything behind the mutex of a simulated disk: what is seen, what is durable, and what is in between.
struct MemoryFileSystem::State {
  using EntryOp = memory::EntryOp;
  using FileOp = memory::FileOp;
  using Inode = memory::Inode;
  using Fate = memory::Fate;
  using Random = memory::Random;

  mutable std::mutex mutex;
  std::map<std::string, std::shared_ptr<Inode>> visible;
  std::map<std::string, std::shared_ptr<Inode>> durable;
  std::set<std::string> visible_directories{"/", "."};
  std::set<std::string> durable_directories{"/", "."};
  std::vector<EntryOp> unsynced;
  std::set<std::string> locks;
  std::set<std::string> denied;
  uint64_t generation = 1;
  uint64_t operations = 0;
  uint64_t fail_in = 0;
  bool failed = false;
  bool fail_sync = false;
  uint64_t fail_reads = 0;
  std::string misdirect_below;  // empty: none
  std::shared_ptr<Inode> misdirect_to;
  uint64_t misdirect_offset = 0;
  uint64_t capacity = std::numeric_limits<uint64_t>::max();

  Fate begin() {
    ++operations;
    if (failed) return Fate::dead;
    if (fail_in > 0 && --fail_in == 0) {
      failed = true;
      return Fate::strike;
    }
    return Fate::go;
  }

  uint64_t used() const {
    uint64_t sum = 0;
    for (const auto& [path, inode] : visible) sum += inode->visible.size();
    return sum;
  }

  bool is_denied(const std::string& path) const {
    for (const std::string& directory : denied)
      if (path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0) return true;
    return false;
  }

  static void apply_entry(const EntryOp& op, std::map<std::string, std::shared_ptr<Inode>>* files,
                          std::set<std::string>* directories) {
    switch (op.kind) {
      case EntryOp::create:
        (*files)[op.path] = op.inode;
        break;
      case EntryOp::remove:
        files->erase(op.path);
        break;
      case EntryOp::rename:
        files->erase(op.path);
        (*files)[op.to] = op.inode;
        break;
      case EntryOp::rename_directory:
        rename_directory(op, files, directories);
        break;
      case EntryOp::make_directory:
        directories->insert(op.path);
        break;
    }
  }

  static void rename_directory(const EntryOp& op, std::map<std::string, std::shared_ptr<Inode>>* files,
                               std::set<std::string>* directories) {
    if (directories->erase(op.path) == 0) return;
    directories->insert(op.to);
    const std::string below = op.path + "/";
    for (auto it = files->lower_bound(below);
         it != files->end() && it->first.compare(0, below.size(), below) == 0; it = files->erase(it))
      (*files)[op.to + "/" + it->first.substr(below.size())] = it->second;
  }

  void entry(EntryOp op) {
    apply_entry(op, &visible, &visible_directories);
    unsynced.push_back(std::move(op));
  }

  // `all_torn`: everything was on its way when the power failed.
  void settle(Inode* inode, Random* random, CrashMode mode, bool all_torn) const {
    for (const FileOp& op : inode->unsynced) {
      const uint64_t fate = mode == CrashMode::drop_all   ? 0
                            : mode == CrashMode::keep_all ? 1
                            : all_torn                    ? 2
                                                          : random->next() % 3;
      if (fate == 0) continue;
      if (fate == 1 || op.kind == FileOp::truncate) {
        memory::apply(op, &inode->durable);
        continue;
      }
      // Flash loses the page it programs, all its sectors at once.
      const bool page_lost = op.kind == FileOp::write && random->next() % 4 == 0;
      for (uint64_t at = op.offset; at < op.offset + op.bytes;) {
        const uint64_t end =
            std::min(op.offset + op.bytes, (at / memory::kSectorBytes + 1) * memory::kSectorBytes);
        const uint64_t lot = page_lost ? 0 : random->next() % 16;
        if (lot == 0) {  // the sector under the head: neither old nor new
          const std::string garbage(end - at, static_cast<char>(random->next() | 1));
          inode->durable.write(at, garbage.data(), end - at);
        } else if (lot < 8) {
          inode->durable.write(at, op.kind == FileOp::write ? op.data.data() + (at - op.offset) : nullptr,
                               end - at);
        }
        at = end;
      }
    }
    settled(inode);
  }

  static void settled(Inode* inode) {
    inode->unsynced.clear();
    inode->lost_writes = false;
    inode->visible = inode->durable;
  }

  // What a crash decides about; either `entry` or `inode` and `op`.
  struct Piece {
    const EntryOp* entry = nullptr;
    std::shared_ptr<Inode> inode;
    const FileOp* op = nullptr;
    uint64_t offset = 0;
    uint64_t end = 0;
  };

  std::vector<Piece> pieces() const {
    std::vector<Piece> out;
    for (const EntryOp& op : unsynced) out.push_back(Piece{&op, nullptr, nullptr, 0, 0});
    std::set<const Inode*> seen;
    const auto add = [&](const std::shared_ptr<Inode>& inode) {
      if (!inode || !seen.insert(inode.get()).second) return;
      for (const FileOp& op : inode->unsynced) {
        if (op.kind == FileOp::truncate) out.push_back(Piece{nullptr, inode, &op, 0, 0});
        for (uint64_t at = op.offset; op.kind != FileOp::truncate && at < op.offset + op.bytes;) {
          const uint64_t end =
              std::min(op.offset + op.bytes, (at / memory::kSectorBytes + 1) * memory::kSectorBytes);
          out.push_back(Piece{nullptr, inode, &op, at, end});
          at = end;
        }
      }
    };
    for (const auto& [path, inode] : durable) add(inode);
    for (const EntryOp& op : unsynced) add(op.inode);
    return out;
  }

  void begin_crash() {
    locks.clear();
    ++generation;
    fail_in = 0;
    failed = false;
    fail_sync = false;
    fail_reads = 0;
    misdirect_below.clear();
    misdirect_to.reset();
  }

  // What lies below a directory whose own entry was lost is gone with it. Parents sort before their children.
  void drop_orphans() {
    for (auto it = durable_directories.begin(); it != durable_directories.end();)
      it = durable_directories.contains(parent_path(*it)) ? std::next(it) : durable_directories.erase(it);
    for (auto it = durable.begin(); it != durable.end();)
      it = durable_directories.contains(parent_path(it->first)) ? std::next(it) : durable.erase(it);
  }
};

}  // namespace decree::storage
