#include "storage/wal_format.h"

#include <xxhash.h>

#include <limits>

#include "decree/check.h"
#include "storage/bytes.h"

namespace decree::storage {

namespace {

constexpr uint32_t kSegmentMagic = 0x47455344;  // "DSEG"
constexpr uint32_t kBatchMagic = 0x54414244;    // "DBAT"
constexpr uint64_t kOffsetUnit = 512;           // every block size is a multiple

uint64_t chain_seed(uint64_t salt, uint64_t previous, uint64_t number) {
  return salt ^ (previous * 0x9e3779b97f4a7c15ULL) ^ (number * 0xc2b2ae3d27d4eb4fULL);
}

void put_entry_header(const Entry& entry, char* to) {
  to[0] = static_cast<char>(entry.kind);
  to[1] = to[2] = to[3] = 0;
  store_le<uint32_t>(to + 4, static_cast<uint32_t>(entry.bytes().size()));
  store_le<uint32_t>(to + 8, entry.id.node.value);
  store_le<uint32_t>(to + 12, 0);
  store_le<uint64_t>(to + 16, entry.id.boot);
  store_le<uint64_t>(to + 24, entry.id.seq);
  store_le<uint64_t>(to + 32, entry.digest.hi);
  store_le<uint64_t>(to + 40, entry.digest.lo);
}

uint64_t entries_bytes(const std::vector<Entry>& entries) {
  uint64_t sum = 0;
  for (const Entry& entry : entries) sum += kEntryHeaderBytes + entry.bytes().size();
  return sum;
}

void put_entries(const std::vector<Entry>& entries, std::string* out) {
  for (const Entry& entry : entries) {
    char header[kEntryHeaderBytes];
    put_entry_header(entry, header);
    out->append(header, sizeof(header));
    out->append(entry.bytes());
  }
}

// False: the bytes are not `count` whole entries.
bool take_entries(std::string_view body, uint32_t count, std::vector<Entry>* out) {
  if (static_cast<uint64_t>(count) * kEntryHeaderBytes > body.size()) return false;
  out->reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (body.size() < kEntryHeaderBytes) return false;
    const char* from = body.data();
    const auto kind = static_cast<uint8_t>(from[0]);
    const uint32_t payload_bytes = load_le<uint32_t>(from + 4);
    if (kind > static_cast<uint8_t>(EntryKind::stop_sign) || payload_bytes > body.size() - kEntryHeaderBytes)
      return false;
    Entry entry;
    entry.kind = static_cast<EntryKind>(kind);
    entry.id.node = NodeId(load_le<uint32_t>(from + 8));
    entry.id.boot = load_le<uint64_t>(from + 16);
    entry.id.seq = load_le<uint64_t>(from + 24);
    entry.digest.hi = load_le<uint64_t>(from + 32);
    entry.digest.lo = load_le<uint64_t>(from + 40);
    if (payload_bytes > 0)
      entry.payload = std::make_shared<const std::string>(body.substr(kEntryHeaderBytes, payload_bytes));
    body.remove_prefix(kEntryHeaderBytes + payload_bytes);
    out->push_back(std::move(entry));
  }
  return body.empty();
}

struct RecordShape {
  RecordSummary summary;
  uint32_t count = 0;
  uint32_t epoch = 0;
};

struct ShapeOf {
  RecordShape operator()(const PromiseRecord&) const {
    DECREE_CHECK(false, "a promise lives in the superblock, not in the log");
    return {};
  }
  RecordShape operator()(const EpochRecord& r) const {
    return {
        {RecordType::epoch, {r.membership.base, r.membership.base}, r.initial_ballot}, 0, r.membership.epoch};
  }
  RecordShape operator()(const AcceptRecord& r) const {
    return {{RecordType::accept, {r.first, r.first + r.entries.size()}, r.ballot},
            static_cast<uint32_t>(r.entries.size()),
            r.ballot.epoch};
  }
  RecordShape operator()(const LawRecord& r) const {
    return {{RecordType::law, {r.first, r.first + r.entries.size()}, {}},
            static_cast<uint32_t>(r.entries.size()),
            0};
  }
  RecordShape operator()(const DecidedRecord& r) const {
    return {{RecordType::decided, {r.upto, r.upto}, {}}, 0, 0};
  }
  RecordShape operator()(const SnapshotRecord& r) const {
    return {{RecordType::snapshot, {r.index, r.index}, {}}, 0, 0};
  }
};

void put_body(const Record& record, std::string* out) {
  if (const auto* accept = std::get_if<AcceptRecord>(&record)) {
    put_entries(accept->entries, out);
  } else if (const auto* law = std::get_if<LawRecord>(&record)) {
    put_entries(law->entries, out);
  } else if (const auto* epoch = std::get_if<EpochRecord>(&record)) {
    out->append(encode_membership(epoch->membership));
  } else if (const auto* snapshot = std::get_if<SnapshotRecord>(&record)) {
    char chain[16];
    store_le<uint64_t>(chain, snapshot->chain.hi);
    store_le<uint64_t>(chain + 8, snapshot->chain.lo);
    out->append(chain, sizeof(chain));
  }
}

bool take_body(const RecordSummary& summary, uint32_t count, std::string_view body, Record* out) {
  switch (summary.type) {
    case RecordType::accept: {
      AcceptRecord r;
      r.ballot = summary.ballot;
      r.first = summary.slots.first;
      if (!take_entries(body, count, &r.entries)) return false;
      *out = std::move(r);
      return true;
    }
    case RecordType::law: {
      LawRecord r;
      r.first = summary.slots.first;
      if (!take_entries(body, count, &r.entries)) return false;
      *out = std::move(r);
      return true;
    }
    case RecordType::epoch: {
      EpochRecord r;
      r.initial_ballot = summary.ballot;
      if (!decode_membership(body, &r.membership)) return false;
      *out = std::move(r);
      return true;
    }
    case RecordType::decided:
      *out = DecidedRecord{summary.slots.first};
      return body.empty();
    case RecordType::snapshot: {
      if (body.size() != 16) return false;
      const Digest128 chain{load_le<uint64_t>(body.data()), load_le<uint64_t>(body.data() + 8)};
      *out = SnapshotRecord{summary.slots.first, chain};
      return true;
    }
  }
  return false;
}

bool known_type(uint8_t type) {
  return type >= static_cast<uint8_t>(RecordType::epoch) &&
         type <= static_cast<uint8_t>(RecordType::snapshot);
}

}  // namespace

