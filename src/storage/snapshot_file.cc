#include "storage/snapshot_file.h"

#include <xxhash.h>

#include <algorithm>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "storage/bytes.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"

namespace decree::storage {

namespace {

using namespace snapshot_format;

// A flush of the device waits for all that was written before it: a snapshot synced only at its end would
// hold up the log's next sync for as long as its whole content takes.
constexpr uint64_t kSyncPieceBytes = 1u << 20;

Result<void> sync_pieces(File& file, uint64_t written_bytes, uint64_t* unsynced_bytes) {
  *unsynced_bytes += written_bytes;
  if (*unsynced_bytes < kSyncPieceBytes) return {};
  *unsynced_bytes = 0;
  return file.sync();
}

uint64_t chunk_seed(Slot index, uint64_t number) {
  return kSeed ^ (index.value * 0x9e3779b97f4a7c15ULL) ^ number;
}

std::string encode_header(const SnapshotMeta& meta) {
  const std::string membership = encode_membership(meta.membership);
  std::string out(kFixedHeaderBytes, '\0');
  char* to = out.data();
  store_le<uint64_t>(to, kMagic);
  store_le<uint32_t>(to + 8, kFormat);
  store_le<uint32_t>(to + 12, static_cast<uint32_t>(kFixedHeaderBytes + membership.size() + 8));
  store_le<uint64_t>(to + 16, meta.cluster.value);
  store_le<uint64_t>(to + 24, meta.index.value);
  store_le<uint64_t>(to + 32, meta.chain.hi);
  store_le<uint64_t>(to + 40, meta.chain.lo);
  store_le<uint64_t>(to + 48, meta.term);
  out += membership;
  char sum[8];
  store_le<uint64_t>(sum, checksum64(out, kSeed));
  out.append(sum, sizeof(sum));
  return out;
}

struct HashState {
  HashState() : state(XXH3_createState()) { XXH3_128bits_reset(state); }
  ~HashState() { XXH3_freeState(state); }
  HashState(const HashState&) = delete;
  HashState& operator=(const HashState&) = delete;
  void add(std::string_view bytes) { XXH3_128bits_update(state, bytes.data(), bytes.size()); }
  Digest128 digest() const {
    const XXH128_hash_t h = XXH3_128bits_digest(state);
    return Digest128{h.high64, h.low64};
  }
  XXH3_state_t* state;
};

}  // namespace

// ---- reading ----

struct SnapshotReader::Impl {
  std::unique_ptr<File> file;
  SnapshotInfo info;
  HashState hash;
  uint64_t offset = 0;
  uint64_t verified = 0;  // end of the header, or of the last whole chunk
  uint32_t chunks = 0;
  bool done = false;

  Error damage(const std::string& what) const {
    return Error{ErrorCode::corrupt, file->path() + " at byte " + std::to_string(offset) + ": " + what +
                                         "; this snapshot cannot be used"};
  }

  // Exactly `bytes` from here on.
  Result<std::string> take(uint64_t bytes) {
    if (bytes > info.size_bytes - std::min(offset, info.size_bytes)) return damage("the file is cut off");
    std::string out(bytes, '\0');
    auto got = file->read(offset, out);
    if (!got) return got.error();
    if (*got != bytes) return damage("the file is cut off");
    return out;
  }

  Result<void> read_header() {
    auto size = file->size();
    if (!size) return size.error();
    info.size_bytes = *size;
    auto fixed = take(kFixedHeaderBytes);
    if (!fixed) return fixed.error();
    const char* from = fixed->data();
    if (load_le<uint64_t>(from) != kMagic) return damage("it does not begin like a snapshot");
    const uint32_t header_bytes = load_le<uint32_t>(from + 12);
    if (header_bytes < kFixedHeaderBytes + 8 || header_bytes > kHeaderBytesMax)
      return damage("its header is damaged");
    auto whole = take(header_bytes);
    if (!whole) return whole.error();
    from = whole->data();
    if (load_le<uint64_t>(from + header_bytes - 8) !=
        checksum64(std::string_view(*whole).substr(0, header_bytes - 8), kSeed))
      return damage("its header does not match its checksum");
    if (load_le<uint32_t>(from + 8) > kFormat) {
      return Error{ErrorCode::format,
                   file->path() + " was written by a newer release; start that release, or remove the file"};
    }
    info.meta.cluster = ClusterId(load_le<uint64_t>(from + 16));
    info.meta.index = Slot(load_le<uint64_t>(from + 24));
    info.meta.chain = Digest128{load_le<uint64_t>(from + 32), load_le<uint64_t>(from + 40)};
    info.meta.term = load_le<uint64_t>(from + 48);
    const std::string_view membership =
        std::string_view(*whole).substr(kFixedHeaderBytes, header_bytes - kFixedHeaderBytes - 8);
    if (!decode_membership(membership, &info.meta.membership))
      return damage("its list of members cannot be read");
    hash.add(*whole);
    offset = verified = header_bytes;
    return {};
  }

