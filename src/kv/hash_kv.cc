#include "kv/hash_kv.h"

#include <array>
#include <string>
#include <vector>

#include "kv/encode.h"
#include "kv/mvcc.h"
#include "kv/sliced_sort.h"

namespace decree::kv {

namespace {

constexpr size_t kVersionsPerDigestSlice = 2000;

// CRC32-C (Castagnoli), eight table steps at a time.
class Crc32c {
 public:
  void update(std::string_view bytes) {
    const auto& t = tables();
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    size_t n = bytes.size();
    uint32_t c = ~value_;
    for (; n >= 8; n -= 8, p += 8) {
      const uint32_t low = c ^ (p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24);
      c = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^ t[3][p[4]] ^
          t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
    }
    for (; n > 0; --n, ++p) c = t[0][(c ^ *p) & 0xff] ^ c >> 8;
    value_ = ~c;
  }
  uint32_t value() const { return value_; }

 private:
  using Tables = std::array<std::array<uint32_t, 256>, 8>;
  static const Tables& tables() {
    static const Tables made = [] {
      Tables t{};
      for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        t[0][i] = c;
      }
      for (size_t k = 1; k < 8; ++k) {
        for (size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 0xff];
      }
      return t;
    }();
    return made;
  }
  uint32_t value_ = 0;
};

void put_big_endian(std::string* out, uint64_t v) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(v >> shift));
}

}  // namespace

struct HashJob::Impl {
  // Pinned at the compaction it begins with: the sweep may not take what a hash at or above it counts.
  Impl(std::shared_ptr<Mvcc> mvcc, int64_t revision, const HeaderFields& h)
      : header(h),
        compacted(mvcc->compacted()),
        at(revision > 0 ? revision : mvcc->revision()),
        pinned(std::move(mvcc), compacted),
        order([](const Record* a, const Record* b) {
          return a->mod() != b->mod() ? a->mod() < b->mod() : a->sub() < b->sub();
        }) {
    crc.update("key");
  }

  // Versions after the compaction, and of the older ones those that are the key's newest at `at`; deletions
  // at or before the compaction never count. One exception is etcd's own: when no key is alive at `at`, every
  // version that compaction has kept counts (measured on 3.4.23).
  void collect(const Record* r, const Record* next) {
    if (r->mod() > at) return;
    const bool newest = next == nullptr || next->mod() > at;
    if (newest && !r->tombstone()) any_alive = true;
    if (r->mod() > compacted) {
      order.add(r);
    } else if (!r->tombstone() && newest) {
      order.add(r);
    } else if (!r->tombstone() && next->mod() > compacted && !any_alive) {
      kept_only.push_back(r);
    }
  }

  void collect_slice() {
    const KeyIndex& index = pinned.mvcc().index();
    auto it = index.lower_bound(cursor);
    for (size_t n = 0; it != index.end() && n < kVersionsPerDigestSlice; ++it, ++n) {
      const Record* newest = it->record();
      const History& history = newest->history();
      const size_t older = history.size();
      for (size_t i = 0; i < older; ++i) collect(history.at(i), i + 1 < older ? history.at(i + 1) : newest);
      collect(newest, nullptr);
      n += older;
    }
    if (any_alive) kept_only.clear();
    if (it == index.end()) {
      for (const Record* r : kept_only) order.add(r);
      order.seal();
      collected = true;
    } else {
      cursor = it->record()->key();
    }
  }

  bool hash_slice() {
    std::string buffer;
    for (size_t n = 0; n < kVersionsPerDigestSlice; ++n) {
      const Record* r = order.next();
      if (r == nullptr) return true;
      buffer.clear();
      put_big_endian(&buffer, static_cast<uint64_t>(r->mod()));
      buffer.push_back('_');
      put_big_endian(&buffer, r->sub());
      if (r->tombstone()) {
        buffer.push_back('t');
        wire::put_bytes_field(&buffer, 1, r->key());
      } else {
        put_kv_body(&buffer, *r, false);
      }
      crc.update(buffer);
      n += buffer.size() / 1024;
    }
    return false;
  }

  HeaderFields header;
  int64_t compacted;
  int64_t at;
  PinnedRevision pinned;
  SlicedSort order;
  std::vector<const Record*> kept_only;
  bool any_alive = false;
  Crc32c crc;
  std::string cursor;
  bool collected = false;
  bool done = false;
};

HashJob::HashJob(std::shared_ptr<Mvcc> mvcc, int64_t revision, const HeaderFields& header)
    : impl_(std::make_unique<Impl>(std::move(mvcc), revision, header)) {}
HashJob::~HashJob() = default;

bool HashJob::step() {
  if (!impl_->collected) {
    impl_->collect_slice();
  } else if (!impl_->done) {
    impl_->done = impl_->hash_slice();
  }
  return impl_->done;
}

Reply HashJob::reply() const {
  DECREE_CHECK(impl_->done, "step() first");
  Reply reply;
  put_header(&reply.body, impl_->header);
  wire::put_int_field(&reply.body, 2, impl_->crc.value());
  wire::put_int_field(&reply.body, 3, static_cast<uint64_t>(impl_->compacted));
  wire::put_int_field(&reply.body, 4, static_cast<uint64_t>(impl_->at));
  return reply;
}

}  // namespace decree::kv
