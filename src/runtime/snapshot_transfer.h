// Whole snapshots from member to member: offer, pull by offset, verify, install, restore. docs/protocol.md,
// snapshots.
//
// The sender pins the offered file until the receiver has it or has gone quiet. The receiver pulls a bounded
// number of chunks at a time, writes them to a temporary file, verifies the whole file, installs it
// atomically and durably, loads it into a second state beside the first in slices, and only then switches
// over and tells the replica. One snapshot comes in at a time.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "runtime/node.h"

namespace decree::runtime {

class SnapshotTransfer {
 public:
  explicit SnapshotTransfer(Node& node);

  // ---- sender ----
  void offer(NodeId to);                           // SendSnapshotJob
  void on_snapshot(const StoredSnapshot& stored);  // a newer one exists here
  void on_request(NodeId from, const SnapshotRequest& request);
  // Files a peer is reading; the log behind them is kept as well, so that the peer can go on from there.
  std::vector<Slot> pinned() const;

  // ---- receiver ----
  void on_offer(NodeId from, const SnapshotOffer& offer);
  void on_chunk(NodeId from, const SnapshotChunk& chunk);

  void on_tick();
  // One slice of restoring; true when another can follow at once.
  bool slice();
  bool active() const { return incoming_ != nullptr || !outgoing_.empty(); }

 private:
  struct Incoming;
  struct Outgoing {
    StoredSnapshot snapshot;
    Tick last_activity;
    uint32_t reads_in_flight = 0;
  };

  bool may_offer(Tick wanted_since) const;
  void offer_to_waiting();
  void send_offer(NodeId to);
  void pull();
  void write_next();
  void on_io_done();
  void read_piece();
  void finish_restore();
  void drop(const std::string& why);
  uint64_t patience_ticks() const;

  Node& node_;
  std::optional<StoredSnapshot> latest_;
  std::map<NodeId, Outgoing> outgoing_;
  std::map<NodeId, Tick> wanting_;  // since when they wait for one that may be offered
  uint32_t sources_changed_ = 0;    // since a snapshot was installed
  std::shared_ptr<Incoming> incoming_;
};

}  // namespace decree::runtime
