// What a Node needs from the world: peers, a log, workers. Implemented by server/process (sockets, files,
// threads) and by the simulator (virtual network, disk and time); the Node above is the same object file.
//
// No wall clock passes through here: time reaches the Node as on_tick().
#pragma once

#include <functional>
#include <vector>

#include "decree/effects.h"
#include "decree/result.h"

namespace decree::runtime {

class Host {
 public:
  virtual ~Host() = default;

  // Best effort: may be lost, doubled or reordered. Never calls back into the Node from inside.
  virtual void send(NodeId to, Message message) = 0;

  // Makes the batch durable, in this order, with one sync. Asynchronous: the completion is
  // Node::on_persisted(token of the last record) or Node::on_log_error(), from the loop's thread and never
  // from inside commit(). The Node hands out one batch at a time. While the disk is full the host keeps the
  // batch, tells Node::on_disk_health(false), and tries again.
  virtual void commit(std::vector<PersistedRecord> batch) = 0;

  // Reads chosen or accepted entries back from the durable log: consecutive slots from slots.first, at most
  // about `bytes_max` of payload, fewer than asked when the range is long. `done` comes on the loop's thread;
  // an error (not_found) means the log does not hold slots.first any more.
  using LogReadDone = std::function<void(Result<std::vector<Entry>>)>;
  virtual void read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) = 0;

  // Everything <= upto is covered by a durable snapshot: the space may be given back, at leisure.
  virtual void truncate_log(Slot upto) = 0;

  // `work` runs on a worker (blocking is fine, the Node may not be touched), then `done` on the loop's
  // thread. A host that destroys the Node must not call a `done` afterwards. Works of one Node may run at the
  // same time.
  virtual void run(std::function<void()> work, std::function<void()> done) = 0;

  // Another epoch began: keep connections to exactly these (self is among the members, or was removed).
  virtual void membership_changed(const Membership& /*membership*/, const std::vector<Member>& /*former*/) {}

  // Asks for a turn() soon. Loop thread only.
  virtual void wake() = 0;

  // True when the present turn has used its share of time (about 1 ms); asked every few dozen items. The
  // simulator may answer from its seed; a false for ever only makes turns longer (they are bounded by counts
  // as well).
  virtual bool turn_spent() { return false; }

  // Microseconds on a monotonic clock, for the history that people read; nothing is decided by it. 0 = none.
  virtual uint64_t clock_us() { return 0; }

  // Bytes of log on disk since the newest snapshot, for status and for the snapshot policy. 0 = not known.
  virtual uint64_t log_bytes() const { return 0; }
};

// Told about what an operator may want to read. Never decides anything.
enum class Severity : uint8_t { debug, info, warn, error };

class NodeObserver {
 public:
  virtual ~NodeObserver() = default;
  // `event` is a constant short name ("leader changed"), `detail` is key=value text.
  virtual void on_event(Severity severity, const char* event, const std::string& detail) = 0;
};

}  // namespace decree::runtime
