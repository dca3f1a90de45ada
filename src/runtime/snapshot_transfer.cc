#include "runtime/snapshot_transfer.h"

#include <algorithm>
#include <utility>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "runtime/snapshot_taker.h"

namespace decree::runtime {
namespace {

constexpr uint32_t kChunkBytesMax = 1u << 20;
constexpr uint32_t kReadsInFlightMax = 4;
// How fast a snapshot comes in: 32 MiB a second (of 100 ticks) after the first 4 MiB. As fast as the disk
// takes it, it keeps the log's syncs waiting, on this member's disk and on whoever shares it.
constexpr uint64_t kPaceBytesPerTick = 320u << 10;
constexpr uint64_t kPaceBurstBytes = 4u << 20;

std::string at_slot(Slot index) { return "slot=" + std::to_string(index.value); }
std::string node_text(NodeId node) { return std::to_string(node.value); }

}  // namespace

// Shared with the worker: `receiver`, `reader`, `read_out`, `read_more`, `stored` and `failure` belong to it
// while `busy`.
struct SnapshotTransfer::Incoming {
  enum class Phase : uint8_t { opening, receiving, verifying, restoring };

  NodeId from;
  SnapshotOffer offer;
  Phase phase = Phase::opening;
  uint64_t resumed = 0;                                          // bytes that a former transfer left here
  uint64_t requested = 0;                                        // bytes asked for
  uint64_t received = 0;                                         // consecutive bytes that came
  uint64_t written = 0;                                          // ... and are in the file
  std::map<uint64_t, std::shared_ptr<const std::string>> early;  // by offset, beyond a gap
  std::vector<std::shared_ptr<const std::string>> queue;         // consecutive, not yet written
  Tick began;
  Tick last_progress;
  Tick last_request;

