// The directory of snapshots: class SnapshotStore of snapshot_file.h.
#include <algorithm>
#include <cstdio>

#include "decree/sometimes.h"

#include "storage/snapshot_file.h"

namespace decree::storage {

namespace {

std::string snapshot_name(Slot index) {
  char name[32];
  std::snprintf(name, sizeof(name), "%016llx.snap", static_cast<unsigned long long>(index.value));
  return name;
}

// Slot 0: not a snapshot's name.
Slot snapshot_slot(const std::string& name) {
  unsigned long long value = 0;
  if (name.size() != 21 || std::sscanf(name.c_str(), "%16llx", &value) != 1) return Slot(0);
  return snapshot_name(Slot(value)) == name ? Slot(value) : Slot(0);
}

constexpr std::string_view kPart = ".part";

bool is_part(const std::string& name) {
  return name.size() > kPart.size() && name.compare(name.size() - kPart.size(), kPart.size(), kPart) == 0;
}

// Slot 0: not the name of a part.
Slot part_slot(const std::string& name) {
  constexpr size_t snapshot_name_bytes = 21;
  return is_part(name) ? snapshot_slot(name.substr(0, snapshot_name_bytes)) : Slot(0);
}

}  // namespace

SnapshotStore::SnapshotStore(FileSystem& files, std::string directory, ClusterId cluster)
    : files_(files), directory_(std::move(directory)), cluster_(cluster) {}

std::string SnapshotStore::path_of(Slot index) const { return join_path(directory_, snapshot_name(index)); }

Result<void> SnapshotStore::open(std::vector<std::string>* notes) {
  auto names = files_.list(directory_);
  if (!names) return names.error();
  std::vector<Slot> slots;
  for (const std::string& name : *names) {
    if (name.size() > 4 && name.compare(name.size() - 4, 4, ".tmp") == 0) {
      if (auto r = files_.unlink(join_path(directory_, name)); !r) return r;
    } else if (const Slot slot = snapshot_slot(name); slot > Slot(0)) {
      slots.push_back(slot);
    }
  }
  std::sort(slots.rbegin(), slots.rend());
  // A name that was seen may not be durable yet; the log is about to be cut behind it.
  if (auto r = files_.sync_directory(directory_); !r) return r;
  const std::lock_guard lock(mutex_);
  for (const Slot slot : slots) {
    if (!infos_.empty()) {
      older_.push_back(slot);  // not needed now; verified when it is
      continue;
    }
    auto info = verify_snapshot(files_, path_of(slot), cluster_);
    if (info && info->meta.index != slot)
      info = Error{ErrorCode::corrupt,
                   path_of(slot) + ": it is the snapshot of slot " + std::to_string(info->meta.index.value)};
    if (info) {
      infos_.push_back(std::move(*info));
      continue;
    }
    if (info.error().code == ErrorCode::io || info.error().code == ErrorCode::format ||
        info.error().code == ErrorCode::permission) {
      return info.error();
    }
    DECREE_SOMETIMES("a damaged snapshot is found", true);
    damaged_.push_back(snapshot_name(slot));
    if (notes != nullptr) notes->push_back(info.error().message);
  }
  return {};
}

std::optional<SnapshotInfo> SnapshotStore::newest() const {
  const std::lock_guard lock(mutex_);
  if (infos_.empty()) return std::nullopt;
  return infos_.back();
}

std::vector<std::string> SnapshotStore::damaged() const {
  const std::lock_guard lock(mutex_);
  return damaged_;
}

Result<std::unique_ptr<SnapshotReader>> SnapshotStore::read(Slot index) const {
  return SnapshotReader::open(files_, path_of(index));
}

Result<std::unique_ptr<SnapshotPiece>> SnapshotStore::open_piece(Slot index) const {
  SnapshotInfo info;
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(infos_.begin(), infos_.end(),
                                 [&](const SnapshotInfo& i) { return i.meta.index == index; });
    if (it == infos_.end())
      return Error{ErrorCode::not_found,
                   "there is no snapshot at slot " + std::to_string(index.value) + "; ask for the newest"};
    info = *it;
  }
  auto file = files_.open(path_of(index), OpenMode::read_only);
  if (!file) return file.error();
  return std::make_unique<SnapshotPiece>(std::move(info), std::move(*file));
}

Result<std::unique_ptr<File>> SnapshotStore::make_temporary(Slot index) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_temporary_++;
  }
  return files_.open(join_path(directory_, snapshot_name(index) + "." + std::to_string(number) + ".tmp"),
                     OpenMode::create);
}

// Slot and digest: what goes on under this name is byte for byte the same file, whoever sends it.
std::string SnapshotStore::part_name(Slot index, Digest128 digest) const {
  char hex[40];
  std::snprintf(hex, sizeof(hex), ".%016llx%016llx", static_cast<unsigned long long>(digest.hi),
                static_cast<unsigned long long>(digest.lo));
  return snapshot_name(index) + hex + std::string(kPart);
}

Result<void> SnapshotStore::drop_parts(const std::string& but, Slot upto) {
  auto names = files_.list(directory_);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (!is_part(name) || name == but || part_slot(name) > upto) continue;
    if (auto r = files_.unlink(join_path(directory_, name)); !r) return r;
  }
  return {};
}

Result<void> SnapshotStore::install(const std::string& temporary, const SnapshotInfo& info) {
  if (auto r = files_.rename(temporary, path_of(info.meta.index)); !r) return r;
  if (auto r = files_.sync_directory(directory_); !r) return r;
  const std::lock_guard lock(mutex_);
  std::erase_if(infos_, [&](const SnapshotInfo& i) { return i.meta.index == info.meta.index; });
  const auto at = std::partition_point(infos_.begin(), infos_.end(),
                                       [&](const SnapshotInfo& i) { return i.meta.index < info.meta.index; });
  infos_.insert(at, info);
  std::erase(older_, info.meta.index);
  std::erase(damaged_, snapshot_name(info.meta.index));
  return {};
}

Result<void> SnapshotStore::drop_older(size_t keep) {
  DECREE_CHECK(keep >= 1, "the newest snapshot is never dropped");
  std::vector<std::string> names;
  Slot newest_slot;
  {
    const std::lock_guard lock(mutex_);
    if (infos_.empty()) return {};
    newest_slot = infos_.back().meta.index;
    while (infos_.size() > keep) {
      names.push_back(snapshot_name(infos_.front().meta.index));
      infos_.erase(infos_.begin());
    }
    while (!older_.empty() && infos_.size() + older_.size() > keep) {
      names.push_back(snapshot_name(older_.back()));
      older_.pop_back();
    }
    // A damaged file is evidence only until a newer whole one makes it useless.
    const std::string newest = snapshot_name(infos_.back().meta.index);
    std::erase_if(damaged_, [&](const std::string& name) {
      if (name >= newest) return false;
      names.push_back(name);
      return true;
    });
  }
  if (auto r = drop_parts("", newest_slot); !r) return r;
  if (names.empty()) return {};
  for (const std::string& name : names) {
    if (auto r = files_.unlink(join_path(directory_, name)); !r) return r;
  }
  return files_.sync_directory(directory_);
}

}  // namespace decree::storage
