// Three real Nodes over an in-memory network and the storage layer on an in-memory disk; time is a counter.
// One thread, deterministic from the seed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kv/applier.h"
#include "runtime/file_snapshot_store.h"
#include "runtime/node.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::testing {

class MemoryCluster;

// A state machine that can be looked at: appends commands, answers with the position.
class ListMachine final : public StateMachine {
 public:
  Reply apply(const ApplyContext& context, std::string_view command) override;
  Digest128 digest() const override { return digest_; }
  std::unique_ptr<SnapshotSource> begin_snapshot() override;
  std::unique_ptr<SnapshotSink> begin_restore() override;
  uint64_t snapshot_bytes_estimate() const override { return bytes_; }

  const std::vector<std::string>& list() const { return list_; }
  // Memory of this member goes bad.
  void rot();

 private:
  friend class ListSink;
  std::vector<std::string> list_;
  Digest128 digest_;
  uint64_t bytes_ = 0;
};

class MemoryMember final : public runtime::Host, public ConsensusSink, public runtime::NodeObserver {
 public:
  MemoryMember(MemoryCluster& cluster, NodeId self) : cluster_(cluster), self_(self) {}

  void start();
  void crash();  // power failure: what was not synced is gone
  bool is_up() const { return node_ != nullptr; }
  runtime::Node& node() { return *node_; }
  ListMachine& machine() { return *machine_; }
  // Everything due: completions, then a turn. True when something was done.
  bool step();

  // ---- Host
  void send(NodeId to, Message message) override;
  void commit(std::vector<PersistedRecord> batch) override;
  void read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) override;
  void truncate_log(Slot upto) override;
  void run(std::function<void()> work, std::function<void()> done) override;
  void wake() override { awake_ = true; }
  uint64_t clock_us() override;

  // ---- ConsensusSink
  void on_applied(uint64_t seq, Reply reply) override { applied[seq] = reply.body; }
  void on_outcome(uint64_t seq, Outcome outcome) override { outcomes[seq] = outcome; }
  void on_read(uint64_t seq, bool ok) override { reads[seq] = ok; }

  // ---- NodeObserver
  void on_event(runtime::Severity, const char* event, const std::string& detail) override {
    events.push_back(std::string(event) + " " + detail);
  }

  std::map<uint64_t, std::string> applied;
  std::map<uint64_t, Outcome> outcomes;
  std::map<uint64_t, bool> reads;
  std::vector<std::string> events;
  storage::MemoryFileSystem disk;
  bool disk_full = false;
  uint64_t work_ticks = 0;    // how long a worker takes for anything
  bool hold_commits = false;  // a disk that hangs
  size_t commits_in_flight_max = 0;
  bool may_be_outdated = false;  // an old image of `disk` was put back

 private:
  friend class MemoryCluster;
  MemoryCluster& cluster_;
  const NodeId self_;
  std::unique_ptr<storage::DataDir> data_;
  std::unique_ptr<ListMachine> machine_;
  std::unique_ptr<runtime::FileSnapshotStore> snapshots_;
  std::unique_ptr<runtime::Node> node_;
  std::deque<std::vector<PersistedRecord>> batches_;
  std::deque<std::function<void()>> done_;
  std::deque<std::pair<uint64_t, std::function<void()>>> working_;  // by the tick at which it is done
  bool awake_ = false;
  bool told_full_ = false;
  uint64_t starts_ = 0;
  uint64_t disk_writes_found_ = 0;
};

class MemoryCluster {
 public:
  MemoryCluster(size_t members, uint64_t seed);

  MemoryMember& member(size_t n) { return *members_[n - 1]; }
  size_t size() const { return members_.size(); }
  // Runs until the condition holds; false when `ticks` passed first.
  template <class Condition>
  bool until(Condition condition, uint64_t ticks = 3000) {
    const uint64_t end = now_ + ticks;
    while (!condition()) {
      if (now_ >= end) return false;
      tick();
    }
    return true;
  }
  void tick();
  MemoryMember* leader();
  void isolate(size_t n, bool isolated) { isolated_[NodeId(static_cast<uint32_t>(n))] = isolated; }
  // Proposes at member n and runs until the outcome is known; empty when it was not applied.
  std::string put(size_t n, const std::string& command);

  Membership membership;
  uint64_t snapshot_count = 1u << 30;
  uint32_t transfer_chunk_bytes = 1024;
  uint32_t history_slots = 1024;
  uint32_t digest_slots = 16;
  uint32_t slice_bytes = 512;
  double loss = 0;
  std::mt19937_64 random;

 private:
  friend class MemoryMember;
  struct Flying {
    uint64_t at;
    NodeId from;
    NodeId to;
    Message message;
  };
  void link(size_t n, bool up);
  bool connected(NodeId a, NodeId b);

  std::vector<std::unique_ptr<MemoryMember>> members_;
  std::deque<Flying> flying_;
  std::map<NodeId, bool> isolated_;
  uint64_t now_ = 0;
};

}  // namespace decree::testing
