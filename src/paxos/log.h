// The part of the log that is held in memory: a window of consecutive slots, possibly with holes.
#pragma once

#include <deque>

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

class LogWindow {
 public:
  explicit LogWindow(Slot first = Slot(1)) : first_(first) {}

  Slot first() const { return first_; }
  Slot end() const { return first_ + slots_.size(); }
  uint64_t bytes() const { return bytes_; }
  size_t size() const { return slots_.size(); }

  // Null outside the window and at holes.
  const LogSlot* find(Slot slot) const {
    if (slot < first_ || slot >= end()) return nullptr;
    const LogSlot& s = slots_[slot - first_];
    return s.present() ? &s : nullptr;
  }
  LogSlot* find(Slot slot) { return const_cast<LogSlot*>(static_cast<const LogWindow*>(this)->find(slot)); }

  // Replaces the slot, extending the window with holes where needed. REQUIRES slot >= first().
  void put(Slot slot, LogSlot value) {
    DECREE_CHECK(slot >= first_, "a dropped slot cannot be written");
    while (slot >= end()) slots_.emplace_back();
    LogSlot& s = slots_[slot - first_];
    if (s.present()) bytes_ -= s.entry.weight_bytes();
    s = std::move(value);
    bytes_ += s.entry.weight_bytes();
  }
  // Forgets what an epoch voided: every slot >= from that is not a Law.
  void forget_accepted(Slot from) {
    for (Slot s = from < first_ ? first_ : from; s < end(); s = s.next()) {
      LogSlot& slot = slots_[s - first_];
      if (!slot.present() || slot.law) continue;
      bytes_ -= slot.entry.weight_bytes();
      slot = LogSlot{};
    }
    while (!slots_.empty() && end() > from && !slots_.back().present()) slots_.pop_back();
  }
  // Forgets every slot <= upto.
  void drop_through(Slot upto) {
    while (first_ <= upto && !slots_.empty()) {
      if (slots_.front().present()) bytes_ -= slots_.front().entry.weight_bytes();
      slots_.pop_front();
      first_ = first_.next();
    }
    if (first_ <= upto) first_ = upto.next();
  }
  friend bool operator==(const LogWindow&, const LogWindow&) = default;

 private:
  Slot first_;
  std::deque<LogSlot> slots_;
  uint64_t bytes_ = 0;
};

}  // namespace decree::paxos