  Result<bool> next(std::string* chunk) {
    chunk->clear();
    if (done) return false;
    auto header = take(kChunkHeaderBytes);
    if (!header) return header.error();
    const uint32_t bytes = load_le<uint32_t>(header->data());
    if (bytes == 0) return finish();
    if (bytes > kChunkBytesMax) return damage("a chunk has an impossible length");
    if (load_le<uint32_t>(header->data() + 4) != chunks) return damage("a chunk is out of order");
    hash.add(*header);
    const uint64_t sum = load_le<uint64_t>(header->data() + 8);
    offset += kChunkHeaderBytes;
    auto body = take(bytes);
    if (!body) return body.error();
    if (checksum64(*body, chunk_seed(info.meta.index, chunks)) != sum)
      return damage("a chunk does not match its checksum");
    hash.add(*body);
    verified = offset += bytes;
    info.body_bytes += bytes;
    ++chunks;
    *chunk = std::move(*body);
    return true;
  }

  Result<bool> finish() {
    auto footer = take(kFooterBytes);
    if (!footer) return footer.error();
    const char* from = footer->data();
    if (load_le<uint64_t>(from + 32) != checksum64({from, 32}, chunk_seed(info.meta.index, chunks)))
      return damage("its footer does not match its checksum");
    if (load_le<uint32_t>(from + 4) != chunks || load_le<uint64_t>(from + 8) != info.body_bytes)
      return damage("chunks are missing");
    const Digest128 expected{load_le<uint64_t>(from + 16), load_le<uint64_t>(from + 24)};
    if (expected != hash.digest()) return damage("the file does not match its digest");
    offset += kFooterBytes;
    if (offset != info.size_bytes) return damage("something was appended to it");
    info.digest = expected;
    verified = offset;
    done = true;
    return false;
  }
};

SnapshotReader::SnapshotReader() : impl_(std::make_unique<Impl>()) {}
SnapshotReader::~SnapshotReader() = default;

Result<std::unique_ptr<SnapshotReader>> SnapshotReader::open(FileSystem& files, const std::string& path) {
  auto file = files.open(path, OpenMode::read_only);
  if (!file) return file.error();
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader());
  reader->impl_->file = std::move(*file);
  if (auto r = reader->impl_->read_header(); !r) return r.error();
  return reader;
}

const SnapshotMeta& SnapshotReader::meta() const { return impl_->info.meta; }
const SnapshotInfo& SnapshotReader::info() const { return impl_->info; }
uint64_t SnapshotReader::verified_bytes() const { return impl_->verified; }
Result<bool> SnapshotReader::next(std::string* chunk) { return impl_->next(chunk); }

Result<SnapshotInfo> verify_snapshot(FileSystem& files, const std::string& path, ClusterId cluster) {
  auto reader = SnapshotReader::open(files, path);
  if (!reader) return reader.error();
  if ((*reader)->meta().cluster != cluster)
    return Error{ErrorCode::identity,
                 path + " is a snapshot of another cluster; this snapshot cannot be used"};
  std::string chunk;
  for (;;) {
    auto more = (*reader)->next(&chunk);
    if (!more) return more.error();
    if (!*more) return (*reader)->info();
  }
}

Result<std::string> SnapshotPiece::read(uint64_t offset, uint32_t bytes_max) const {
  std::string out;
  if (offset >= info_.size_bytes) return out;
  out.resize(static_cast<size_t>(std::min<uint64_t>(bytes_max, info_.size_bytes - offset)));
  auto got = file_->read(offset, out);
  if (!got) return got.error();
  out.resize(*got);
  return out;
}

// ---- writing ----

struct SnapshotWriter::Impl {
  FileSystem* files = nullptr;
  SnapshotStore* store = nullptr;
  std::string temporary;
  std::unique_ptr<File> file;
  SnapshotInfo info;
  HashState hash;
  std::string buffer;
  uint64_t offset = 0;
  uint32_t chunks = 0;
  uint64_t unsynced_bytes = 0;
  bool finished = false;

  Result<void> put(std::string_view bytes) {
    hash.add(bytes);
    if (auto r = file->write(offset, bytes); !r) return r;
    offset += bytes.size();
    return sync_pieces(*file, bytes.size(), &unsynced_bytes);
  }

