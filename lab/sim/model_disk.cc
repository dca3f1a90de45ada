#include <algorithm>
#include <map>

#include "lab/sim/disk.h"

namespace decree::lab {

void replay(const Record& record, RecoveredState* state) {
  if (const auto* promise = std::get_if<PromiseRecord>(&record)) {
    state->promised = std::max(state->promised, promise->promised);
  } else if (const auto* epoch = std::get_if<EpochRecord>(&record)) {
    if (state->has_membership && epoch->membership.epoch <= state->membership.epoch) return;
    state->membership = epoch->membership;
    std::erase_if(state->accepted, [&](const auto& held) {  // attack A9
      return held.first >= epoch->membership.base && !held.second.law &&
             held.second.ballot.epoch < epoch->membership.epoch;
    });
    state->initial_ballot = epoch->initial_ballot;
    state->promised = std::max(state->promised, epoch->initial_ballot);
    state->has_membership = true;
  } else if (const auto* accept = std::get_if<AcceptRecord>(&record)) {
    state->promised = std::max(state->promised, accept->ballot);
    Slot slot = accept->first;
    for (const Entry& entry : accept->entries) {
      if (slot > state->snapshot_index) {
        AcceptedEntry& held = state->accepted[slot];
        held = AcceptedEntry{accept->ballot, held.law, entry};
      }
      slot = slot.next();
    }
  } else if (const auto* law = std::get_if<LawRecord>(&record)) {
    Slot slot = law->first;
    for (const Entry& entry : law->entries) {
      if (slot > state->snapshot_index) {
        AcceptedEntry& held = state->accepted[slot];
        held = AcceptedEntry{held.entry == entry ? held.ballot : Ballot{}, true, entry};
      }
      slot = slot.next();
    }
  } else if (const auto* decided = std::get_if<DecidedRecord>(&record)) {
    state->decided_hint = std::max(state->decided_hint, decided->upto);
  } else if (const auto* snapshot = std::get_if<SnapshotRecord>(&record)) {
    if (snapshot->index <= state->snapshot_index) return;
    state->snapshot_index = snapshot->index;
    state->snapshot_chain = snapshot->chain;
    state->snapshot_term = snapshot->term;
    state->decided_hint = std::max(state->decided_hint, snapshot->index);
    state->accepted.erase(state->accepted.begin(), state->accepted.upper_bound(snapshot->index));
  }
}

namespace {

using runtime::SnapshotManifest;
using runtime::StoredSnapshot;

Digest128 digest_of(const std::string& bytes) {
  Digest128 d{0x243f6a8885a308d3ULL, bytes.size()};
  for (const char c : bytes) {
    d.lo = (d.lo ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    d.hi = (d.hi + d.lo) * 0x9e3779b97f4a7c15ULL;
  }
  return d;
}

// Snapshots as strings. A file appears whole or not at all.
class ModelSnapshots final : public runtime::SnapshotStore {
 public:
  struct FileInMemory {
    StoredSnapshot stored;
    std::string bytes;
  };

  Result<std::unique_ptr<runtime::SnapshotWriter>> create(const SnapshotManifest& manifest) override {
    struct Writer final : runtime::SnapshotWriter {
      Writer(ModelSnapshots& o, SnapshotManifest m) : owner(o), manifest(std::move(m)) {}
      Result<void> append(std::string_view piece) override {
        bytes.append(piece);
        return {};
      }
      Result<StoredSnapshot> finish() override { return owner.keep(manifest, std::move(bytes)); }
      ModelSnapshots& owner;
      SnapshotManifest manifest;
      std::string bytes;
    };
    return std::unique_ptr<runtime::SnapshotWriter>(std::make_unique<Writer>(*this, manifest));
  }

  Result<std::unique_ptr<runtime::SnapshotReceiver>> receive(Slot index, uint64_t size_bytes,
                                                             Digest128 digest) override {
    struct Receiver final : runtime::SnapshotReceiver {
      Result<void> append(std::string_view piece) override {
        bytes.append(piece);
        return {};
      }
      Result<StoredSnapshot> finish() override {
        if (bytes.size() != size || digest_of(bytes) != digest)
          return Error{ErrorCode::corrupt, "the received snapshot is not the one that was offered"};
        SnapshotManifest manifest;
        std::string body;
        if (!owner->decode(bytes, &manifest, &body) || manifest.index != index)
          return Error{ErrorCode::corrupt, "the received file is not a snapshot"};
        return owner->keep(manifest, std::move(body));
      }
      ModelSnapshots* owner = nullptr;
      Slot index;
      uint64_t size = 0;
      Digest128 digest;
      std::string bytes;
    };
    auto receiver = std::make_unique<Receiver>();
    receiver->owner = this;
    receiver->index = index;
    receiver->size = size_bytes;
    receiver->digest = digest;
    return std::unique_ptr<runtime::SnapshotReceiver>(std::move(receiver));
  }

  Result<std::unique_ptr<runtime::SnapshotReader>> open(Slot index) override {
    struct Reader final : runtime::SnapshotReader {
      Result<bool> next(size_t bytes_max, std::string* out) override {
        out->append(body, at, bytes_max);
        at = std::min(body.size(), at + bytes_max);
        return at < body.size();
      }
      std::string body;
      size_t at = 0;
    };
    const auto it = files_.find(index);
    if (it == files_.end()) return Error{ErrorCode::not_found, "no snapshot at that slot"};
    auto reader = std::make_unique<Reader>();
    SnapshotManifest manifest;
    decode(it->second.bytes, &manifest, &reader->body);
    return std::unique_ptr<runtime::SnapshotReader>(std::move(reader));
  }

  Result<std::string> read_raw(Slot index, uint64_t offset, size_t bytes_max) override {
    const auto it = files_.find(index);
    if (it == files_.end()) return Error{ErrorCode::not_found, "no snapshot at that slot"};
    if (offset >= it->second.bytes.size()) return std::string();
    return it->second.bytes.substr(offset, bytes_max);
  }
  Result<std::optional<StoredSnapshot>> newest() override {
    if (files_.empty()) return std::optional<StoredSnapshot>();
    return std::optional<StoredSnapshot>(files_.rbegin()->second.stored);
  }
  Slot newest_index() const { return files_.empty() ? Slot(0) : files_.rbegin()->first; }
  Result<void> prune(Slot newest, const std::vector<Slot>& pinned) override {
    std::erase_if(files_, [&](const auto& file) {
      return file.first < newest && std::find(pinned.begin(), pinned.end(), file.first) == pinned.end();
    });
    return {};
  }

 private:
  // The file is the manifest, fixed fields first, and the body.
  static std::string encode(const SnapshotManifest& m, const std::string& body) {
    const std::string members = encode_membership(m.membership);
    std::string out;
    for (const uint64_t v :
         {m.index.value, m.chain.hi, m.chain.lo, m.term, static_cast<uint64_t>(members.size())})
      out.append(reinterpret_cast<const char*>(&v), sizeof v);
    return out + members + body;
  }
  static bool decode(const std::string& bytes, SnapshotManifest* m, std::string* body) {
    uint64_t v[5];
    if (bytes.size() < sizeof v) return false;
    std::copy_n(bytes.data(), sizeof v, reinterpret_cast<char*>(v));
    if (bytes.size() < sizeof v + v[4]) return false;
    m->index = Slot(v[0]);
    m->chain = Digest128{v[1], v[2]};
    m->term = v[3];
    if (!decode_membership(std::string_view(bytes).substr(sizeof v, v[4]), &m->membership)) return false;
    *body = bytes.substr(sizeof v + v[4]);
    return true;
  }
  Result<StoredSnapshot> keep(const SnapshotManifest& manifest, std::string body) {
    FileInMemory& file = files_[manifest.index];
    file.bytes = encode(manifest, body);
    file.stored = StoredSnapshot{manifest, file.bytes.size(), digest_of(file.bytes)};
    return file.stored;
  }

  std::map<Slot, FileInMemory> files_;
};

class ModelDisk final : public Disk {
 public:
  Result<RecoveredState> open(const Identity& create) override {
    if (state_.boot == 0) state_.identity = create;
    ++state_.boot;
    return state_;
  }
  Result<void> commit(std::span<const PersistedRecord> batch) override {
    for (const PersistedRecord& r : batch) apply(r.record);
    return {};
  }
  void crash(CrashKind kind, std::span<const PersistedRecord> under_way, Random& random) override {
    if (under_way.empty()) return;
    // As storage::Wal writes: what opens an epoch ends a batch of its own; of each batch first the promises,
    // to the superblock, and then the rest, found whole or, its tail torn, not at all.
    std::vector<std::span<const PersistedRecord>> batches;
    for (size_t begin = 0, at = 0; at < under_way.size(); ++at) {
      if (at + 1 < under_way.size() && !std::holds_alternative<EpochRecord>(under_way[at].record)) continue;
      batches.push_back(under_way.subspan(begin, at + 1 - begin));
      begin = at + 1;
    }
    const uint64_t fate = random.below(2 * batches.size() + (kind == CrashKind::process ? 1 : 2));
    for (size_t i = 0; i < batches.size() && fate > 2 * i; ++i)
      for (const PersistedRecord& r : batches[i])
        if (fate > 2 * i + 1 || std::holds_alternative<PromiseRecord>(r.record)) apply(r.record);
  }
  Result<RecoveredState> fork_and_lose_power() const override {
    RecoveredState found = state_;
    found.snapshot_index = std::max(found.snapshot_index, snapshots_.newest_index());
    return found;
  }

  Result<std::vector<Entry>> read(SlotRange slots, uint64_t bytes_max) override {
    std::vector<Entry> entries;
    uint64_t bytes = 0;
    for (Slot s = slots.first; s < slots.end && (entries.empty() || bytes < bytes_max); s = s.next()) {
      const Entry* entry = find(s);
      if (entry == nullptr) break;
      entries.push_back(*entry);
      bytes += entry->weight_bytes();
    }
    if (entries.empty()) return Error{ErrorCode::not_found, "the log does not hold this slot any more"};
    return entries;
  }
  void truncate(Slot upto) override {
    for (auto it = behind_.begin(); it != behind_.end() && it->first <= upto;) {
      bytes_ -= std::min(bytes_, it->second.weight_bytes());
      it = behind_.erase(it);
    }
  }
  runtime::SnapshotStore& snapshots() override { return snapshots_; }
  uint64_t log_bytes() const override { return bytes_; }

 private:
  const Entry* find(Slot s) const {
    if (const auto it = state_.accepted.find(s); it != state_.accepted.end()) return &it->second.entry;
    if (const auto it = behind_.find(s); it != behind_.end()) return &it->second;
    return nullptr;
  }
  void apply(const Record& record) {
    if (const auto* snapshot = std::get_if<SnapshotRecord>(&record)) {
      // The log keeps what it has until it is truncated.
      for (auto it = state_.accepted.begin(); it != state_.accepted.end() && it->first <= snapshot->index;
           ++it)
        behind_[it->first] = it->second.entry;
    }
    if (const auto* accept = std::get_if<AcceptRecord>(&record))
      for (const Entry& entry : accept->entries) bytes_ += entry.weight_bytes();
    replay(record, &state_);
  }

  RecoveredState state_;
  std::map<Slot, Entry> behind_;  // <= snapshot_index, not yet truncated
  uint64_t bytes_ = 0;
  ModelSnapshots snapshots_;
};

}  // namespace

std::unique_ptr<Disk> make_model_disk() { return std::make_unique<ModelDisk>(); }

}  // namespace decree::lab
