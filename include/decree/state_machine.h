// What an embedder implements: a deterministic machine driven by decided commands.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "decree/result.h"
#include "decree/types.h"

namespace decree {

struct ApplyContext {
  Slot slot;
  uint64_t term = 0;         // monotone over slots; etcd's raft_term
  bool wants_reply = false;  // a client of this member waits for the answer; else build none
};

// Answer to the client. `code` is 0 for success, else the embedder's (the server uses gRPC's numbers).
// `body` is the encoded answer, or the message when code != 0.
struct Reply {
  int code = 0;
  std::string body;
};

// Produces a snapshot in slices between turns. The state it describes is that of the moment of
// begin_snapshot(), whatever is applied meanwhile.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  // Appends about `bytes_max` bytes to `out`; false when nothing is left. At most about 1 ms of work.
  virtual bool next(size_t bytes_max, std::string* out) = 0;
};

// Takes a snapshot back in pieces of any size. The old state stays untouched until finish().
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
  // Verifies and replaces the machine's state in one go; on error the old state stands.
  virtual Result<void> finish() = 0;
};

// All calls come from the loop's thread, in slot order, each slot once.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // Must depend on nothing but the state and the command. Never fails: a command that cannot be done is a
  // Reply with a code.
  virtual Reply apply(const ApplyContext& context, std::string_view command) = 0;
  // Incremental digest of everything applied; equal on equal histories.
  virtual Digest128 digest() const = 0;
  // A number that never falls and grows with what is applied, by which users know states (etcd's revision).
  virtual uint64_t version() const { return 0; }
  virtual std::unique_ptr<SnapshotSource> begin_snapshot() = 0;
  virtual std::unique_ptr<SnapshotSink> begin_restore() = 0;
  // Rough size of the next snapshot in bytes; the host takes snapshots when the log has outgrown it.
  virtual uint64_t snapshot_bytes_estimate() const = 0;
  // A slice (<= about 1 ms) of whatever long work the machine has (compaction, freeing); false when idle.
  virtual bool background_slice() { return false; }
};

}  // namespace decree