  bool busy = false;
  std::unique_ptr<SnapshotReceiver> receiver;
  std::unique_ptr<SnapshotReader> reader;
  std::unique_ptr<SnapshotSink> sink;
  std::string read_out;
  size_t loaded = 0;  // of read_out, by the machine
  bool read_ready = false;
  bool read_more = true;
  std::optional<StoredSnapshot> stored;
  std::optional<Error> failure;
};

SnapshotTransfer::SnapshotTransfer(Node& node) : node_(node) { latest_ = node.options_.snapshot; }

// ---- sender ----

void SnapshotTransfer::offer(NodeId to) {
  const auto it = outgoing_.find(to);
  if (it != outgoing_.end()) {
    const bool pulled =
        node_.now_.value - it->second.last_activity.value < node_.options_.transfer_retry_ticks;
    if (!pulled) send_offer(to);
    return;
  }
  wanting_.emplace(to, node_.now_);
  if (!latest_ && node_.taker_) node_.taker_->maybe_start(true);
  offer_to_waiting();
}

// A member whose memory rotted writes snapshots of it until the others' digests tell it so, about a second
// later. Whoever installed one would be as wrong, and a few of them are a majority. So the digests of a
// majority must have agreed with this member's at the snapshot's slot or behind it. Where no majority is
// there to say so, or says nothing for as long as Agreement waits, a member without a snapshot is the greater
// harm; where somebody says otherwise it is not.
bool SnapshotTransfer::may_offer(Tick wanted_since) const {
  if (node_.vouched_ >= latest_->manifest.index) return true;
  if (node_.doubted_) return false;
  const Membership& membership = node_.replica_.membership();
  const NodeId self = node_.options_.identity.node;
  const uint32_t needed = membership.voter_count() / 2 + (membership.is_voter(self) ? 0 : 1);
  uint32_t reachable = 0;
  for (const Member& m : membership.members) {
    const bool behind = wanting_.count(m.node) != 0 || outgoing_.count(m.node) != 0;
    if (m.node != self && membership.is_voter(m.node) && !behind && node_.is_peer_connected(m.node))
      ++reachable;
  }
  if (needed == 0 || reachable < needed) return true;
  const bool waited = node_.now_.value - wanted_since.value >= Agreement::kWaitTicks;
  DECREE_SOMETIMES("a snapshot waits until others agree with its state", !waited);
  return waited;
}

void SnapshotTransfer::offer_to_waiting() {
  if (!latest_) return;
  std::vector<NodeId> ready;
  for (const auto& [to, since] : wanting_)
    if (may_offer(since)) ready.push_back(to);
  for (const NodeId to : ready) {
    wanting_.erase(to);
    send_offer(to);
  }
}

void SnapshotTransfer::send_offer(NodeId to) {
  auto it = outgoing_.find(to);
  // A transfer under way goes on with its own file, else frequent snapshots would starve it.
  if (it == outgoing_.end()) {
    it = outgoing_.emplace(to, Outgoing{*latest_, node_.now_, 0}).first;
    node_.note(Severity::info, "offering snapshot",
               "to=" + node_text(to) + " " + at_slot(latest_->manifest.index) +
                   " bytes=" + std::to_string(latest_->size_bytes));
  }
  it->second.last_activity = node_.now_;
  const StoredSnapshot& s = it->second.snapshot;
  node_.host_.send(to, SnapshotOffer{s.manifest.index, s.manifest.chain, s.size_bytes, s.file_digest});
}

void SnapshotTransfer::on_snapshot(const StoredSnapshot& stored) {
  latest_ = stored;
  offer_to_waiting();
}

void SnapshotTransfer::on_request(NodeId from, const SnapshotRequest& request) {
  const auto it = outgoing_.find(from);
  if (it == outgoing_.end() || it->second.snapshot.manifest.index != request.index) {
    DECREE_SOMETIMES("a snapshot is asked for that is not offered any more", true);
    // Of an earlier life of ours, or forgotten: name the one we have, the peer starts over with it.
    if (it != outgoing_.end())
      send_offer(from);
    else if (latest_)
      offer(from);
    return;
  }
  Outgoing& out = it->second;
  out.last_activity = node_.now_;
  if (request.offset >= out.snapshot.size_bytes) {
    ++node_.counters_.snapshots_sent;
    node_.note(Severity::info, "snapshot sent", "to=" + node_text(from) + " " + at_slot(request.index));
    outgoing_.erase(it);
    return;
  }
  if (out.reads_in_flight >= kReadsInFlightMax) return;
  ++out.reads_in_flight;
  struct Read {
    std::shared_ptr<const std::string> bytes;
    std::optional<Error> failure;
  };
  auto read = std::make_shared<Read>();
  const size_t bytes =
      std::min<uint64_t>({request.bytes_max, kChunkBytesMax, out.snapshot.size_bytes - request.offset});
  const uint64_t size_bytes = out.snapshot.size_bytes;
  node_.host_.run(
      [read, &store = node_.store_, index = request.index, offset = request.offset, bytes] {
        Result<std::string> raw = store.read_raw(index, offset, bytes);
        if (raw)
          read->bytes = std::make_shared<const std::string>(std::move(raw).value());
        else
          read->failure = raw.error();
      },
      [this, read, from, index = request.index, offset = request.offset, size_bytes] {
        const auto entry = outgoing_.find(from);
        if (entry == outgoing_.end() || entry->second.snapshot.manifest.index != index) return;
        if (entry->second.reads_in_flight > 0) --entry->second.reads_in_flight;
        if (read->failure) {
          node_.note(Severity::warn, "cannot read snapshot for a peer",
                     "cause=\"" + read->failure->message + "\"");
          DECREE_SOMETIMES("a snapshot cannot be read for a peer", true);
          outgoing_.erase(entry);
          return;
        }
        node_.host_.send(from, SnapshotChunk{index, offset, size_bytes, read->bytes});
      });
}

std::vector<Slot> SnapshotTransfer::pinned() const {
  std::vector<Slot> slots;
  for (const auto& [to, out] : outgoing_) slots.push_back(out.snapshot.manifest.index);
  return slots;
}

// ---- receiver ----

uint64_t SnapshotTransfer::patience_ticks() const {
  return static_cast<uint64_t>(node_.options_.transfer_retry_ticks) << std::min(sources_changed_, 16u);
}

void SnapshotTransfer::on_offer(NodeId from, const SnapshotOffer& offer) {
  if (offer.index <= node_.applied_ || offer.size_bytes == 0) {
    // Nothing in it for us; an empty pull tells the sender that it is done.
    node_.host_.send(from, SnapshotRequest{offer.index, offer.size_bytes, 0});
    return;
  }
  if (incoming_ != nullptr) {
    Incoming& in = *incoming_;
    if (in.phase == Incoming::Phase::verifying || in.phase == Incoming::Phase::restoring) return;
    if (in.from == from && in.offer.index == offer.index && in.offer.digest == offer.digest) {
      // The sender repeats itself: what was asked may be lost.
      DECREE_SOMETIMES("a snapshot offer is repeated", true);
      in.requested = in.received;
      pull();
      return;
    }
    const uint64_t silent = node_.now_.value - in.last_progress.value;
    if (in.from != from && silent < node_.options_.transfer_retry_ticks) return;
    if (in.phase == Incoming::Phase::receiving && in.offer.index == offer.index &&
        in.offer.digest == offer.digest && in.offer.size_bytes == offer.size_bytes) {
      // Byte for byte the same file: what is here stays, and the whole is verified at the end.
      DECREE_SOMETIMES("a snapshot transfer goes on from another member", true);
      in.from = from;
      in.requested = in.received;
      in.early.clear();
      in.last_progress = node_.now_;
      pull();
      return;
    }
    // With another file everything begins anew, and the next sender may be as slow as this one: every change
    // in vain doubles the patience with the one after it.
    if (in.from != from) {
      if (silent < std::min<uint64_t>(patience_ticks(), node_.options_.transfer_idle_ticks)) return;
      ++sources_changed_;
    }
    DECREE_SOMETIMES("a snapshot transfer changes its source", true);
    drop("another is offered");
  }
  incoming_ = std::make_shared<Incoming>();
  incoming_->from = from;
  incoming_->offer = offer;
  incoming_->began = node_.now_;
  incoming_->last_progress = node_.now_;
  incoming_->last_request = node_.now_;
  incoming_->busy = true;
  node_.note(
      Severity::info, "receiving snapshot",
      "from=" + node_text(from) + " " + at_slot(offer.index) + " bytes=" + std::to_string(offer.size_bytes));
  node_.host_.run(
      [in = incoming_, &store = node_.store_] {
        Result<std::unique_ptr<SnapshotReceiver>> receiver =
            store.receive(in->offer.index, in->offer.size_bytes, in->offer.digest);
        if (receiver) {
          in->receiver = std::move(receiver).value();
          in->resumed = in->receiver->held_bytes();
        } else {
          in->failure = receiver.error();
        }
      },
      [this, in = incoming_] {
        in->busy = false;
        if (in == incoming_) on_io_done();
      });
}

// Asks for as much as may be under way: chunks not yet written count as well, that bounds memory. And no
// faster than the pace; the next tick asks on.
void SnapshotTransfer::pull() {
  Incoming& in = *incoming_;
  const uint64_t window =
      static_cast<uint64_t>(node_.options_.transfer_chunk_bytes) * node_.options_.transfer_chunks_inflight;
  const uint64_t paced =
      in.resumed + kPaceBurstBytes + (node_.now_.value - in.began.value) * kPaceBytesPerTick;
  while (in.requested < std::min(in.offer.size_bytes, paced) && in.requested - in.written < window) {
    const uint64_t bytes =
        std::min<uint64_t>(node_.options_.transfer_chunk_bytes, in.offer.size_bytes - in.requested);
    node_.host_.send(in.from, SnapshotRequest{in.offer.index, in.requested, static_cast<uint32_t>(bytes)});
    in.requested += bytes;
    in.last_request = node_.now_;
  }
}

void SnapshotTransfer::on_chunk(NodeId from, const SnapshotChunk& chunk) {
  if (incoming_ == nullptr) return;
  Incoming& in = *incoming_;
  if (in.phase != Incoming::Phase::receiving || from != in.from || chunk.index != in.offer.index ||
      chunk.size_bytes != in.offer.size_bytes || chunk.bytes == nullptr || chunk.bytes->empty())
    return;
  if (chunk.offset < in.received || chunk.offset >= in.requested) return;  // a duplicate, or never asked for
  if (chunk.bytes->size() > kChunkBytesMax || chunk.bytes->size() > in.offer.size_bytes - chunk.offset)
    return;
  in.early.emplace(chunk.offset, chunk.bytes);
  while (!in.early.empty() && in.early.begin()->first <= in.received) {
    auto node = in.early.extract(in.early.begin());
    if (node.key() < in.received) continue;  // overlaps what came since: cannot happen with equal chunk sizes
    in.received += node.mapped()->size();
    in.queue.push_back(std::move(node.mapped()));
    in.last_progress = node_.now_;
  }
  write_next();
}

void SnapshotTransfer::write_next() {
  Incoming& in = *incoming_;
  if (in.busy || in.phase != Incoming::Phase::receiving) return;
  if (in.queue.empty() && in.written < in.offer.size_bytes) {
    pull();
    return;
  }
  in.busy = true;
  auto pieces = std::make_shared<std::vector<std::shared_ptr<const std::string>>>(std::move(in.queue));
  in.queue.clear();
  const bool last = in.received == in.offer.size_bytes;
  if (last) in.phase = Incoming::Phase::verifying;
  for (const auto& piece : *pieces) in.written += piece->size();
  node_.host_.run(
      [shared = incoming_, pieces, last, &store = node_.store_] {
        for (const auto& piece : *pieces) {
          Result<void> appended = shared->receiver->append(*piece);
          if (!appended) {
            shared->failure = appended.error();
            return;
          }
        }
        if (!last) return;
        Result<StoredSnapshot> stored = shared->receiver->finish();
        if (!stored) {
          shared->failure = stored.error();
          return;
        }
        shared->receiver.reset();
        shared->stored = std::move(stored).value();
        Result<std::unique_ptr<SnapshotReader>> reader = store.open(shared->stored->manifest.index);
        if (reader)
          shared->reader = std::move(reader).value();
        else
          shared->failure = reader.error();
      },
      [this, shared = incoming_] {
        shared->busy = false;
        if (shared == incoming_) on_io_done();
      });
}

void SnapshotTransfer::on_io_done() {
  Incoming& in = *incoming_;
  if (in.failure) {
    DECREE_SOMETIMES("a received snapshot is refused", true);
    drop(in.failure->message);
    return;
  }
  in.last_progress = node_.now_;
  switch (in.phase) {
    case Incoming::Phase::opening:
      in.phase = Incoming::Phase::receiving;
      in.requested = in.received = in.written = in.resumed;
      if (in.resumed != 0)
        node_.note(Severity::info, "snapshot goes on behind what was received before",
                   at_slot(in.offer.index) + " bytes=" + std::to_string(in.resumed));
      write_next();
      return;
    case Incoming::Phase::receiving:
      write_next();
      if (incoming_ != nullptr && incoming_->phase == Incoming::Phase::receiving) pull();
      return;
    case Incoming::Phase::verifying:
      if (in.stored->manifest.index != in.offer.index || in.stored->manifest.chain != in.offer.chain) {
        drop("the file is not what was offered");
        return;
      }
      // Tells the sender that it need not keep the file any longer.
      node_.host_.send(in.from, SnapshotRequest{in.offer.index, in.offer.size_bytes, 0});
      in.phase = Incoming::Phase::restoring;
      in.sink = node_.machine_.begin_restore();
      read_piece();
      return;
    case Incoming::Phase::restoring:
      in.read_ready = true;
      node_.host_.wake();
      return;
  }
}

void SnapshotTransfer::read_piece() {
  Incoming& in = *incoming_;
  in.busy = true;
  in.read_out.clear();
  in.loaded = 0;
  node_.host_.run(
      [shared = incoming_, bytes = node_.options_.snapshot_slice_bytes] {
        Result<bool> more = shared->reader->next(bytes, &shared->read_out);
        if (more)
          shared->read_more = *more;
        else
          shared->failure = more.error();
      },
      [this, shared = incoming_] {
        shared->busy = false;
        if (shared == incoming_) on_io_done();
      });
}

bool SnapshotTransfer::slice() {
  if (incoming_ == nullptr || !incoming_->read_ready) return false;
  Incoming& in = *incoming_;
  if (in.offer.index <= node_.applied_ && !planted(PlantedBug::old_snapshot_over_new_state)) {
    DECREE_SOMETIMES("the log was quicker than a snapshot", true);
    drop("the log was quicker");
    return false;
  }
  // A reader may give more at once than one turn should load.
  if (in.loaded < in.read_out.size()) {
    const std::string_view slice =
        std::string_view(in.read_out).substr(in.loaded, node_.options_.snapshot_slice_bytes);
    in.loaded += slice.size();
    Result<void> written = in.sink->write(slice);
    if (!written) {
      node_.fail(written.error());
      return false;
    }
    if (in.loaded < in.read_out.size()) return true;
  }
  in.read_ready = false;
  if (in.read_more)
    read_piece();
  else
    finish_restore();
  return false;
}

void SnapshotTransfer::finish_restore() {
  std::shared_ptr<Incoming> in = std::move(incoming_);
  incoming_ = nullptr;
  Result<void> finished = in->sink->finish();
  if (!finished) {
    // Verified bytes that the machine cannot read: a newer release wrote them. Going on would loop for ever.
    node_.fail(finished.error());
    return;
  }
  sources_changed_ = 0;
  node_.on_snapshot_installed(*in->stored);
  node_.host_.run([in] { in->reader.reset(); }, [] {});
}

void SnapshotTransfer::drop(const std::string& why) {
  std::shared_ptr<Incoming> in = std::move(incoming_);
  incoming_ = nullptr;
  node_.note(Severity::warn, "snapshot transfer given up",
             "from=" + node_text(in->from) + " " + at_slot(in->offer.index) + " cause=\"" + why + "\"");
  // A work that runs holds the shared state; the file is closed when the last of them lets go, on a worker.
  node_.host_.run([in = std::move(in)]() mutable { in.reset(); }, [] {});
}

void SnapshotTransfer::on_tick() {
  offer_to_waiting();
  for (auto it = outgoing_.begin(); it != outgoing_.end();) {
    if (node_.now_.value - it->second.last_activity.value >= node_.options_.transfer_idle_ticks)
      it = outgoing_.erase(it);
    else
      ++it;
  }
  if (incoming_ == nullptr || incoming_->phase != Incoming::Phase::receiving || incoming_->busy) return;
  Incoming& in = *incoming_;
  if (node_.now_.value - in.last_progress.value >= node_.options_.transfer_idle_ticks) {
    DECREE_SOMETIMES("the sender of a snapshot falls silent", true);
    drop("the sender fell silent");
    return;
  }
  const uint64_t since = node_.now_.value - std::max(in.last_request, in.last_progress).value;
  if (since >= node_.options_.transfer_retry_ticks) {
    DECREE_SOMETIMES("a snapshot transfer resumes", true);
    in.requested = in.received;  // resume behind what is here; chunks on their way twice are dropped
    in.early.clear();
  }
  pull();
}

}  // namespace decree::runtime