  // `buffer` begins with room for the chunk header.
  Result<void> flush() {
    if (buffer.size() <= kChunkHeaderBytes) return {};
    const std::string_view body = std::string_view(buffer).substr(kChunkHeaderBytes);
    store_le<uint32_t>(buffer.data(), static_cast<uint32_t>(body.size()));
    store_le<uint32_t>(buffer.data() + 4, chunks);
    store_le<uint64_t>(buffer.data() + 8, checksum64(body, chunk_seed(info.meta.index, chunks)));
    info.body_bytes += body.size();
    ++chunks;
    if (auto r = put(buffer); !r) return r;
    buffer.resize(kChunkHeaderBytes);
    return {};
  }

  Result<void> put_footer() {
    char footer[kFooterBytes] = {};
    info.digest = hash.digest();
    store_le<uint32_t>(footer + 4, chunks);
    store_le<uint64_t>(footer + 8, info.body_bytes);
    store_le<uint64_t>(footer + 16, info.digest.hi);
    store_le<uint64_t>(footer + 24, info.digest.lo);
    store_le<uint64_t>(footer + 32, checksum64({footer, 32}, chunk_seed(info.meta.index, chunks)));
    return put({footer, sizeof(footer)});
  }
};

SnapshotWriter::SnapshotWriter() : impl_(std::make_unique<Impl>()) {}

SnapshotWriter::~SnapshotWriter() {
  if (impl_->finished || !impl_->file) return;
  impl_->file.reset();
  [[maybe_unused]] const auto removed =
      impl_->files->unlink(impl_->temporary);  // else the next start does it
}

Result<void> SnapshotWriter::append(std::string_view bytes) {
  Impl& w = *impl_;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kChunkBytes + kChunkHeaderBytes - w.buffer.size());
    w.buffer.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    if (w.buffer.size() == kChunkBytes + kChunkHeaderBytes) {
      if (auto r = w.flush(); !r) return r;
    }
  }
  return {};
}

Result<SnapshotInfo> SnapshotWriter::finish() {
  Impl& w = *impl_;
  if (auto r = w.flush(); !r) return r.error();
  if (auto r = w.put_footer(); !r) return r.error();
  w.info.size_bytes = w.offset;
  if (!planted(PlantedBug::snapshot_not_synced)) {
    if (auto r = w.file->sync(); !r) return r.error();  // BEFORE it gets its name
  }
  if (auto r = w.store->install(w.temporary, w.info); !r) return r.error();
  w.finished = true;
  return w.info;
}

// ---- import ----

struct SnapshotImport::Impl {
  FileSystem* files = nullptr;
  SnapshotStore* store = nullptr;
  ClusterId cluster;
  std::string temporary;
  std::unique_ptr<File> file;
  Slot index;
  uint64_t size_bytes = 0;
  Digest128 digest;
  std::map<uint64_t, uint64_t> held;  // begin -> end, merged
  uint64_t unsynced_bytes = 0;
  bool failed = false;  // the disk is full or worse: what came must not stay in the log's way
  bool finished = false;

  void add(uint64_t begin, uint64_t end) {
    auto it = held.upper_bound(begin);
    if (it != held.begin() && std::prev(it)->second >= begin) {
      --it;
      begin = it->first;
      end = std::max(end, it->second);
      it = held.erase(it);
    }
    while (it != held.end() && it->first <= end) {
      end = std::max(end, it->second);
      it = held.erase(it);
    }
    held[begin] = end;
  }

  Result<SnapshotInfo> verify() {
    if (held.size() != 1 || held.begin()->first != 0 || held.begin()->second != size_bytes)
      return Error{ErrorCode::corrupt,
                   temporary + ": the snapshot from the peer is not complete; fetch it again"};
    auto info = verify_snapshot(*files, temporary, cluster);
    if (!info) return info.error();
    if (info->meta.index != index || info->size_bytes != size_bytes || info->digest != digest)
      return Error{ErrorCode::corrupt,
                   temporary + ": the snapshot from the peer is not the one it announced; fetch it again"};
    return info;
  }
};

SnapshotImport::SnapshotImport() : impl_(std::make_unique<Impl>()) {}

SnapshotImport::~SnapshotImport() {
  if (!impl_->failed || impl_->finished) return;
  impl_->file.reset();
  [[maybe_unused]] const auto removed =
      impl_->files->unlink(impl_->temporary);  // else the next import does it
}

