#include "runtime/history.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "decree/check.h"

namespace decree::runtime {

// All zero: no slot. Both are plain values, so that zeroed pages are arrays of them.
struct History::Cell {
  struct Ack {
    uint32_t node;
    uint32_t after_us;  // after accepted_us
  };
  uint64_t slot;
  Ballot ballot;
  Ballot first_ballot;
  RequestId id;
  uint64_t version;
  uint64_t taken_us, accepted_us, durable_us, decided_us, applied_us;
  uint32_t payload_bytes;
  uint16_t acceptances;
  EntryKind kind;
  uint8_t payload_type;
  bool value_changed;
  bool learned;
  uint8_t acks;
  std::array<Ack, kPeersMax> acked;
};

struct History::Taken {
  uint64_t seq;
  uint64_t at_us;
};

void History::Unmap::operator()(void* pages) const { ::munmap(pages, bytes); }

template <class T>
History::Pages<T> History::zero_pages(size_t count) {
  const size_t bytes = count * sizeof(T);
  void* pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  DECREE_CHECK(pages != MAP_FAILED, "no memory for the history of slots");
  return Pages<T>(static_cast<T*>(pages), Unmap{bytes});
}

History::History(uint32_t slots, NodeId self, uint64_t boot) : self_(self), boot_(boot) {
  if (slots == 0) return;
  const size_t size = std::bit_ceil<size_t>(slots);
  mask_ = size - 1;
  cells_ = zero_pages<Cell>(size);
  taken_ = zero_pages<Taken>(size);
  marks_.reserve(kMarksMax);
}

History::~History() = default;

size_t History::bytes(uint32_t slots) {
  return slots == 0 ? 0 : std::bit_ceil<size_t>(slots) * (sizeof(Cell) + sizeof(Taken));
}

History::Cell* History::cell(Slot slot) const {
  if (!cells_) return nullptr;
  Cell& c = cells_[slot.value & mask_];
  return c.slot == slot.value ? &c : nullptr;
}

namespace {

// Commands of the key-value store say at byte 1 what they are (kv/command.h); for others it is just a byte.
uint8_t payload_type(const Entry& entry) {
  const std::string_view bytes = entry.bytes();
  return entry.kind == EntryKind::command && bytes.size() > 1 ? static_cast<uint8_t>(bytes[1]) : 0;
}

}  // namespace

void describe_entry(const Entry& entry, SlotHistory* out) {
  out->kind = entry.kind;
  out->id = entry.id;
  out->payload_bytes = static_cast<uint32_t>(entry.bytes().size());
  out->payload_type = payload_type(entry);
}

void History::taken(uint64_t seq, uint64_t now) {
  if (taken_) taken_[seq & mask_] = {seq, now};
}

void History::note_entry(Cell& c, const Entry& entry) const {
  c.kind = entry.kind;
  c.id = entry.id;
  c.payload_bytes = static_cast<uint32_t>(entry.bytes().size());
  c.payload_type = payload_type(entry);
  c.taken_us = 0;
  if (entry.id.node != self_ || entry.id.boot != boot_) return;
  const Taken& taken = taken_[entry.id.seq & mask_];
  if (taken.seq == entry.id.seq) c.taken_us = taken.at_us;
}

void History::accepted(Slot slot, Ballot ballot, const Entry& entry, uint64_t now) {
  Cell& c = cells_[slot.value & mask_];
  if (c.slot == slot.value) {
    c.value_changed = c.value_changed || c.id != entry.id || c.kind != entry.kind;
    ++c.acceptances;
  } else {
    c = Cell{};
    c.slot = slot.value;
    c.first_ballot = ballot;
    c.acceptances = 1;
  }
  note_entry(c, entry);
  c.ballot = ballot;
  c.accepted_us = now;
  c.durable_us = 0;
  c.acks = 0;
  newest_ = std::max(newest_, slot);
}

void History::learned(Slot slot, const Entry& entry, uint64_t now) {
  Cell& c = cells_[slot.value & mask_];
  if (c.slot != slot.value) {
    c = Cell{};
    c.slot = slot.value;
  } else {
    c.value_changed = true;  // the same value would have needed no record of its own
  }
  note_entry(c, entry);
  c.learned = true;
  c.accepted_us = now;
  c.durable_us = 0;
  c.acks = 0;
  newest_ = std::max(newest_, slot);
}

void History::recorded(const PersistedRecord& record, uint64_t now) {
  if (!cells_) return;
  if (const auto* accept = std::get_if<AcceptRecord>(&record.record)) {
    for (size_t i = 0; i < accept->entries.size(); ++i)
      accepted(accept->first + i, accept->ballot, accept->entries[i], now);
    await_durable(record.token, {accept->first, accept->first + accept->entries.size()});
  } else if (const auto* law = std::get_if<LawRecord>(&record.record)) {
    for (size_t i = 0; i < law->entries.size(); ++i) learned(law->first + i, law->entries[i], now);
    await_durable(record.token, {law->first, law->first + law->entries.size()});
  }
}

// Under steady load something is always on its way to the disk: what is done with goes when it is half of
// all, not when nothing is left.
void History::await_durable(LogToken token, SlotRange slots) {
  if (pending_first_ * 2 >= pending_.size()) {
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(pending_first_));
    pending_first_ = 0;
  }
  pending_.push_back(Pending{token, slots});
}

