// One version of one key in one allocation, and the older versions of a key.
//
// Memory decides how much a member can hold, so fields are packed by hand: 44 bytes of header, then lease
// (only if any), key, value. The newest version of a key is what the tree points to; older ones hang off it
// in a History.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "decree/check.h"
#include "kv/record_pool.h"

namespace decree::kv {

class Record;

// Older versions of one key, oldest first, without the newest: one word in the newest version's record. None
// and one (most keys, most of the time) need no memory of their own. Owns nothing: whoever empties it frees
// the records.
class History {
 public:
  bool empty() const { return bits_ == 0; }
  size_t size() const { return bits_ == 0 ? 0 : single() ? 1 : many()->size(); }
  Record* at(size_t i) const {
    return single() ? reinterpret_cast<Record*>(bits_ & ~kSingle) : many()->records[many()->first + i];
  }
  void push(Record* record) {
    if (bits_ == 0) {
      bits_ = reinterpret_cast<uintptr_t>(record) | kSingle;
      return;
    }
    if (single()) {
      auto* block = new Many;
      block->records.push_back(at(0));
      bits_ = reinterpret_cast<uintptr_t>(block);
    }
    many()->records.push_back(record);
  }
  // Forgets the first n.
  void drop_front(size_t n) {
    if (n == 0) return;
    if (n == size()) return reset();
    Many* block = many();
    block->first += n;
    if (block->size() == 1) {
      Record* left = at(0);
      delete block;
      bits_ = reinterpret_cast<uintptr_t>(left) | kSingle;
    } else if (block->first > 16 && block->first * 2 > block->records.size()) {
      block->records.erase(block->records.begin(),
                           block->records.begin() + static_cast<std::ptrdiff_t>(block->first));
      block->records.shrink_to_fit();
      block->first = 0;
    }
  }
  void reset() {
    if (bits_ != 0 && !single()) delete many();
    bits_ = 0;
  }

 private:
  static constexpr uintptr_t kSingle = 1;
  struct Many {
    std::vector<Record*> records;
    size_t first = 0;
    size_t size() const { return records.size() - first; }
  };
  bool single() const { return (bits_ & kSingle) != 0; }
  Many* many() const { return reinterpret_cast<Many*>(bits_); }

  uintptr_t bits_ = 0;
};

struct RecordFields {
  int64_t mod = 0;
  uint32_t sub = 0;
  bool tombstone = false;
  int64_t create = 0;  // 0 for tombstones, as version
  int64_t version = 0;
  int64_t lease = 0;
  std::string_view key;
  std::string_view value;
};

class Record {
 public:
  static Record* make(const RecordFields& f, RecordPool& pool) {
    DECREE_CHECK(f.key.size() < kKeyBytesLimit && f.value.size() < UINT32_MAX,
                 "key or value beyond any request limit");
    const size_t bytes = alloc_bytes(f.key.size(), f.value.size(), f.lease != 0);
    auto* r = static_cast<Record*>(pool.allocate(bytes));
    new (&r->history_) History;
    r->mod_ = f.mod;
    r->create_ = f.create;
    r->version_ = f.version;
    r->sub_ = f.sub;
    r->value_bytes_ = static_cast<uint32_t>(f.value.size());
    r->key_bytes_ =
        static_cast<uint32_t>(f.key.size()) | (f.tombstone ? kTombstone : 0) | (f.lease != 0 ? kLeased : 0);
    char* p = r->data();
    if (f.lease != 0) {
      std::memcpy(p, &f.lease, sizeof f.lease);
      p += sizeof f.lease;
    }
    if (!f.key.empty()) std::memcpy(p, f.key.data(), f.key.size());
    if (!f.value.empty()) std::memcpy(p + f.key.size(), f.value.data(), f.value.size());
    return r;
  }
  // Its history, if any, has been handled before.
  static void free(Record* record, RecordPool& pool) { pool.free(record, record->alloc_bytes()); }
  static constexpr size_t kHeaderBytes = 44;
  static size_t alloc_bytes(size_t key_bytes, size_t value_bytes, bool leased) {
    return kHeaderBytes + (leased ? sizeof(int64_t) : 0) + key_bytes + value_bytes;
  }

  int64_t mod() const { return mod_; }
  uint32_t sub() const { return sub_; }
  int64_t create() const { return create_; }
  int64_t version() const { return version_; }
  bool tombstone() const { return (key_bytes_ & kTombstone) != 0; }
  int64_t lease() const {
    if ((key_bytes_ & kLeased) == 0) return 0;
    int64_t lease = 0;
    std::memcpy(&lease, data(), sizeof lease);
    return lease;
  }
  std::string_view key() const { return {data() + lease_bytes(), key_size()}; }
  std::string_view value() const { return {data() + lease_bytes() + key_size(), value_bytes_}; }
  // Lease, key and value as they lie in memory: what a digest reads in one go.
  std::string_view content() const { return {data(), lease_bytes() + key_size() + value_bytes_}; }
  size_t alloc_bytes() const { return kHeaderBytes + content().size(); }
  RecordFields fields() const {
    return {.mod = mod_,
            .sub = sub_,
            .tombstone = tombstone(),
            .create = create_,
            .version = version_,
            .lease = lease(),
            .key = key(),
            .value = value()};
  }

  // Only the newest version of a key has one.
  const History& history() const { return history_; }
  History& history() { return history_; }
  History take_history() { return std::exchange(history_, History()); }

 private:
  static constexpr uint32_t kTombstone = 1u << 31;
  static constexpr uint32_t kLeased = 1u << 30;
  static constexpr uint32_t kKeyBytesLimit = 1u << 30;

  size_t key_size() const { return key_bytes_ & (kKeyBytesLimit - 1); }
  size_t lease_bytes() const { return (key_bytes_ & kLeased) != 0 ? sizeof(int64_t) : 0; }
  char* data() { return reinterpret_cast<char*>(this) + kHeaderBytes; }
  const char* data() const { return reinterpret_cast<const char*>(this) + kHeaderBytes; }

  History history_;
  int64_t mod_;
  int64_t create_;
  int64_t version_;
  uint32_t sub_;
  uint32_t value_bytes_;
  uint32_t key_bytes_;
};

}  // namespace decree::kv
