// The part of the log that is held in memory: a window of consecutive slots, possibly with holes.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <utility>

#include "decree/check.h"
#include "decree/types.h"

namespace decree::paxos {

// One slot as this acceptor holds it. Absent (a hole) when neither accepted nor learned.
struct LogSlot {
  Ballot ballot;     // none for a Law learned without accepting it
  bool law = false;  // its record says "chosen", and stays so after a restart
  Entry entry;
  LogToken token;   // durable once Persisted covers it; 0 = recovered from disk
  Digest128 chain;  // chain up to and including this slot, once decided
  bool present() const { return law || !ballot.is_none(); }
  friend bool operator==(const LogSlot&, const LogSlot&) = default;
};

// Slots come in chunks, and a chunk of holes is a null pointer: a newcomer that accepts what is proposed now,
// and lacks a hundred million slots before it, must not pay for those.
class LogWindow {
 public:
  explicit LogWindow(Slot first = Slot(1)) : first_(first) {}
  LogWindow(const LogWindow& other) { *this = other; }
  LogWindow& operator=(const LogWindow& other) {
    if (this == &other) return *this;
    first_ = other.first_;
    skipped_ = other.skipped_;
    size_ = other.size_;
    bytes_ = other.bytes_;
    chunks_.clear();
    for (const auto& chunk : other.chunks_)
      chunks_.push_back(chunk == nullptr ? nullptr : std::make_unique<Chunk>(*chunk));
    return *this;
  }
  LogWindow(LogWindow&&) noexcept = default;
  LogWindow& operator=(LogWindow&&) noexcept = default;
  ~LogWindow() = default;

  Slot first() const { return first_; }
  Slot end() const { return first_ + size_; }
  uint64_t bytes() const { return bytes_; }
  size_t size() const { return size_; }

  // Null outside the window and at holes.
  const LogSlot* find(Slot slot) const {
    if (slot < first_ || slot >= end()) return nullptr;
    const size_t i = skipped_ + (slot - first_);
    const Chunk* chunk = chunks_[i / kChunk].get();
    if (chunk == nullptr) return nullptr;
    const LogSlot& s = (*chunk)[i % kChunk];
    return s.present() ? &s : nullptr;
  }
  LogSlot* find(Slot slot) { return const_cast<LogSlot*>(static_cast<const LogWindow*>(this)->find(slot)); }

  // Replaces the slot, extending the window with holes where needed. REQUIRES slot >= first().
  void put(Slot slot, LogSlot value) {
    DECREE_CHECK(slot >= first_, "a dropped slot cannot be written");
    const size_t i = skipped_ + (slot - first_);
    if (slot >= end()) {
      size_ = slot - first_ + 1;
      if (chunks_.size() <= i / kChunk) chunks_.resize(i / kChunk + 1);
    }
    std::unique_ptr<Chunk>& chunk = chunks_[i / kChunk];
    if (chunk == nullptr) chunk = std::make_unique<Chunk>();
    LogSlot& s = (*chunk)[i % kChunk];
    if (s.present()) bytes_ -= s.entry.weight_bytes();
    s = std::move(value);
    bytes_ += s.entry.weight_bytes();
  }
  // Forgets what an epoch voided: every slot >= from that is not a Law.
  void forget_accepted(Slot from) {
    const size_t end_at = skipped_ + size_;
    size_t i = skipped_ + (from < first_ ? 0 : from - first_);
    while (i < end_at) {
      Chunk* chunk = chunks_[i / kChunk].get();
      const size_t next = std::min(end_at, (i / kChunk + 1) * kChunk);
      for (; chunk != nullptr && i < next; ++i)
        if (LogSlot& slot = (*chunk)[i % kChunk]; !slot.law) forget(slot);
      i = next;
    }
    while (size_ > 0 && end() > from) {
      const size_t last = skipped_ + size_ - 1;
      const Chunk* chunk = chunks_[last / kChunk].get();
      if (chunk != nullptr && (*chunk)[last % kChunk].present()) break;
      const size_t holes = chunk != nullptr ? 1 : std::min<size_t>(last % kChunk + 1, size_);
      size_ -= std::min<size_t>(holes, end() - from);
    }
    chunks_.resize((skipped_ + size_ + kChunk - 1) / kChunk);
  }
  // Forgets every slot <= upto.
  void drop_through(Slot upto) {
    while (first_ <= upto && size_ > 0) {
      const size_t n = std::min<size_t>({kChunk - skipped_, size_, upto - first_ + 1});
      Chunk* chunk = chunks_.front().get();
      for (size_t i = skipped_; chunk != nullptr && i < skipped_ + n; ++i) forget((*chunk)[i]);
      first_ = first_ + n;
      size_ -= n;
      skipped_ += n;
      if (skipped_ < kChunk) continue;
      chunks_.pop_front();
      skipped_ = 0;
    }
    if (first_ <= upto) first_ = upto.next();
  }
  // By what is in the slots, wherever in their chunks they lie.
  friend bool operator==(const LogWindow& a, const LogWindow& b) {
    if (a.first_ != b.first_ || a.size_ != b.size_ || a.bytes_ != b.bytes_) return false;
    for (Slot s = a.first_; s < a.end(); s = s.next()) {
      const LogSlot* in_a = a.find(s);
      const LogSlot* in_b = b.find(s);
      if ((in_a == nullptr) != (in_b == nullptr) || (in_a != nullptr && *in_a != *in_b)) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kChunk = 16;
  using Chunk = std::array<LogSlot, kChunk>;

  void forget(LogSlot& slot) {
    if (!slot.present()) return;
    bytes_ -= slot.entry.weight_bytes();
    slot = LogSlot{};
  }

  Slot first_;
  size_t skipped_ = 0;  // slots of the first chunk that were dropped
  size_t size_ = 0;     // slots from first_ on
  std::deque<std::unique_ptr<Chunk>> chunks_;
  uint64_t bytes_ = 0;
};

}  // namespace decree::paxos