void History::durable(LogToken upto, uint64_t now) {
  for (; pending_first_ < pending_.size() && pending_[pending_first_].token <= upto; ++pending_first_) {
    const SlotRange& slots = pending_[pending_first_].slots;
    for (Slot s = slots.first; s < slots.end; s = s.next())
      if (Cell* c = cell(s); c != nullptr && c->durable_us == 0) c->durable_us = now;
  }
}

void History::acknowledged(NodeId from, const Accepted& m, uint64_t now) {
  if (!cells_ || m.ballot.node != self_) return;
  Progress* known = nullptr;
  for (Progress& p : progress_) {
    if (p.node == from || p.node == NodeId(0)) {
      known = &p;
      break;
    }
  }
  if (known == nullptr) return;
  if (known->node != from || known->ballot != m.ballot) *known = Progress{from, m.ballot, Slot(0)};
  const Slot upto = std::min(m.upto, newest_);
  Slot s = std::max(known->upto.next(), oldest());
  for (; s <= upto; s = s.next()) {
    Cell* c = cell(s);
    if (c == nullptr || c->ballot != m.ballot || c->acks == kPeersMax) continue;
    const uint64_t after = now - std::min(now, c->accepted_us);
    c->acked[c->acks++] = {from.value, static_cast<uint32_t>(std::min<uint64_t>(after, UINT32_MAX))};
  }
  known->upto = std::max(known->upto, upto);
}

void History::decided(Slot upto, uint64_t now) {
  if (!cells_ || upto <= decided_) return;
  for (Slot s = std::max(decided_.next(), oldest()); s <= upto; s = s.next())
    if (Cell* c = cell(s); c != nullptr) c->decided_us = now;
  decided_ = upto;
}

void History::applied(Slot slot, uint64_t version, uint64_t now) {
  if (!cells_) return;
  if (Cell* c = cell(slot); c != nullptr) {
    c->applied_us = now;
    c->version = version;
  }
  applied_ = slot;
  if (slot.value % stride_ == 0) mark(slot, version);
}

void History::restored(Slot slot, uint64_t version) {
  if (!cells_) return;
  applied_ = std::max(applied_, slot);
  decided_ = std::max(decided_, slot);
  mark(slot, version);
}

void History::mark(Slot slot, uint64_t version) {
  if (marks_.size() == kMarksMax) {  // every second one goes; the first stays
    size_t kept = 0;
    for (size_t i = 0; i < marks_.size(); i += 2) marks_[kept++] = marks_[i];
    marks_.resize(kept);
    stride_ *= 2;
  }
  marks_.push_back(Mark{slot, version});
}

Slot History::oldest() const {
  if (!cells_ || newest_ == Slot(0)) return Slot(0);
  return newest_.value > mask_ ? Slot(newest_.value - mask_) : Slot(1);
}

bool History::find(Slot slot, SlotHistory* out) const {
  const Cell* c = slot == Slot(0) ? nullptr : cell(slot);
  if (c == nullptr) return false;
  out->slot = slot;
  out->in_history = true;
  out->kind = c->kind;
  out->id = c->id;
  out->payload_bytes = c->payload_bytes;
  out->payload_type = c->payload_type;
  out->ballot = c->ballot;
  out->first_ballot = c->first_ballot;
  out->acceptances = c->acceptances;
  out->value_changed = c->value_changed;
  out->proposed_here = !c->ballot.is_none() && c->ballot.node == self_;
  out->learned = c->learned;
  out->version = c->version;
  out->taken_us = c->taken_us;
  out->accepted_us = c->accepted_us;
  out->durable_us = c->durable_us;
  out->decided_us = c->decided_us;
  out->applied_us = c->applied_us;
  for (size_t i = 0; i < c->acks; ++i)
    out->acknowledged.push_back({NodeId(c->acked[i].node), c->accepted_us + c->acked[i].after_us});
  return true;
}

SlotRange History::slots_of_version(uint64_t version) const {
  // Marks are ascending in both; the slot lies behind the last mark below the version.
  Slot low(0);
  Slot high = applied_;
  uint64_t newest = marks_.empty() ? 0 : marks_.back().version;
  for (const Mark& m : marks_) {
    if (m.version < version) low = m.slot;
    if (m.version >= version && m.slot < high) high = m.slot;
  }
  // The ring knows each slot's version.
  for (Slot s = std::max(low.next(), oldest()); s <= applied_; s = s.next()) {
    const Cell* c = cell(s);
    if (c == nullptr || c->applied_us == 0) continue;
    newest = std::max(newest, c->version);
    if (c->version < version) low = s;
    if (c->version >= version) {
      high = std::min(high, s);
      break;
    }
  }
  if (newest < version) return {};
  return {low.next(), high.next()};
}

}  // namespace decree::runtime