Result<void> SnapshotImport::write(uint64_t offset, std::string_view bytes) {
  Impl& w = *impl_;
  if (offset > w.size_bytes || bytes.size() > w.size_bytes - offset) {
    return Error{ErrorCode::invalid, "a piece of the snapshot lies beyond the " +
                                         std::to_string(w.size_bytes) +
                                         " bytes that the peer announced; fetch it from another peer"};
  }
  if (bytes.empty()) return {};
  if (w.held.size() > kImportPiecesMax)
    return Error{ErrorCode::invalid,
                 "the pieces of the snapshot come in no order; fetch it from another peer"};
  Result<void> written = w.file->write(offset, bytes);
  if (written) written = sync_pieces(*w.file, bytes.size(), &w.unsynced_bytes);
  if (!written) {
    w.failed = true;
    return written;
  }
  w.add(offset, offset + bytes.size());
  return {};
}

uint64_t SnapshotImport::contiguous_bytes() const {
  const auto first = impl_->held.find(0);
  return first == impl_->held.end() ? 0 : first->second;
}

Result<SnapshotInfo> SnapshotImport::finish() {
  Impl& w = *impl_;
  if (!planted(PlantedBug::snapshot_not_synced)) {
    if (auto r = w.file->sync(); !r) {  // BEFORE it gets its name
      w.failed = true;
      return r.error();
    }
  }
  auto info = w.verify();
  if (info) {
    if (auto r = w.store->install(w.temporary, *info); !r) return r.error();
    w.finished = true;
    return info;
  }
  w.file.reset();
  w.finished = true;
  [[maybe_unused]] const auto removed = w.files->unlink(w.temporary);
  return info;
}

// ---- what the store needs of both ----

Result<std::unique_ptr<SnapshotWriter>> SnapshotStore::begin(const SnapshotMeta& meta) {
  DECREE_CHECK(meta.cluster == cluster_, "a snapshot for another cluster");
  auto temporary = make_temporary(meta.index);
  if (!temporary) return temporary.error();
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter());
  SnapshotWriter::Impl& w = *writer->impl_;
  w.files = &files_;
  w.store = this;
  w.temporary = (*temporary)->path();
  w.file = std::move(*temporary);
  w.info.meta = meta;
  w.buffer.reserve(kChunkBytes + kChunkHeaderBytes);
  w.buffer.resize(kChunkHeaderBytes);
  if (auto r = w.put(encode_header(meta)); !r) return r.error();
  return writer;
}

namespace {

// How much of what an interrupted import left behind is whole: header and chunks of the snapshot of that
// slot.
uint64_t verified_part(FileSystem& files, const std::string& path, ClusterId cluster, Slot index) {
  auto reader = SnapshotReader::open(files, path);
  if (!reader || (*reader)->meta().cluster != cluster || (*reader)->meta().index != index) return 0;
  std::string chunk;
  for (;;) {
    auto more = (*reader)->next(&chunk);
    if (!more || !*more) return (*reader)->verified_bytes();
  }
}

}  // namespace

Result<std::unique_ptr<SnapshotImport>> SnapshotStore::begin_import(Slot index, uint64_t size_bytes,
                                                                    Digest128 digest) {
  const std::string part = part_name(index, digest);
  if (auto r = drop_parts(part, Slot(UINT64_MAX)); !r) return r.error();
  const std::string path = join_path(directory_, part);
  auto kind = files_.kind(path);
  if (!kind) return kind.error();
  const bool resumes = *kind == PathKind::file;
  const uint64_t held = resumes ? std::min(size_bytes, verified_part(files_, path, cluster_, index)) : 0;
  DECREE_SOMETIMES("an import of a snapshot goes on behind what a former one left", held > 0);
  auto free = files_.free_bytes(directory_);
  if (!free) return free.error();
  if (size_bytes - held > *free) {
    return Error{ErrorCode::no_space, "a snapshot of " + std::to_string(size_bytes) +
                                          " bytes does not fit on the disk of " + directory_ +
                                          "; free space there"};
  }
  auto temporary = files_.open(path, resumes ? OpenMode::read_write : OpenMode::create);
  if (!temporary) return temporary.error();
  std::unique_ptr<SnapshotImport> import(new SnapshotImport());
  SnapshotImport::Impl& w = *import->impl_;
  w.files = &files_;
  w.store = this;
  w.cluster = cluster_;
  w.temporary = (*temporary)->path();
  w.file = std::move(*temporary);
  w.index = index;
  w.size_bytes = size_bytes;
  w.digest = digest;
  if (held > 0) w.add(0, held);
  return import;
}

}  // namespace decree::storage
