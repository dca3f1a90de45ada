#include "storage/memory_file_system.h"

#include "storage/memory_state.h"

namespace decree::storage {

using memory::apply;
using memory::crashed;
using memory::EntryOp;
using memory::Fate;
using memory::FileOp;
using memory::Inode;

class MemoryFile final : public File {
 public:
  MemoryFile(std::shared_ptr<MemoryFileSystem::State> state, std::shared_ptr<Inode> inode, std::string path,
             bool writable)
      : state_(std::move(state)),
        inode_(std::move(inode)),
        path_(std::move(path)),
        generation_(state_->generation),
        writable_(writable) {}

  Result<size_t> read(uint64_t offset, std::span<char> out) const override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return crashed();
    if (state_->fail_reads > 0) {
      --state_->fail_reads;
      return Error{ErrorCode::io, "read " + path_ + ": simulated input/output error"};
    }
    return inode_->visible.read(offset, out);
  }

  Result<void> write(uint64_t offset, std::string_view bytes) override {
    FileOp op;
    op.kind = FileOp::write;
    op.offset = offset;
    op.bytes = bytes.size();
    op.data = std::string(bytes);
    return change(std::move(op));
  }

  Result<void> zero_fill(uint64_t offset, uint64_t bytes) override {
    FileOp op;
    op.kind = FileOp::zero;
    op.offset = offset;
    op.bytes = bytes;
    return change(std::move(op));
  }

  Result<void> truncate(uint64_t bytes) override {
    FileOp op;
    op.kind = FileOp::truncate;
    op.offset = bytes;
    return change(std::move(op));
  }

  Result<void> sync() override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return crashed();
    if (state_->begin() != Fate::go) return crashed();
    Inode& inode = *inode_;
    if (state_->fail_sync) {
      state_->fail_sync = false;
      inode.unsynced.clear();
      inode.lost_writes = true;
      return Error{ErrorCode::io, "sync " + path_ + ": simulated input/output error"};
    }
    for (const FileOp& op : inode.unsynced) {
      if (inode.lost_writes || op.kind == FileOp::truncate) {
        apply(op, &inode.durable);
      } else {
        inode.durable.share(inode.visible, op.offset, op.bytes);
      }
    }
    // Sharing copied the final content of a page; a later truncate in the same list must win as well.
    if (!inode.lost_writes && inode.durable.size() != inode.visible.size()) inode.durable = inode.visible;
    inode.unsynced.clear();
    return {};
  }

  Result<uint64_t> size() const override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return crashed();
    return inode_->visible.size();
  }

  const std::string& path() const override { return path_; }

 private:
  Result<void> change(FileOp op) {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return crashed();
    DECREE_CHECK(writable_, "write to a file opened for reading");
    const Fate fate = state_->begin();
    if (fate == Fate::dead) return crashed();
    const uint64_t end = op.offset + op.bytes;
    if (state_->capacity != std::numeric_limits<uint64_t>::max() && end > inode_->visible.size() &&
        state_->used() + (end - inode_->visible.size()) > state_->capacity) {
      return Error{ErrorCode::no_space, "write " + path_ + ": the simulated disk is full"};
    }
    if (op.kind == FileOp::write && !state_->misdirect_below.empty() &&
        path_.compare(0, state_->misdirect_below.size(), state_->misdirect_below) == 0) {
      op.offset = state_->misdirect_offset;
      apply(op, &state_->misdirect_to->visible);
      apply(op, &state_->misdirect_to->durable);
      state_->misdirect_below.clear();
      state_->misdirect_to.reset();
      return {};
    }
    apply(op, &inode_->visible);
    inode_->unsynced.push_back(std::move(op));
    if (fate == Fate::strike) return crashed();
    return {};
  }

  std::shared_ptr<MemoryFileSystem::State> state_;
  std::shared_ptr<Inode> inode_;
  std::string path_;
  uint64_t generation_;
  bool writable_;
};

