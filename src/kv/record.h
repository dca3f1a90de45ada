// One version of one key in one allocation, and the older versions of a key.
//
// Memory decides how much a member can hold, so fields are packed by hand: 44 bytes of header, then lease (only if
// any), key, value. The newest version of a key is what the tree points to; older ones hang off it in a History.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <vector>

#include "decree/check.h"

namespace decree::kv {

class Record;

// Older versions of one key, oldest first, without the newest. Prefix removal is cheap.
class History {
 public:
  size_t size() const { return records_.size() - first_; }
  Record* at(size_t i) const { return records_[first_ + i]; }
  void push(Record* record) { records_.push_back(record); }
  // Forgets the first n; the caller frees them.
  void drop_front(size_t n) {
    first_ += static_cast<uint32_t>(n);
    if (first_ > 16 && first_ * 2 > records_.size()) {
      records_.erase(records_.begin(), records_.begin() + first_);
      records_.shrink_to_fit();
      first_ = 0;
    }
  }
  Record* pop_back() {
    Record* last = records_.back();
    records_.pop_back();
    return last;
  }

 private:
  std::vector<Record*> records_;
  uint32_t first_ = 0;
};

struct RecordFields {
  int64_t mod = 0;
  uint32_t sub = 0;
  bool tombstone = false;
  int64_t create = 0;   // 0 for tombstones, as version
  int64_t version = 0;
  int64_t lease = 0;
  std::string_view key;
  std::string_view value;
};

class Record {
 public:
  static Record* make(const RecordFields& f) {
    DECREE_CHECK(f.key.size() < kKeyBytesLimit && f.value.size() < UINT32_MAX, "key or value beyond any request limit");
    const size_t bytes = alloc_bytes(f.key.size(), f.value.size(), f.lease != 0);
    auto* r = static_cast<Record*>(::operator new(bytes));
    r->history_ = nullptr;
    r->mod_ = f.mod;
    r->create_ = f.create;
    r->version_ = f.version;
    r->sub_ = f.sub;
    r->value_bytes_ = static_cast<uint32_t>(f.value.size());
    r->key_bytes_ = static_cast<uint32_t>(f.key.size()) | (f.tombstone ? kTombstone : 0) |
                    (f.lease != 0 ? kLeased : 0);
    char* p = r->data();
    if (f.lease != 0) {
      std::memcpy(p, &f.lease, sizeof f.lease);
      p += sizeof f.lease;
    }
    if (!f.key.empty()) std::memcpy(p, f.key.data(), f.key.size());
    if (!f.value.empty()) std::memcpy(p + f.key.size(), f.value.data(), f.value.size());
    return r;
  }
  static void free(Record* record) {
    delete record->history_;
    ::operator delete(record);
  }
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
    return {.mod = mod_, .sub = sub_, .tombstone = tombstone(), .create = create_, .version = version_,
            .lease = lease(), .key = key(), .value = value()};
  }

  // Only the newest version of a key has one.
  History* history() const { return history_; }
  void set_history(History* history) { history_ = history; }

 private:
  static constexpr uint32_t kTombstone = 1u << 31;
  static constexpr uint32_t kLeased = 1u << 30;
  static constexpr uint32_t kKeyBytesLimit = 1u << 30;

  size_t key_size() const { return key_bytes_ & (kKeyBytesLimit - 1); }
  size_t lease_bytes() const { return (key_bytes_ & kLeased) != 0 ? sizeof(int64_t) : 0; }
  char* data() { return reinterpret_cast<char*>(this) + kHeaderBytes; }
  const char* data() const { return reinterpret_cast<const char*>(this) + kHeaderBytes; }

  History* history_;
  int64_t mod_;
  int64_t create_;
  int64_t version_;
  uint32_t sub_;
  uint32_t value_bytes_;
  uint32_t key_bytes_;
};

}  // namespace decree::kv