uint64_t wal_salt(const Identity& identity) {
  char bytes[32];
  store_le<uint64_t>(bytes, identity.cluster.value);
  store_le<uint64_t>(bytes + 8, identity.node.value);
  store_le<uint64_t>(bytes + 16, identity.member_id);
  store_le<uint64_t>(bytes + 24, identity.incarnation.value);
  return XXH3_64bits(bytes, sizeof(bytes));
}

uint64_t checksum64(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t round_up(uint64_t bytes, uint64_t block_bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

void encode_segment_header(const SegmentHeader& h, uint64_t salt, std::string* out) {
  const size_t begin = out->size();
  out->resize(begin + h.block_bytes, '\0');
  char* to = out->data() + begin;
  store_le<uint32_t>(to, kSegmentMagic);
  store_le<uint16_t>(to + 4, h.format);
  store_le<uint32_t>(to + 8, h.block_bytes);
  store_le<uint64_t>(to + 16, h.sequence);
  store_le<uint64_t>(to + 24, h.capacity_bytes);
  store_le<uint64_t>(to + 32, h.first_batch);
  store_le<uint64_t>(to + 40, h.previous_segment);
  store_le<uint64_t>(to + 48, h.previous_end);
  store_le<uint64_t>(to + 56, h.chain);
  store_le<uint64_t>(to + 64, checksum64({to, 64}, salt));
}

bool decode_segment_header(std::string_view block, uint64_t salt, SegmentHeader* out) {
  if (block.size() < kSegmentHeaderBytes) return false;
  const char* from = block.data();
  if (load_le<uint32_t>(from) != kSegmentMagic) return false;
  if (load_le<uint64_t>(from + 64) != checksum64({from, 64}, salt)) return false;
  SegmentHeader h;
  h.format = load_le<uint16_t>(from + 4);
  h.block_bytes = load_le<uint32_t>(from + 8);
  h.sequence = load_le<uint64_t>(from + 16);
  h.capacity_bytes = load_le<uint64_t>(from + 24);
  h.first_batch = load_le<uint64_t>(from + 32);
  h.previous_segment = load_le<uint64_t>(from + 40);
  h.previous_end = load_le<uint64_t>(from + 48);
  h.chain = load_le<uint64_t>(from + 56);
  const bool power_of_two = (h.block_bytes & (h.block_bytes - 1)) == 0;
  if (!power_of_two || h.block_bytes < 512 || h.block_bytes > 65536) return false;
  *out = h;
  return true;
}

uint64_t encoded_record_bytes(const Record& record) {
  uint64_t body = 0;
  if (std::holds_alternative<PromiseRecord>(record)) return 0;
  if (const auto* accept = std::get_if<AcceptRecord>(&record)) {
    body = entries_bytes(accept->entries);
  } else if (const auto* law = std::get_if<LawRecord>(&record)) {
    body = entries_bytes(law->entries);
  } else if (const auto* epoch = std::get_if<EpochRecord>(&record)) {
    body = encode_membership(epoch->membership).size();
  } else if (std::holds_alternative<SnapshotRecord>(record)) {
    body = 16;
  }
  return kRecordHeaderBytes + body;
}

RecordSummary encode_record(const Record& record, uint64_t salt, std::string* out) {
  const RecordShape shape = std::visit(ShapeOf{}, record);
  const size_t begin = out->size();
  out->resize(begin + kRecordHeaderBytes, '\0');
  put_body(record, out);
  const size_t body_bytes = out->size() - begin - kRecordHeaderBytes;
  DECREE_CHECK(body_bytes <= kBatchBytesMax, "a record is larger than any batch may be");
  char* to = out->data() + begin;
  to[0] = static_cast<char>(shape.summary.type);
  store_le<uint32_t>(to + 4, shape.count);
  store_le<uint64_t>(to + 8, shape.summary.slots.first.value);
  store_le<uint64_t>(to + 16, shape.summary.slots.end.value);
  store_ballot(to + 24, shape.summary.ballot);
  store_le<uint32_t>(to + 40, static_cast<uint32_t>(body_bytes));
  store_le<uint32_t>(to + 44, shape.epoch);
  store_le<uint64_t>(to + 48, checksum64({to + kRecordHeaderBytes, body_bytes}, salt));
  store_le<uint64_t>(to + 56, checksum64({to, 56}, salt));
  return shape.summary;
}

std::string decode_record(std::string_view bytes, uint64_t salt, DecodedRecord* out) {
  if (bytes.size() < kRecordHeaderBytes) return "a record header is cut off";
  const char* from = bytes.data();
  if (load_le<uint64_t>(from + 56) != checksum64({from, 56}, salt))
    return "a record header does not match its checksum";
  const auto type = static_cast<uint8_t>(from[0]);
  if (!known_type(type)) return "a record has the unknown type " + std::to_string(type);
  const uint32_t count = load_le<uint32_t>(from + 4);
  RecordSummary summary;
  summary.type = static_cast<RecordType>(type);
  summary.slots.first = Slot(load_le<uint64_t>(from + 8));
  summary.slots.end = Slot(load_le<uint64_t>(from + 16));
  summary.ballot = load_ballot(from + 24);
  const uint32_t body_bytes = load_le<uint32_t>(from + 40);
  if (body_bytes > bytes.size() - kRecordHeaderBytes) return "a record is longer than its batch";
  if (summary.slots.end < summary.slots.first || summary.slots.end - summary.slots.first != count)
    return "a record's slots do not match its number of entries";
  const std::string_view body = bytes.substr(kRecordHeaderBytes, body_bytes);
  if (load_le<uint64_t>(from + 48) != checksum64(body, salt))
    return "a record's content does not match its checksum";
  if (!take_body(summary, count, body, &out->record)) return "a record's content cannot be read";
  out->summary = summary;
  out->bytes = kRecordHeaderBytes + body_bytes;
  return "";
}

void encode_echo(const RecordSummary& summary, std::string* out) {
  char to[kEchoBytes] = {};
  to[0] = static_cast<char>(summary.type);
  store_le<uint64_t>(to + 8, summary.slots.first.value);
  store_le<uint64_t>(to + 16, summary.slots.end.value);
  store_ballot(to + 24, summary.ballot);
  out->append(to, sizeof(to));
}

size_t begin_batch(std::string* out) {
  const size_t begin = out->size();
  out->resize(begin + kBatchHeaderBytes, '\0');
  return begin;
}

uint64_t seal_batch(BatchHeader h, size_t begin, uint32_t block_bytes, uint64_t salt, std::string* out) {
  const uint64_t bytes = out->size() - begin;
  DECREE_CHECK(bytes >= kBatchHeaderBytes && bytes <= kBatchBytesMax, "a batch of an impossible size");
  h.bytes = static_cast<uint32_t>(bytes);
  char* to = out->data() + begin;
  h.checksum = checksum64({to + kBatchHeaderBytes, bytes - kBatchHeaderBytes},
                          chain_seed(salt, h.previous_checksum, h.number));
  store_le<uint32_t>(to, kBatchMagic);
  store_le<uint16_t>(to + 4, h.format);
  store_le<uint16_t>(to + 6, static_cast<uint16_t>(h.flags));
  store_le<uint64_t>(to + 8, h.segment);
  store_le<uint64_t>(to + 16, h.number);
  store_le<uint32_t>(to + 24, h.bytes);
  store_le<uint32_t>(to + 28, h.record_count);
  store_le<uint32_t>(to + 32, h.echo_count);
  store_le<uint32_t>(to + 36, static_cast<uint32_t>(h.offset / kOffsetUnit));
  store_le<uint64_t>(to + 40, h.synced_through);
  store_le<uint64_t>(to + 48, h.superblock_sequence);
  store_le<uint64_t>(to + 56, h.boot);
  store_ballot(to + 64, h.promised);
  store_le<uint64_t>(to + 80, h.previous_checksum);
  store_le<uint64_t>(to + 88, h.checksum);
  store_le<uint64_t>(to + 96, checksum64({to, 96}, salt));
  out->resize(begin + round_up(bytes, block_bytes), '\0');
  return h.checksum;
}

bool decode_batch_header(std::string_view bytes, uint64_t salt, BatchHeader* out) {
  if (bytes.size() < kBatchHeaderBytes) return false;
  const char* from = bytes.data();
  if (load_le<uint32_t>(from) != kBatchMagic) return false;
  if (load_le<uint64_t>(from + 96) != checksum64({from, 96}, salt)) return false;
  BatchHeader h;
  h.format = load_le<uint16_t>(from + 4);
  h.flags = static_cast<BatchFlags>(load_le<uint16_t>(from + 6));
  h.segment = load_le<uint64_t>(from + 8);
  h.number = load_le<uint64_t>(from + 16);
  h.bytes = load_le<uint32_t>(from + 24);
  h.record_count = load_le<uint32_t>(from + 28);
  h.echo_count = load_le<uint32_t>(from + 32);
  h.offset = static_cast<uint64_t>(load_le<uint32_t>(from + 36)) * kOffsetUnit;
  h.synced_through = load_le<uint64_t>(from + 40);
  h.superblock_sequence = load_le<uint64_t>(from + 48);
  h.boot = load_le<uint64_t>(from + 56);
  h.promised = load_ballot(from + 64);
  h.previous_checksum = load_le<uint64_t>(from + 80);
  h.checksum = load_le<uint64_t>(from + 88);
  if (h.format != kWalFormat || h.bytes < kBatchHeaderBytes || h.bytes > kBatchBytesMax ||
      h.echo_count > kEchoesMax)
    return false;
  *out = h;
  return true;
}

std::string decode_batch(std::string_view bytes, const BatchHeader& header, uint64_t salt,
                         std::vector<RecordSummary>* echoes, std::vector<DecodedRecord>* records) {
  if (bytes.size() != header.bytes) return "a batch is cut off";
  const std::string_view payload = bytes.substr(kBatchHeaderBytes);
  if (header.checksum != checksum64(payload, chain_seed(salt, header.previous_checksum, header.number)))
    return "a batch's content does not match its checksum";
  uint64_t at = kBatchHeaderBytes;
  if (bytes.size() - at < static_cast<uint64_t>(header.echo_count) * kEchoBytes)
    return "a batch's echoes are cut off";
  for (uint32_t i = 0; i < header.echo_count; ++i, at += kEchoBytes) {
    const char* from = bytes.data() + at;
    if (!known_type(static_cast<uint8_t>(from[0]))) return "a batch's echo has an unknown type";
    RecordSummary summary;
    summary.type = static_cast<RecordType>(from[0]);
    summary.slots.first = Slot(load_le<uint64_t>(from + 8));
    summary.slots.end = Slot(load_le<uint64_t>(from + 16));
    summary.ballot = load_ballot(from + 24);
    if (echoes != nullptr) echoes->push_back(summary);
  }
  for (uint32_t i = 0; i < header.record_count; ++i) {
    DecodedRecord record;
    record.offset = static_cast<uint32_t>(at);
    if (std::string problem = decode_record(bytes.substr(at), salt, &record); !problem.empty())
      return problem;
    at += record.bytes;
    if (records != nullptr) records->push_back(std::move(record));
  }
  return at == bytes.size() ? "" : "a batch holds more bytes than its records";
}

std::string to_string(const Ballot& b) {
  return std::to_string(b.epoch) + "." + std::to_string(b.round) + "." + std::to_string(b.priority) + "." +
         std::to_string(b.node.value);
}

}  // namespace decree::storage