class MemoryLock final : public FileLock {
 public:
  MemoryLock(std::shared_ptr<MemoryFileSystem::State> state, std::string path)
      : state_(std::move(state)), path_(std::move(path)), generation_(state_->generation) {}
  ~MemoryLock() override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ == state_->generation) state_->locks.erase(path_);
  }
  MemoryLock(const MemoryLock&) = delete;
  MemoryLock& operator=(const MemoryLock&) = delete;

 private:
  std::shared_ptr<MemoryFileSystem::State> state_;
  std::string path_;
  uint64_t generation_;
};

MemoryFileSystem::MemoryFileSystem() : state_(std::make_shared<State>()) {}
MemoryFileSystem::~MemoryFileSystem() = default;
MemoryFileSystem::MemoryFileSystem(const MemoryFileSystem& other) : state_(std::make_shared<State>()) {
  *this = other;
}

MemoryFileSystem& MemoryFileSystem::operator=(const MemoryFileSystem& other) {
  if (this == &other) return *this;
  auto fresh = std::make_shared<State>();
  const std::lock_guard lock(other.state_->mutex);
  const State& from = *other.state_;
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  const auto copy = [&copies](const std::shared_ptr<Inode>& inode) {
    if (!inode) return inode;
    std::shared_ptr<Inode>& made = copies[inode.get()];
    if (!made) made = std::make_shared<Inode>(*inode);
    return made;
  };
  for (const auto& [path, inode] : from.visible) fresh->visible[path] = copy(inode);
  for (const auto& [path, inode] : from.durable) fresh->durable[path] = copy(inode);
  for (EntryOp op : from.unsynced) {
    op.inode = copy(op.inode);
    fresh->unsynced.push_back(std::move(op));
  }
  fresh->visible_directories = from.visible_directories;
  fresh->durable_directories = from.durable_directories;
  fresh->denied = from.denied;
  fresh->operations = from.operations;
  fresh->capacity = from.capacity;
  state_ = std::move(fresh);
  return *this;
}

Result<std::unique_ptr<File>> MemoryFileSystem::open(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  if (s.is_denied(path)) return Error{ErrorCode::permission, "open " + path + ": permission denied"};
  auto it = s.visible.find(path);
  if (mode == OpenMode::create) {
    if (it != s.visible.end()) return Error{ErrorCode::io, "create " + path + ": it exists already"};
    if (!s.visible_directories.contains(parent_path(path)))
      return Error{ErrorCode::not_found, "create " + path + ": no such directory"};
    const Fate fate = s.begin();
    if (fate == Fate::dead) return crashed();
    if (s.used() >= s.capacity)
      return Error{ErrorCode::no_space, "create " + path + ": the simulated disk is full"};
    EntryOp op;
    op.kind = EntryOp::create;
    op.path = path;
    op.inode = std::make_shared<Inode>();
    auto inode = op.inode;
    s.entry(std::move(op));
    if (fate == Fate::strike) return crashed();
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(state_, std::move(inode), path, true));
  }
  if (s.visible_directories.contains(path))
    return Error{ErrorCode::invalid, "open " + path + ": it is a directory"};
  if (it == s.visible.end()) return Error{ErrorCode::not_found, "open " + path + ": no such file"};
  return std::unique_ptr<File>(
      std::make_unique<MemoryFile>(state_, it->second, path, mode != OpenMode::read_only));
}

Result<void> MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(state_->mutex);
  auto it = state_->visible.find(from);
  const bool is_directory = state_->visible_directories.contains(from);
  if (it == state_->visible.end() && !is_directory)
    return Error{ErrorCode::not_found, "rename " + from + ": no such file"};
  DECREE_CHECK(parent_path(from) == parent_path(to), "a rename across directories is not simulated");
  const Fate fate = state_->begin();
  if (fate == Fate::dead) return crashed();
  EntryOp op;
  op.kind = is_directory ? EntryOp::rename_directory : EntryOp::rename;
  op.path = from;
  op.to = to;
  if (!is_directory) op.inode = it->second;
  state_->entry(std::move(op));
  if (fate == Fate::strike) return crashed();
  return {};
}

