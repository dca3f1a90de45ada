#include "storage/data_dir.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "storage/wal_recovery.h"

namespace decree::storage {

namespace {

constexpr const char* kLock = "lock";
constexpr const char* kSuperblock = "superblock";
constexpr const char* kSuperblockTemporary = "superblock.tmp";
constexpr const char* kWal = "wal";
constexpr const char* kSnapshots = "snapshots";

enum class Content : uint8_t { fresh, ours };  // fresh: empty, or a creation that a crash cut off

constexpr const char* kDisowned = "disowned";
constexpr const char* kAside = ".damaged-";

bool is_ours(const std::string& name) {
  return name == kLock || name == kSuperblockTemporary || name == kWal || name == kSnapshots ||
         name == kDisowned || name.find(kAside) != std::string::npos || name == "lost+found";
}

Result<bool> has_files(FileSystem& files, const std::string& directory, std::string_view suffix) {
  auto kind = files.kind(directory);
  if (!kind) return kind.error();
  if (*kind != PathKind::directory) return false;
  auto names = files.list(directory);
  if (!names) return names.error();
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    return name.size() >= suffix.size() &&
           std::string_view(name).substr(name.size() - suffix.size()) == suffix;
  });
}

Result<Content> classify(FileSystem& files, const std::string& path) {
  auto names = files.list(path);
  if (!names) return names.error();
  if (std::find(names->begin(), names->end(), kDisowned) != names->end()) {
    auto why = read_whole(files, join_path(path, kDisowned), 4096);
    return Error{ErrorCode::corrupt, path + ": " + (why ? *why : why.error().message)};
  }
  if (std::find(names->begin(), names->end(), kSuperblock) != names->end()) return Content::ours;
  for (const std::string& name : *names) {
    if (is_ours(name)) continue;
    return Error{ErrorCode::invalid, path + " is not a Decree data directory and not empty (it holds \"" +
                                         name + "\"); choose another directory"};
  }
  // The superblock is there before the first segment or snapshot is.
  auto segments = has_files(files, join_path(path, kWal), ".wal");
  if (!segments) return segments.error();
  auto snapshots = has_files(files, join_path(path, kSnapshots), ".snap");
  if (!snapshots) return snapshots.error();
  if (*segments || *snapshots) {
    return Error{ErrorCode::corrupt,
                 join_path(path, kSuperblock) +
                     " is missing although there is a log: this member's promises are "
                     "lost and it must not vote; put the file back, or replace this member: remove it "
                     "from the cluster and add it again with an empty directory"};
  }
  return Content::fresh;
}

// Makes the directory and its parents; each entry is durable when it returns.
Result<void> make_directories(FileSystem& files, const std::string& path) {
  auto kind = files.kind(path);
  if (!kind) return kind.error();
  if (*kind == PathKind::directory) return {};
  const std::string parent = parent_path(path);
  if (*kind == PathKind::absent && parent != path) {
    if (auto r = make_directories(files, parent); !r) return r;
  }
  if (auto r = files.make_directory(path); !r) return r;
  return files.sync_directory(parent);
}

// Directories on the way may have been made by a start that was killed before it synced their entries. Those
// of others cannot always be opened and were there before.
Result<void> sync_ancestors(FileSystem& files, const std::string& path) {
  for (std::string at = path; parent_path(at) != at; at = parent_path(at)) {
    auto r = files.sync_directory(parent_path(at));
    if (!r && r.error().code != ErrorCode::permission) return r;
  }
  return {};
}

// May run again after a crash anywhere in it: the superblock, which comes last, is what makes the directory
// ours.
Result<void> create_content(FileSystem& files, const std::string& path, const Identity& identity) {
  if (auto r = sync_ancestors(files, path); !r) return r;
  for (const char* name : {kWal, kSnapshots}) {
    if (auto r = files.make_directory(join_path(path, name)); !r) return r;
  }
  if (auto r = files.sync_directory(path); !r) return r;
  SuperblockState state;
  state.identity = identity;
  return Superblock::create(files, join_path(path, kSuperblock), state);
}

