#include "kv/snapshot.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <xxhash.h>
#include "base/planted_bugs.h"
#include "kv/mvcc.h"
#include "kv/wire.h"

namespace decree::kv {

namespace {

constexpr std::string_view kMagic("DCRKV\0\0\1", 8);
constexpr size_t kChunkHeaderBytes = 16;
constexpr size_t kChunkBytesMax = 1u << 30;
constexpr size_t kVersionsPerSlice = 4000;
constexpr uint64_t kFlagTombstone = 1;
constexpr uint64_t kFlagSameKey = 2;

enum ChunkType : uint32_t { kState = 1, kRecords = 2, kEnd = 3 };

template <class Int>
void put_fixed(std::string* out, Int value) {
  for (size_t i = 0; i < sizeof(Int); ++i)
    out->push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
}

void put_string(std::string* out, std::string_view s) {
  put_fixed(out, static_cast<uint32_t>(s.size()));
  out->append(s);
}

uint64_t chunk_sum(uint32_t type, uint64_t number, std::string_view payload) {
  std::string head;
  put_fixed(&head, type);
  put_fixed(&head, static_cast<uint32_t>(payload.size()));
  put_fixed(&head, number);
  return XXH3_64bits_withSeed(payload.data(), payload.size(), XXH3_64bits(head.data(), head.size()));
}

// Reads what put_fixed, put_string and put_varint wrote; `ok` goes false for good at the first shortage.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  template <class Int>
  Int fixed() {
    const std::string_view raw = take(sizeof(Int));
    uint64_t v = 0;
    for (size_t i = 0; i < raw.size(); ++i)
      v |= static_cast<uint64_t>(static_cast<uint8_t>(raw[i])) << (8 * i);
    return static_cast<Int>(v);
  }
  std::string_view string() { return take(fixed<uint32_t>()); }
  uint64_t varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      v |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return v;
    }
    ok_ = false;
    return 0;
  }
  int64_t number() { return static_cast<int64_t>(varint()); }
  std::string_view take(size_t n) {
    if (n > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

std::string encode_state(const SnapshotState& s) {
  std::string out;
  put_fixed(&out, s.revision);
  put_fixed(&out, s.compacted);
  put_fixed(&out, s.digest.hi);
  put_fixed(&out, s.digest.lo);
  put_fixed(&out, static_cast<uint32_t>(s.alarms.size()));
  for (const Alarm& alarm : s.alarms) {
    put_fixed(&out, alarm.member_id);
    put_fixed(&out, static_cast<uint8_t>(alarm.kind));
  }
  put_fixed(&out, static_cast<uint32_t>(s.members.size()));
  for (const auto& [id, member] : s.members) {
    put_fixed(&out, id);
    put_string(&out, member.name);
    put_fixed(&out, static_cast<uint32_t>(member.client_urls.size()));
    for (const std::string& url : member.client_urls) put_string(&out, url);
  }
  put_string(&out, s.cluster_version);
  return out;
}

bool decode_state(std::string_view payload, SnapshotState* s) {
  Reader in(payload);
  s->revision = in.fixed<int64_t>();
  s->compacted = in.fixed<int64_t>();
  s->digest.hi = in.fixed<uint64_t>();
  s->digest.lo = in.fixed<uint64_t>();
  for (uint32_t n = in.fixed<uint32_t>(); n > 0 && in.ok(); --n) {
    Alarm alarm;
    alarm.member_id = in.fixed<uint64_t>();
    alarm.kind = static_cast<AlarmKind>(in.fixed<uint8_t>());
    s->alarms.push_back(alarm);
  }
  for (uint32_t n = in.fixed<uint32_t>(); n > 0 && in.ok(); --n) {
    MemberAttributes& member = s->members[in.fixed<uint64_t>()];
    member.name = in.string();
    for (uint32_t urls = in.fixed<uint32_t>(); urls > 0 && in.ok(); --urls)
      member.client_urls.emplace_back(in.string());
  }
  s->cluster_version = in.string();
  return in.ok() && in.at_end() && s->revision >= 1 && s->compacted >= -1 && s->compacted <= s->revision;
}

class Source final : public SnapshotSource {
 public:
  Source(std::shared_ptr<Mvcc> mvcc, SnapshotState state)
      : state_(std::move(state)), pinned_(std::move(mvcc), state_.compacted) {}

  bool next(size_t bytes_max, std::string* out) override {
    if (done_) return false;
    if (!begun_) {
      begun_ = true;
      out->append(kMagic);
      write_chunk(kState, encode_state(state_), out);
      return true;
    }
    std::string records;
    const bool exhausted = walk(std::max<size_t>(bytes_max, 1), &records);
    if (!records.empty()) write_chunk(kRecords, records, out);
    if (!exhausted) return true;
    std::string end;
    put_fixed(&end, versions_);
    put_fixed(&end, live_keys_);
    put_fixed(&end, in_use_bytes_);
    write_chunk(kEnd, end, out);
    done_ = true;
    return false;
  }

 private:
  void write_chunk(uint32_t type, std::string_view payload, std::string* out) {
    put_fixed(out, type);
    put_fixed(out, static_cast<uint32_t>(payload.size()));
    put_fixed(out, chunk_sum(type, chunks_++, payload));
    out->append(payload);
  }

  // Appends records from the cursor on; true when all keys are done.
  bool walk(size_t bytes_max, std::string* records) {
    const KeyIndex& index = pinned_.mvcc().index();
    previous_key_ = nullptr;  // every chunk begins with a whole key
    size_t visits = 0;
    auto it = index.lower_bound(key_);
    while (it != index.end()) {
      const Record* newest = it->record();
      if (newest->key() != key_) after_ = {INT64_MIN, 0};
      const History& history = newest->history();
      const size_t older = history.size();
      for (size_t i = first_unsent(history, older); i <= older; ++i) {
        const Record* r = i < older ? history.at(i) : newest;
        if (++visits > kVersionsPerSlice || records->size() >= bytes_max) {
          key_ = newest->key();
          return false;
        }
        after_ = {r->mod(), r->sub()};
        const Record* next = i == older ? nullptr : (i + 1 < older ? history.at(i + 1) : newest);
        emit(*r, next, records);
      }
      ++it;
      if (it != index.end()) {
        key_ = it->record()->key();
        after_ = {INT64_MIN, 0};
      }
    }
    return true;
  }

  // Resuming inside a long history must not walk it from its beginning.
  size_t first_unsent(const History& history, size_t older) const {
    size_t low = 0;
    size_t high = older;
    while (low < high) {
      const size_t mid = (low + high) / 2;
      if (std::pair(history.at(mid)->mod(), history.at(mid)->sub()) <= after_) {
        low = mid + 1;
      } else {
        high = mid;
      }
    }
    return low;
  }

  void emit(const Record& r, const Record* next, std::string* out) {
    const bool loose = planted(PlantedBug::snapshot_not_pinned);
    if (r.mod() > state_.revision && !loose) return;
    if (next != nullptr && next->mod() > state_.revision && !loose) next = nullptr;
    if (planted(PlantedBug::snapshot_without_deletions)) {
      if (r.tombstone()) return;
      if (next != nullptr && next->tombstone()) next = nullptr;
    }
    const bool superseded = next != nullptr && next->mod() <= state_.compacted;
    if (superseded || (r.tombstone() && r.mod() < state_.compacted)) return;
    const bool same = previous_key_ != nullptr && previous_key_->key() == r.key();
    wire::put_varint(out, (r.tombstone() ? kFlagTombstone : 0) | (same ? kFlagSameKey : 0));
    if (!same) {
      wire::put_varint(out, r.key().size());
      out->append(r.key());
    }
    wire::put_varint(out, static_cast<uint64_t>(r.mod()));
    wire::put_varint(out, r.sub());
    if (!r.tombstone()) {
      wire::put_varint(out, static_cast<uint64_t>(r.create()));
      wire::put_varint(out, static_cast<uint64_t>(r.version()));
      wire::put_varint(out, static_cast<uint64_t>(r.lease()));
      wire::put_varint(out, r.value().size());
      out->append(r.value());
      if (next == nullptr) ++live_keys_;
    }
    previous_key_ = &r;
    ++versions_;
    in_use_bytes_ += r.alloc_bytes();
  }

  SnapshotState state_;
  // At the compaction the snapshot began with: versions between it and a later one are part of the snapshot.
  PinnedRevision pinned_;
  bool begun_ = false;
  bool done_ = false;
  std::string key_;                                   // next key to look at
  std::pair<int64_t, uint32_t> after_{INT64_MIN, 0};  // its versions up to here are done
  const Record* previous_key_ = nullptr;
  uint64_t chunks_ = 0;
  uint64_t versions_ = 0;
  uint64_t live_keys_ = 0;
  uint64_t in_use_bytes_ = 0;
};

class Sink final : public SnapshotSink {
 public:
  Sink(std::function<void(SnapshotState, std::shared_ptr<Mvcc>)> install,
       std::function<void(std::shared_ptr<Mvcc>)> discard)
      : install_(std::move(install)), discard_(std::move(discard)), mvcc_(std::make_shared<Mvcc>()) {}
  ~Sink() override {
    if (mvcc_ != nullptr) discard_(std::move(mvcc_));
  }

  Result<void> write(std::string_view bytes) override {
    if (!failure_.empty()) return refused(failure_);
    while (!bytes.empty() && failure_.empty()) {
      // Straight from the caller's bytes where a whole piece lies there; else gathered.
      const size_t want = wanted();
      if (gathered_.empty() && bytes.size() >= want) {
        consume(bytes.substr(0, want));
        bytes.remove_prefix(want);
        continue;
      }
      const size_t n = std::min(want - gathered_.size(), bytes.size());
      gathered_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (gathered_.size() == want) {
        std::string piece;
        piece.swap(gathered_);
        consume(piece);
      }
    }
    return failure_.empty() ? Result<void>() : refused(failure_);
  }

  Result<void> finish() override {
    if (failure_.empty() && stage_ != Stage::ended) fail("ends too early");
    if (!failure_.empty()) return refused(failure_);
    if (mvcc_ == nullptr) return refused("was installed already");
    if (planted(PlantedBug::revision_from_records)) {
      state_.revision = 1;
      for (auto it = mvcc_->index().lower_bound(""); it != mvcc_->index().end(); ++it)
        state_.revision = std::max(state_.revision, it->record()->mod());
      state_.compacted = std::min(state_.compacted, state_.revision);
    }
    mvcc_->finish_load(state_.revision, state_.compacted);
    install_(std::move(state_), std::move(mvcc_));
    mvcc_ = nullptr;
    return {};
  }

 private:
  enum class Stage { magic, header, payload, ended };

  static Error refused(const std::string& why) {
    return Error{ErrorCode::corrupt,
                 "the snapshot of the key-value state " + why +
                     "; the present state is untouched, take the snapshot from another member"};
  }
  void fail(const std::string& why) { failure_ = why; }

  size_t wanted() const {
    switch (stage_) {
      case Stage::magic:
        return kMagic.size();
      case Stage::header:
        return kChunkHeaderBytes;
      case Stage::payload:
        return payload_bytes_;
      case Stage::ended:
        break;
    }
    return 1;
  }

  void consume(std::string_view piece) {
    switch (stage_) {
      case Stage::magic:
        if (piece.substr(0, 7) != kMagic.substr(0, 7)) return fail("does not begin as one");
        if (piece != kMagic) return fail("has a format newer than this release knows");
        stage_ = Stage::header;
        return;
      case Stage::header: {
        Reader in(piece);
        type_ = in.fixed<uint32_t>();
        payload_bytes_ = in.fixed<uint32_t>();
        sum_ = in.fixed<uint64_t>();
        if (type_ < kState || type_ > kEnd || (type_ == kState) != (chunks_ == 0))
          return fail("has chunks out of order");
        if (payload_bytes_ == 0 || payload_bytes_ > kChunkBytesMax)
          return fail("has a chunk of impossible size");
        stage_ = Stage::payload;
        return;
      }
      case Stage::payload:
        if (chunk_sum(type_, chunks_++, piece) != sum_) return fail("is damaged (checksum)");
        stage_ = Stage::header;
        if (type_ == kState && !decode_state(piece, &state_)) return fail("has an unreadable state chunk");
        if (type_ == kRecords) load(piece);
        if (type_ == kEnd) end(piece);
        return;
      case Stage::ended:
        return fail("goes on after its end");
    }
  }

  void load(std::string_view payload) {
    Reader in(payload);
    std::string_view key;
    while (!in.at_end()) {
      RecordFields f;
      const uint64_t flags = in.varint();
      if ((flags & ~(kFlagTombstone | kFlagSameKey)) != 0) return fail("has records of an unknown kind");
      if ((flags & kFlagSameKey) == 0) key = in.take(in.varint());
      f.key = key;
      f.tombstone = (flags & kFlagTombstone) != 0;
      f.mod = in.number();
      f.sub = static_cast<uint32_t>(in.varint());
      if (!f.tombstone) {
        f.create = in.number();
        f.version = in.number();
        f.lease = in.number();
        f.value = in.take(in.varint());
        if (planted(PlantedBug::version_not_restored)) f.version = 1;
      }
      if (!in.ok() || f.mod < 0 || f.mod > state_.revision) return fail("has an unreadable record");
      if (!mvcc_->load(f)) return fail("has records out of order");
    }
  }

  void end(std::string_view payload) {
    Reader in(payload);
    const auto versions = in.fixed<uint64_t>();
    const auto keys = in.fixed<uint64_t>();
    const auto bytes = in.fixed<uint64_t>();
    if (!in.ok() || !in.at_end() || versions != mvcc_->versions() || keys != mvcc_->live_keys() ||
        bytes != mvcc_->in_use_bytes()) {
      return fail("does not hold what its end says");
    }
    stage_ = Stage::ended;
  }

  std::function<void(SnapshotState, std::shared_ptr<Mvcc>)> install_;
  std::function<void(std::shared_ptr<Mvcc>)> discard_;
  std::shared_ptr<Mvcc> mvcc_;
  SnapshotState state_;
  Stage stage_ = Stage::magic;
  std::string gathered_;
  std::string failure_;
  uint64_t chunks_ = 0;
  uint32_t type_ = 0;
  size_t payload_bytes_ = 0;
  uint64_t sum_ = 0;
};

}  // namespace

std::unique_ptr<SnapshotSource> make_snapshot_source(std::shared_ptr<Mvcc> mvcc, SnapshotState state) {
  return std::make_unique<Source>(std::move(mvcc), std::move(state));
}

std::unique_ptr<SnapshotSink> make_snapshot_sink(
    std::function<void(SnapshotState state, std::shared_ptr<Mvcc> mvcc)> install,
    std::function<void(std::shared_ptr<Mvcc> mvcc)> discard) {
  return std::make_unique<Sink>(std::move(install), std::move(discard));
}

}  // namespace decree::kv
