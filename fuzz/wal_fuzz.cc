// Bytes of the log, the superblock and snapshots, as damage or an enemy may have left them: never a crash,
// never memory without bound, never a value that was not written.
//
// The first byte of the input chooses what the rest is taken for.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "storage/bytes.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"
#include "storage/wal_format.h"
#include "storage/wal_recovery.h"

namespace {

using namespace decree;
using namespace decree::storage;

constexpr const char* kDir = "/d/m";

Identity identity() { return Identity{ClusterId(1), NodeId(1), 1, Incarnation(42)}; }

OpenOptions options() {
  OpenOptions o;
  o.create = identity();
  o.wal.segment_bytes = 8192;
  o.wal.opening_segment_bytes = 4096;
  o.wal.block_bytes = 512;
  return o;
}

void require(bool condition) {
  if (!condition) std::abort();
}

Entry entry(uint64_t slot, char letter) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(1), 1, slot};
  e.payload = std::make_shared<const std::string>(40, letter);
  return e;
}

void commit(DataDir& dir, Record record) {
  const PersistedRecord one{LogToken(1), std::move(record)};
  require(dir.wal().commit({&one, 1}).ok());
}

// A directory with three segments, a snapshot and an idle marker; and what it holds.
struct Image {
  MemoryFileSystem files;
  std::map<Slot, std::string> values;
  std::vector<std::string> paths;

  Image() {
    auto dir = DataDir::open(files, kDir, options());
    require(dir.ok());
    Member member;
    member.node = NodeId(1);
    const Membership membership = make_membership({member});
    commit(**dir, EpochRecord{membership, {}});
    for (uint64_t slot = 1; slot <= 24; ++slot) {
      const char letter = static_cast<char>('a' + slot);
      commit(**dir, AcceptRecord{Ballot{0, 1, 0, NodeId(1)}, Slot(slot), {entry(slot, letter)}});
      values[Slot(slot)] = std::string(40, letter);
      if (slot == 10) {
        auto writer =
            (*dir)->snapshots().begin(SnapshotMeta{identity().cluster, Slot(10), {1, 2}, 1, membership});
        require(writer.ok() && (*writer)->append(std::string(600, 's')).ok() && (*writer)->finish().ok());
        commit(**dir, SnapshotRecord{Slot(10), {1, 2}});
      }
    }
    require((*dir)->close().ok());
    dir = Error{};
    files.crash(1, CrashMode::drop_all);
    paths = files.files_below(kDir);
  }
};

const Image& image() {
  static const Image* made = new Image();
  return *made;
}

struct Input {
  const uint8_t* data;
  size_t size;
  uint64_t number(size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes && size > 0; ++i, ++data, --size)
      v |= static_cast<uint64_t>(*data) << (8 * i);
    return v;
  }
  std::string_view bytes(size_t n) {
    n = n < size ? n : size;
    const std::string_view out(reinterpret_cast<const char*>(data), n);
    data += n;
    size -= n;
    return out;
  }
};

// Whatever opens must hold only what was written, and must open again with the same content.
void open_and_judge(MemoryFileSystem& files, const std::map<Slot, std::string>* values) {
  std::map<Slot, AcceptedEntry> first;
  {
    auto dir = DataDir::open(files, kDir, options());
    if (!dir.ok()) {
      require(!dir.error().message.empty());
      return;
    }
    first = (*dir)->recovered().accepted;
    if (values != nullptr) {
      for (const auto& [slot, held] : first) {
        const auto it = values->find(slot);
        require(it != values->end() && it->second == held.entry.bytes());
      }
    }
    (void)(*dir)->wal().read({Slot(1), Slot(40)}, 1 << 20).ok();
    commit(**dir, DecidedRecord{Slot(1)});
    require((*dir)->wal().prepare_reserve().ok());
  }
  files.crash(7, CrashMode::drop_all);
  auto again = DataDir::open(files, kDir, options());
  require(again.ok());
  require((*again)->recovered().accepted == first);
}

void edit_directory(Input in) {
  MemoryFileSystem files(image().files);
  for (int edits = 0; in.size > 0 && edits < 16; ++edits) {
    const std::string& path = image().paths[in.number(1) % image().paths.size()];
    const uint64_t what = in.number(1) % 8;
    const uint64_t offset = in.number(2) % 20000;
    if (what < 4) {
      files.overwrite(path, offset, in.bytes(1 + in.number(1)));
    } else if (what == 4) {
      files.resize_file(path, offset);
    } else if (what == 5) {
      files.remove_file(path);
    } else if (what == 6) {  // a block from elsewhere
      const std::string& from = image().paths[in.number(1) % image().paths.size()];
      const std::string content = image().files.content(from);
      const uint64_t block = in.number(1) * 512;
      if (block < content.size())
        files.overwrite(path, offset / 512 * 512, std::string_view(content).substr(block, 512));
    } else {
      files.put_file(path, image().files.content(image().paths[in.number(1) % image().paths.size()]));
    }
  }
  open_and_judge(files, &image().values);
}