std::string describe(const Identity& identity) {
  char text[128];
  std::snprintf(text, sizeof(text), "member %llx (node %u) of cluster %llx",
                static_cast<unsigned long long>(identity.member_id), identity.node.value,
                static_cast<unsigned long long>(identity.cluster.value));
  return text;
}

Result<void> check_identity(const std::string& path, const Identity& found,
                            const std::optional<Identity>& expected) {
  if (!expected) return {};
  if (found.cluster == expected->cluster && found.node == expected->node &&
      found.member_id == expected->member_id)
    return {};
  const char* whose = found.cluster == expected->cluster ? "another member" : "another cluster";
  return Error{ErrorCode::identity,
               path + " belongs to " + whose + ": it holds the data of " + describe(found) +
                   ", but this is " + describe(*expected) +
                   "; start with the right data directory or the right name, token and initial cluster"};
}

// Who can give back what is damaged? Nobody, where there is no other member.
bool has_peers(const RecoveredLog& log) {
  return log.carried.has_epoch && log.carried.epoch.membership.members.size() > 1;
}

Error not_a_directory(const std::string& path) {
  return Error{ErrorCode::invalid, path + " is not a directory; choose another path for the data directory"};
}

}  // namespace

struct DataDir::Impl {
  FileSystem* files = nullptr;
  std::string path;
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<Superblock> superblock;
  std::unique_ptr<SnapshotStore> snapshots;
  std::unique_ptr<Wal> wal;
  Identity identity;
  uint64_t boot = 0;
  bool created = false;
  RecoveredState recovered;
  std::vector<std::string> notes;

  Result<void> open(const OpenOptions& options);
  Result<void> prepare_directory(const OpenOptions& options);
  Result<void> sync_entries();
  Result<void> check_epoch(const RecoveredLog& log) const;
  Result<void> adopt_snapshot(const SnapshotMeta& meta, RecoveredLog* log) const;
  void fill_recovered(RecoveredLog log, const std::optional<SnapshotInfo>& snapshot);
};

Result<void> DataDir::Impl::prepare_directory(const OpenOptions& options) {
  auto kind = files->kind(path);
  if (!kind) return kind.error();
  if (*kind == PathKind::file || *kind == PathKind::other) return not_a_directory(path);
  const Error missing{ErrorCode::not_found, path +
                                                " holds no data yet; name the initial cluster to create this "
                                                "member, or give the right data directory"};
  if (*kind == PathKind::absent) {
    if (!options.create) return missing;
    if (auto r = make_directories(*files, path); !r) return r;
  }
  // BEFORE the lock file is made in what may be somebody else's directory, and again under the lock.
  if (auto content = classify(*files, path); !content) return content.error();
  auto held = files->lock(join_path(path, kLock));
  if (!held) return held.error();
  lock = std::move(*held);
  auto content = classify(*files, path);
  if (!content) return content.error();
  if (*content == Content::fresh) {
    if (!options.create) return missing;
    if (auto r = create_content(*files, path, *options.create); !r) return r;
    created = true;
  }
  if (files->is_open_to_others(path))
    notes.push_back(path + " can be read by other users; chmod 700 closes it");
  return {};
}

// What was listed may so far live in the page cache alone.
Result<void> DataDir::Impl::sync_entries() {
  for (const char* name : {kWal, kSnapshots}) {
    auto kind = files->kind(join_path(path, name));
    if (!kind) return kind.error();
    if (*kind == PathKind::directory) continue;
    return Error{ErrorCode::corrupt,
                 join_path(path, name) +
                     " is missing; put it back, or replace this member: remove it from the "
                     "cluster and add it again with an empty directory"};
  }
  if (auto r = files->sync_directory(parent_path(path)); !r && r.error().code != ErrorCode::permission)
    return r;
  if (auto r = files->sync_directory(path); !r) return r;
  return files->sync_directory(join_path(path, kWal));
}

