// Bytes of the log, as pure functions: docs/wal_format.md has the grammar.
//
//   segment = segment header (one block), batch...
//   batch   = batch header, echo..., record..., zero padding to a whole block
//   record  = record header, body
//
// All numbers little-endian. Every checksum is XXH3-64 seeded with a salt from the disk's identity, so that
// neither a foreign file nor a client's value can pass for a header of this log. Every size is checked
// against the bytes that are really there BEFORE anything is allocated for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "decree/record.h"

namespace decree::storage {

constexpr uint16_t kWalFormat = 1;
constexpr uint32_t kSegmentHeaderBytes = 72;
constexpr uint32_t kBatchHeaderBytes = 104;
constexpr uint32_t kEchoBytes = 40;
constexpr uint32_t kRecordHeaderBytes = 64;
constexpr uint32_t kEntryHeaderBytes = 48;
constexpr uint32_t kEchoesMax = 16;
constexpr uint64_t kBatchBytesMax = 1u << 30;

// Salt of all checksums of one disk's log.
uint64_t wal_salt(const Identity& identity);
uint64_t checksum64(std::string_view bytes, uint64_t seed);

struct SegmentHeader {
  uint16_t format = kWalFormat;
  uint32_t block_bytes = 0;
  uint64_t sequence = 0;
  uint64_t capacity_bytes = 0;    // size of the file when it was taken into use
  uint64_t first_batch = 0;       // number of its first batch
  uint64_t previous_segment = 0;  // 0: none
  uint64_t previous_end = 0;  // offset behind the last batch there that counts; later bytes there are void
  uint64_t chain = 0;         // checksum of batch first_batch - 1
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

enum class BatchFlags : uint16_t {
  none = 0,
  marker = 1,   // no records: says only that the previous batch was synced
  opening = 2,  // first batch of a boot: may repeat the records of the unproven tail
};

enum class RecordType : uint8_t { epoch = 2, accept = 3, law = 4, decided = 5, snapshot = 6 };

// What a record was about, without its payload.
struct RecordSummary {
  RecordType type = RecordType::accept;
  SlotRange slots;
  Ballot ballot;
  friend bool operator==(const RecordSummary&, const RecordSummary&) = default;
};

struct BatchHeader {
  uint16_t format = kWalFormat;
  BatchFlags flags = BatchFlags::none;
  uint64_t segment = 0;
  uint64_t number = 0;
  uint32_t bytes = 0;  // header, echoes and records, without padding
  uint32_t record_count = 0;
  uint32_t echo_count = 0;
  uint64_t offset = 0;          // of this header in its segment: a misdirected write cannot pass
  uint64_t synced_through = 0;  // last batch known synced when this one was written
  uint64_t superblock_sequence = 0;
  uint64_t boot = 0;
  Ballot promised;
  uint64_t previous_checksum = 0;  // `checksum` of batch number - 1
  uint64_t checksum = 0;           // of everything behind the header, seeded with previous_checksum
  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// Everything a new segment repeats so that older ones can go.
struct CarriedState {
  bool has_epoch = false;
  EpochRecord epoch;
  SnapshotRecord snapshot;  // index 0: none
  DecidedRecord decided;
};

uint64_t round_up(uint64_t bytes, uint64_t block_bytes);

// ---- encoding: appends to a buffer that the caller reuses ----
void encode_segment_header(const SegmentHeader& header, uint64_t salt, std::string* out);  // one block
uint64_t encoded_record_bytes(const Record& record);  // 0 for a PromiseRecord: it lives in the superblock
// Appends the record; returns its summary. Not for PromiseRecords.
RecordSummary encode_record(const Record& record, uint64_t salt, std::string* out);
void encode_echo(const RecordSummary& summary, std::string* out);
// Leaves room for a batch header at the end of `out`; seal_batch fills it in when the rest is there, and
// pads.
size_t begin_batch(std::string* out);
// `header.bytes` and the checksums are computed here. Returns header.checksum.
uint64_t seal_batch(BatchHeader header, size_t begin, uint32_t block_bytes, uint64_t salt, std::string* out);

// ---- decoding ----
bool decode_segment_header(std::string_view block, uint64_t salt, SegmentHeader* out);
// Needs kBatchHeaderBytes. True: magic, checksum and bounds are right.
bool decode_batch_header(std::string_view bytes, uint64_t salt, BatchHeader* out);

// A record as it lies in a batch.
struct DecodedRecord {
  Record record;
  RecordSummary summary;
  uint32_t offset = 0;  // from the batch's first byte
  uint32_t bytes = 0;
};
// `bytes` is the whole batch (header.bytes). Empty when it is right, else a sentence about what is wrong.
// `echoes` and `records` may be null.
std::string decode_batch(std::string_view bytes, const BatchHeader& header, uint64_t salt,
                         std::vector<RecordSummary>* echoes, std::vector<DecodedRecord>* records);
// One record at the beginning of `bytes`; `used` gets its length. Same answer convention.
std::string decode_record(std::string_view bytes, uint64_t salt, DecodedRecord* out);

std::string to_string(const Ballot& ballot);

}  // namespace decree::storage