Result<void> MemoryFileSystem::unlink(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->visible.contains(path))
    return Error{ErrorCode::not_found, "remove " + path + ": no such file"};
  const Fate fate = state_->begin();
  if (fate == Fate::dead) return crashed();
  EntryOp op;
  op.kind = EntryOp::remove;
  op.path = path;
  state_->entry(std::move(op));
  if (fate == Fate::strike) return crashed();
  return {};
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& directory) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->is_denied(directory))
    return Error{ErrorCode::permission, "list " + directory + ": permission denied"};
  if (!state_->visible_directories.contains(directory))
    return Error{ErrorCode::not_found, "list " + directory + ": no such directory"};
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path != directory && parent_path(path) == directory)
      names.push_back(path.substr(path.rfind('/') + 1));
  };
  for (const auto& [path, inode] : state_->visible) add(path);
  for (const std::string& path : state_->visible_directories) {
    if (path != "/" && path != ".") add(path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> MemoryFileSystem::make_directory(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  if (state_->is_denied(path))
    return Error{ErrorCode::permission, "make directory " + path + ": permission denied"};
  if (state_->visible.contains(path)) {
    return Error{ErrorCode::invalid,
                 path + " exists and is not a directory; remove it or choose another directory"};
  }
  if (state_->visible_directories.contains(path)) return {};
  if (!state_->visible_directories.contains(parent_path(path)))
    return Error{ErrorCode::not_found, "make directory " + path + ": its parent does not exist"};
  const Fate fate = state_->begin();
  if (fate == Fate::dead) return crashed();
  EntryOp op;
  op.kind = EntryOp::make_directory;
  op.path = path;
  state_->entry(std::move(op));
  if (fate == Fate::strike) return crashed();
  return {};
}

Result<void> MemoryFileSystem::sync_directory(const std::string& directory) {
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  if (!s.visible_directories.contains(directory))
    return Error{ErrorCode::not_found, "sync " + directory + ": no such directory"};
  if (s.begin() != Fate::go) return crashed();
  std::vector<EntryOp> rest;
  for (EntryOp& op : s.unsynced) {
    if (parent_path(op.path) == directory) {
      State::apply_entry(op, &s.durable, &s.durable_directories);
    } else {
      rest.push_back(std::move(op));
    }
  }
  s.unsynced = std::move(rest);
  return {};
}

Result<PathKind> MemoryFileSystem::kind(const std::string& path) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->visible_directories.contains(path)) return PathKind::directory;
  return state_->visible.contains(path) ? PathKind::file : PathKind::absent;
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::lock(const std::string& path) {
  const std::lock_guard guard(state_->mutex);
  State& s = *state_;
  if (s.is_denied(path)) return Error{ErrorCode::permission, "lock " + path + ": permission denied"};
  if (!s.visible_directories.contains(parent_path(path)))
    return Error{ErrorCode::not_found, "lock " + path + ": no such directory"};
  if (s.locks.contains(path)) {
    return Error{
        ErrorCode::locked,
        path + " is held by another process; stop it first, or give this one a directory of its own"};
  }
  if (!s.visible.contains(path)) {
    const Fate fate = s.begin();
    if (fate != Fate::go) return crashed();
    EntryOp op;
    op.kind = EntryOp::create;
    op.path = path;
    op.inode = std::make_shared<Inode>();
    s.entry(std::move(op));
  }
  s.locks.insert(path);
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>(state_, path));
}

Result<uint64_t> MemoryFileSystem::free_bytes(const std::string&) const {
  const std::lock_guard lock(state_->mutex);
  const uint64_t used = state_->used();
  return state_->capacity > used ? state_->capacity - used : 0;
}

bool MemoryFileSystem::is_open_to_others(const std::string&) const { return false; }

}  // namespace decree::storage