Result<void> DataDir::Impl::check_epoch(const RecoveredLog& log) const {
  const uint32_t logged = log.carried.has_epoch ? log.carried.epoch.membership.epoch : 0;
  const uint32_t named = superblock->state().epoch;
  if (named <= logged) return {};
  return Error{ErrorCode::corrupt,
               join_path(path, kWal) + " does not hold the record that opened epoch " +
                   std::to_string(named) +
                   ", although the superblock names it; replace this member: remove it from the "
                   "cluster and add it again with an empty directory"};
}

// A snapshot that was durable before the log could say so.
Result<void> DataDir::Impl::adopt_snapshot(const SnapshotMeta& meta, RecoveredLog* log) const {
  SnapshotRecord& recorded = log->carried.snapshot;
  if (meta.index == recorded.index && meta.chain != recorded.chain) {
    return Error{ErrorCode::corrupt,
                 join_path(path, kSnapshots) + ": the snapshot at slot " + std::to_string(meta.index.value) +
                     " does not belong to the log beside it; the directory was put together from "
                     "two copies, restore one whole copy"};
  }
  if (meta.index > recorded.index) recorded = SnapshotRecord{meta.index, meta.chain};
  const bool newer = !log->carried.has_epoch || log->carried.epoch.membership.epoch < meta.membership.epoch;
  if (newer) {
    log->carried.has_epoch = true;
    log->carried.epoch = EpochRecord{meta.membership, Ballot{}};
    // It opens an epoch as the epoch record does (attack A9).
    for (auto it = log->accepted.lower_bound(meta.membership.base); it != log->accepted.end();) {
      const bool is_void = !it->second.law && it->second.ballot.epoch < meta.membership.epoch;
      it = is_void ? log->accepted.erase(it) : std::next(it);
    }
  }
  return {};
}

void DataDir::Impl::fill_recovered(RecoveredLog log, const std::optional<SnapshotInfo>& snapshot) {
  const SuperblockState state = superblock->state();
  recovered.identity = state.identity;
  recovered.boot = state.boot;
  recovered.promised = state.promised;  // Wal::start raised it to the highest ballot in the log
  recovered.has_membership = log.carried.has_epoch;
  if (log.carried.has_epoch) {
    recovered.membership = log.carried.epoch.membership;
    recovered.initial_ballot = log.carried.epoch.initial_ballot;
    // The epoch's record is the promise of its initial ballot.
    recovered.promised = std::max(recovered.promised, recovered.initial_ballot);
  }
  if (snapshot) {
    recovered.snapshot_index = snapshot->meta.index;
    recovered.snapshot_chain = snapshot->meta.chain;
    recovered.snapshot_term = snapshot->meta.term;
  }
  recovered.decided_hint = std::max(log.carried.decided.upto, recovered.snapshot_index);
  recovered.accepted = std::move(log.accepted);
  recovered.unknown = std::move(log.unknown);
  recovered.unknown.erase(recovered.unknown.begin(), recovered.unknown.upper_bound(recovered.snapshot_index));
}

Result<void> DataDir::Impl::open(const OpenOptions& options) {
  if (auto r = prepare_directory(options); !r) return r;
  if (auto r = sync_entries(); !r) return r;
  auto opened = Superblock::open(*files, join_path(path, kSuperblock), &notes);
  if (!opened) return opened.error();
  superblock = std::move(*opened);
  identity = superblock->state().identity;
  if (auto r = check_identity(path, identity, options.expected); !r) return r;

  snapshots = std::make_unique<SnapshotStore>(*files, join_path(path, kSnapshots), identity.cluster);
  if (auto r = snapshots->open(&notes); !r) return r;
  const std::optional<SnapshotInfo> snapshot = snapshots->newest();
  const auto read_log = [&](OnDamage on_damage) {
    return recover_log(*files, join_path(path, kWal), superblock->state(),
                       snapshot ? snapshot->meta.index : Slot(0), on_damage);
  };
  auto log = read_log(options.on_damage);
  if (log && options.on_damage == OnDamage::read_over && !has_peers(*log)) log = read_log(OnDamage::refuse);
  if (!log) return log.error();
  const SuperblockState state = superblock->state();
  recovered.disk_writes = log->whole_batches + state.sequence - state.idle_writes;
  if (snapshot) {
    if (auto r = adopt_snapshot(snapshot->meta, &*log); !r) return r;
  }
  if (auto r = check_epoch(*log); !r) return r;
  notes.insert(notes.end(), log->notes.begin(), log->notes.end());

  wal = std::make_unique<Wal>(*files, join_path(path, kWal), *superblock, options.wal);
  if (auto r = wal->start(*log); !r) return r;
  boot = superblock->state().boot;
  fill_recovered(std::move(*log), snapshot);
  return {};
}