// The checksums of an enemy who knows the salt are right: only the parser stands in the way.
void sealed_record(Input in, uint64_t salt) {
  std::string bytes(in.bytes(in.size));
  if (bytes.size() < kRecordHeaderBytes) return;
  const size_t body_bytes = bytes.size() - kRecordHeaderBytes;
  store_le<uint32_t>(bytes.data() + 40, static_cast<uint32_t>(body_bytes));
  store_le<uint64_t>(bytes.data() + 48, checksum64(std::string_view(bytes).substr(kRecordHeaderBytes), salt));
  store_le<uint64_t>(bytes.data() + 56, checksum64(std::string_view(bytes).substr(0, 56), salt));
  DecodedRecord record;
  if (!decode_record(bytes, salt, &record).empty()) return;
  std::string again;
  encode_record(record.record, salt, &again);
  DecodedRecord second;
  require(decode_record(again, salt, &second).empty());
  require(second.record == record.record);
}

void sealed_batch(Input in, uint64_t salt) {
  BatchHeader header;
  header.number = 1;
  header.record_count = static_cast<uint32_t>(in.number(4));
  header.echo_count = static_cast<uint32_t>(in.number(1)) % (kEchoesMax + 1);
  std::string bytes;
  const size_t begin = begin_batch(&bytes);
  bytes.append(in.bytes(in.size));
  const size_t used = bytes.size();
  seal_batch(header, begin, 512, salt, &bytes);
  BatchHeader read;
  require(decode_batch_header(bytes, salt, &read));
  std::vector<DecodedRecord> records;
  std::vector<RecordSummary> echoes;
  (void)decode_batch(std::string_view(bytes).substr(0, used), read, salt, &echoes, &records);
  require(records.size() <= used / kRecordHeaderBytes);
}

// A log of one segment whose batches are whole but whose records are the input's.
void sealed_log(Input in, uint64_t salt) {
  MemoryFileSystem files;
  { require(DataDir::open(files, kDir, options()).ok()); }
  files.crash(1, CrashMode::drop_all);
  const std::string path = std::string(kDir) + "/wal/" + segment_name(1);
  const std::string segment = files.content(path);
  BatchHeader header;
  require(decode_batch_header(std::string_view(segment).substr(512), salt, &header));
  header.previous_checksum = header.checksum;
  ++header.number;
  header.synced_through = 1;
  header.offset = 1024;
  header.echo_count = 0;
  header.record_count = 1;
  std::string bytes;
  const size_t begin = begin_batch(&bytes);
  std::string record(in.bytes(std::min<size_t>(in.size, 2000)));
  if (record.size() < kRecordHeaderBytes) return;
  record[0] = static_cast<char>(2 + static_cast<uint8_t>(record[0]) % 5);
  store_le<uint32_t>(record.data() + 40, static_cast<uint32_t>(record.size() - kRecordHeaderBytes));
  store_le<uint64_t>(record.data() + 48,
                     checksum64(std::string_view(record).substr(kRecordHeaderBytes), salt));
  store_le<uint64_t>(record.data() + 56, checksum64(std::string_view(record).substr(0, 56), salt));
  bytes += record;
  seal_batch(header, begin, 512, salt, &bytes);
  if (1024 + bytes.size() > segment.size()) return;
  files.overwrite(path, 1024, bytes);
  open_and_judge(files, nullptr);
}

void raw_snapshot(Input in) {
  MemoryFileSystem files;
  files.put_file("/s/x.snap", in.bytes(in.size));
  (void)verify_snapshot(files, "/s/x.snap", identity().cluster).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in{data, size};
  const uint64_t salt = wal_salt(identity());
  switch (in.number(1) % 8) {
    case 0:
      sealed_record(in, salt);
      break;
    case 1:
      sealed_batch(in, salt);
      break;
    case 2:
      sealed_log(in, salt);
      break;
    case 3:
      raw_snapshot(in);
      break;
    case 4: {
      SuperblockState state;
      std::string block(in.bytes(4096));
      block.resize(4096);
      (void)decode_superblock(block, &state);
      break;
    }
    default:
      edit_directory(in);
      break;
  }
  return 0;
}
