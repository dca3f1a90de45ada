// The last slots' stories in a ring of fixed size: what `decree explain` shows. Written once per event on the
// hot path, without allocating; read when somebody asks.
//
// Stamps rest on the core's outputs and inputs: a record handed out (accepted), its token durable, a peer's
// Accepted, the decided prefix, applying. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "decree/history.h"
#include "decree/message.h"
#include "decree/record.h"

namespace decree::runtime {

class History {
 public:
  // `slots` is rounded up to a power of two; memory: bytes() once so many slots were seen, nothing before.
  // 0: nothing is remembered.
  explicit History(uint32_t slots, NodeId self, uint64_t boot);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  static size_t bytes(uint32_t slots);

  // ---- events, `now` in microseconds, never falling ----
  void taken(uint64_t seq, uint64_t now);
  void recorded(const PersistedRecord& record, uint64_t now);  // AcceptRecord and LawRecord count
  void durable(LogToken upto, uint64_t now);
  void acknowledged(NodeId from, const Accepted& accepted, uint64_t now);
  void decided(Slot upto, uint64_t now);
  void applied(Slot slot, uint64_t version, uint64_t now);
  // The state machine is at `slot` with `version`: at start, or by a snapshot.
  void restored(Slot slot, uint64_t version);

  // ---- questions ----
  // False: not in the ring.
  bool find(Slot slot, SlotHistory* out) const;
  Slot oldest() const;
  SlotRange slots_of_version(uint64_t version) const;
  // Records that are remembered until the disk has them.
  size_t awaited() const { return pending_.size(); }

 private:
  static constexpr size_t kPeersMax = 8;
  static constexpr size_t kMarksMax = 1024;
  struct Cell;
  struct Taken;
  // From the system, all zero: a page costs memory when its first slot comes, not before. (An allocator's
  // calloc may write the zeros itself, and mimalloc's does.)
  struct Unmap {
    size_t bytes;
    void operator()(void* pages) const;
  };
  template <class T>
  using Pages = std::unique_ptr<T[], Unmap>;
  template <class T>
  static Pages<T> zero_pages(size_t count);
  struct Pending {
    LogToken token;
    SlotRange slots;
  };
  // How far each peer had acknowledged at a ballot.
  struct Progress {
    NodeId node;
    Ballot ballot;
    Slot upto;
  };
  struct Mark {
    Slot slot;
    uint64_t version = 0;
  };

  Cell* cell(Slot slot) const;
  void accepted(Slot slot, Ballot ballot, const Entry& entry, uint64_t now);
  void learned(Slot slot, const Entry& entry, uint64_t now);
  void note_entry(Cell& cell, const Entry& entry) const;
  void await_durable(LogToken token, SlotRange slots);
  void mark(Slot slot, uint64_t version);

  const NodeId self_;
  const uint64_t boot_;
  uint64_t mask_ = 0;
  Pages<Cell> cells_;   // by slot; null: nothing is remembered
  Pages<Taken> taken_;  // requests of this member's clients on their way, by number
  Slot newest_;
  Slot decided_;
  Slot applied_;
  std::vector<Pending> pending_;  // tokens ascending, from pending_first_
  size_t pending_first_ = 0;
  std::array<Progress, 2 * kPeersMax> progress_{};
  // Slot and version at every stride_-th applied slot since the start: what is left when the ring has moved
  // on.
  std::vector<Mark> marks_;
  uint64_t stride_ = 1;
};

// Fills in what an entry itself tells.
void describe_entry(const Entry& entry, SlotHistory* out);

}  // namespace decree::runtime
