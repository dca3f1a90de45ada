// Crashes and damage of the simulated disk.
#include "storage/memory_state.h"

namespace decree::storage {

using memory::apply;
using memory::EntryOp;
using memory::FileOp;
using memory::Inode;
using memory::Random;

void MemoryFileSystem::crash(uint64_t seed, CrashMode mode) {
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  s.begin_crash();
  if (mode == CrashMode::process_only) return;
  Random random{seed};
  for (const EntryOp& op : s.unsynced) {
    const bool keep = mode == CrashMode::keep_all || (mode == CrashMode::random && random.coin());
    if (keep) State::apply_entry(op, &s.durable, &s.durable_directories);
  }
  s.unsynced.clear();
  s.drop_orphans();
  const bool all_torn = random.next() % 4 == 0;
  std::set<const Inode*> seen;
  for (const auto& [path, inode] : s.durable) {
    if (seen.insert(inode.get()).second) s.settle(inode.get(), &random, mode, all_torn);
  }
  s.visible = s.durable;
  s.visible_directories = s.durable_directories;
}

uint64_t MemoryFileSystem::unsynced_pieces() const {
  const std::lock_guard lock(state_->mutex);
  return state_->pieces().size();
}

void MemoryFileSystem::crash_keeping(const std::vector<bool>& keep) {
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  s.begin_crash();
  const std::vector<State::Piece> pieces = s.pieces();
  for (size_t i = 0; i < pieces.size() && i < keep.size(); ++i) {
    const State::Piece& piece = pieces[i];
    if (!keep[i]) continue;
    if (piece.entry != nullptr) {
      State::apply_entry(*piece.entry, &s.durable, &s.durable_directories);
    } else if (piece.op->kind == FileOp::truncate) {
      apply(*piece.op, &piece.inode->durable);
    } else {
      const bool zeros = piece.op->kind == FileOp::zero;
      piece.inode->durable.write(piece.offset,
                                 zeros ? nullptr : piece.op->data.data() + (piece.offset - piece.op->offset),
                                 piece.end - piece.offset);
    }
  }
  for (const State::Piece& piece : pieces)
    if (piece.inode) State::settled(piece.inode.get());
  s.unsynced.clear();
  s.drop_orphans();
  for (const auto& [path, inode] : s.durable) State::settled(inode.get());
  s.visible = s.durable;
  s.visible_directories = s.durable_directories;
}

void MemoryFileSystem::fail_after(uint64_t n) {
  const std::lock_guard lock(state_->mutex);
  state_->fail_in = n;
  if (n == 0) state_->failed = false;
}

bool MemoryFileSystem::failed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failed;
}

void MemoryFileSystem::fail_next_sync() {
  const std::lock_guard lock(state_->mutex);
  state_->fail_sync = true;
}

void MemoryFileSystem::fail_reads(uint64_t n) {
  const std::lock_guard lock(state_->mutex);
  state_->fail_reads = n;
}

bool MemoryFileSystem::misdirect_next_write(const std::string& directory, const std::string& to,
                                            uint64_t offset) {
  const std::lock_guard lock(state_->mutex);
  const auto it = state_->visible.find(to);
  if (it == state_->visible.end()) return false;
  state_->misdirect_below = join_path(directory, "");
  state_->misdirect_to = it->second;
  state_->misdirect_offset = offset;
  return true;
}

bool MemoryFileSystem::misdirect_pending() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->misdirect_below.empty();
}

uint64_t MemoryFileSystem::operations() const {
  const std::lock_guard lock(state_->mutex);
  return state_->operations;
}

void MemoryFileSystem::set_capacity(uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->capacity = bytes;
}

uint64_t MemoryFileSystem::used_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->used();
}

void MemoryFileSystem::deny(const std::string& directory) {
  const std::lock_guard lock(state_->mutex);
  state_->denied.insert(directory);
}

bool MemoryFileSystem::flip_bit(const std::string& path, uint64_t bit) {
  const std::lock_guard lock(state_->mutex);
  auto it = state_->visible.find(path);
  if (it == state_->visible.end() || bit / 8 >= it->second->visible.size()) return false;
  for (FileContent* content : {&it->second->visible, &it->second->durable}) {
    if (bit / 8 >= content->size()) continue;
    char byte = 0;
    content->read(bit / 8, std::span<char>(&byte, 1));
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1u << (bit % 8)));
    content->write(bit / 8, &byte, 1);
  }
  return true;
}

bool MemoryFileSystem::overwrite(const std::string& path, uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(state_->mutex);
  auto it = state_->visible.find(path);
  if (it == state_->visible.end()) return false;
  it->second->visible.write(offset, bytes.data(), bytes.size());
  it->second->durable.write(offset, bytes.data(), bytes.size());
  return true;
}

void MemoryFileSystem::put_file(const std::string& path, std::string_view content) {
  const std::lock_guard lock(state_->mutex);
  auto inode = std::make_shared<Inode>();
  inode->visible.write(0, content.data(), content.size());
  inode->durable = inode->visible;
  state_->visible[path] = inode;
  state_->durable[path] = inode;
  for (std::string directory = parent_path(path);; directory = parent_path(directory)) {
    state_->visible_directories.insert(directory);
    if (!state_->durable_directories.insert(directory).second) break;
  }
}

bool MemoryFileSystem::remove_file(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  state_->durable.erase(path);
  return state_->visible.erase(path) > 0;
}

bool MemoryFileSystem::resize_file(const std::string& path, uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  auto it = state_->visible.find(path);
  if (it == state_->visible.end()) return false;
  it->second->visible.resize(bytes);
  it->second->durable.resize(bytes);
  return true;
}

std::string MemoryFileSystem::content(const std::string& path) const {
  const std::lock_guard lock(state_->mutex);
  auto it = state_->visible.find(path);
  if (it == state_->visible.end()) return {};
  std::string out(it->second->visible.size(), '\0');
  it->second->visible.read(0, out);
  return out;
}

std::vector<std::string> MemoryFileSystem::files_below(const std::string& directory) const {
  const std::lock_guard lock(state_->mutex);
  const std::string prefix = join_path(directory, "");
  std::vector<std::string> out;
  for (const auto& [path, inode] : state_->visible)
    if (path.compare(0, prefix.size(), prefix) == 0) out.push_back(path);
  return out;
}

}  // namespace decree::storage