DataDir::DataDir() : impl_(std::make_unique<Impl>()) {}
DataDir::~DataDir() = default;

Result<std::unique_ptr<DataDir>> DataDir::open(FileSystem& files, const std::string& path,
                                               const OpenOptions& options) {
  std::unique_ptr<DataDir> dir(new DataDir());
  dir->impl_->files = &files;
  dir->impl_->path = path;
  if (auto r = dir->impl_->open(options); !r) return r.error();
  return dir;
}

Result<std::string> DataDir::set_aside(FileSystem& files, const std::string& path) {
  auto lock = files.lock(join_path(path, kLock));
  if (!lock) return lock.error();
  auto names = files.list(path);
  if (!names) return names.error();
  const auto is_there = [&](const std::string& name) {
    return std::find(names->begin(), names->end(), name) != names->end();
  };
  // The superblock and the mark come last: as long as they are there, the rest is not taken for a new
  // directory.
  const std::array<std::string, 4> kept = {kWal, kSnapshots, kSuperblock, kDisowned};
  std::string suffix;
  for (uint64_t n = 1; suffix.empty(); ++n) {
    const std::string candidate = kAside + std::to_string(n);
    if (std::none_of(kept.begin(), kept.end(),
                     [&](const std::string& name) { return is_there(name + candidate); }))
      suffix = candidate;
  }
  for (const std::string& name : kept) {
    if (!is_there(name)) continue;
    auto kind = files.kind(join_path(path, name));
    if (!kind) return kind.error();
    if (*kind == PathKind::directory) {
      if (auto r = files.sync_directory(join_path(path, name)); !r) return r.error();
    }
    if (auto r = files.rename(join_path(path, name), join_path(path, name + suffix)); !r) return r.error();
    if (auto r = files.sync_directory(path); !r) return r.error();
  }
  return "*" + suffix;
}

Result<void> DataDir::disown(FileSystem& files, const std::string& path, const std::string& sentence) {
  const std::string name = join_path(path, kDisowned);
  const std::string temporary = name + kAside + "tmp";
  if (auto r = write_whole(files, temporary, sentence); !r) return r;
  if (auto r = files.rename(temporary, name); !r) return r;
  return files.sync_directory(path);
}

Result<std::optional<Identity>> DataDir::peek(FileSystem& files, const std::string& path) {
  auto kind = files.kind(path);
  if (!kind) return kind.error();
  if (*kind == PathKind::absent) return std::optional<Identity>();
  if (*kind != PathKind::directory) return not_a_directory(path);
  auto content = classify(files, path);
  if (!content) return content.error();
  if (*content == Content::fresh) return std::optional<Identity>();
  auto superblock = Superblock::open(files, join_path(path, kSuperblock), nullptr);
  if (!superblock) return superblock.error();
  return std::optional<Identity>((*superblock)->state().identity);
}

RecoveredState DataDir::recovered() { return std::move(impl_->recovered); }
const Identity& DataDir::identity() const { return impl_->identity; }
uint64_t DataDir::boot() const { return impl_->boot; }
Wal& DataDir::wal() { return *impl_->wal; }
SnapshotStore& DataDir::snapshots() { return *impl_->snapshots; }
const std::vector<std::string>& DataDir::notes() const { return impl_->notes; }
bool DataDir::created() const { return impl_->created; }
Result<uint64_t> DataDir::free_bytes() const { return impl_->files->free_bytes(impl_->path); }
Result<void> DataDir::close() { return impl_->wal->mark_idle(); }

}  // namespace decree::storage
