// Takes a snapshot of the state machine without a pause: the machine's bytes leave in slices between turns, a
// worker writes and syncs them. Memory: at most two pieces of kPieceBytes.
#pragma once

#include <memory>
#include <string>

#include "runtime/node.h"

namespace decree::runtime {

class SnapshotTaker {
 public:
  explicit SnapshotTaker(Node& node);

  // Counts what was applied, for the policy.
  void on_applied(const Entry& entry);
  // A snapshot at `index` exists (restored, taken or installed): the counting starts anew.
  void on_snapshot(Slot index, uint64_t size_bytes);
  // Starts when the policy says so, or with `force` also where nothing was applied since the last one.
  void maybe_start(bool force);
  // One slice; true when another can follow at once.
  bool slice();
  void cancel();
  bool active() const { return job_ != nullptr; }

 private:
  struct Job;
  static constexpr size_t kPieceBytes = 1u << 20;

  bool due() const;
  void write_piece();
  void on_written();
  void abandon(const Error& error);

  Node& node_;
  Slot last_index_;
  uint64_t last_size_bytes_ = 0;
  uint64_t log_bytes_since_ = 0;
  Tick not_before_;  // after a failure
  std::shared_ptr<Job> job_;
};

}  // namespace decree::runtime
