#include "tests/runtime/memory_cluster.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "runtime/start_up.h"

namespace decree::testing {
namespace {

constexpr const char* kDirectory = "data";

class ListSource final : public SnapshotSource {
 public:
  explicit ListSource(std::vector<std::string> list) : list_(std::move(list)) {}
  bool next(size_t bytes_max, std::string* out) override {
    size_t added = 0;
    while (at_ < list_.size() && added < bytes_max) {
      const std::string& item = list_[at_++];
      *out += std::to_string(item.size()) + ":" + item;
      added += item.size() + 8;
    }
    return at_ < list_.size();
  }

 private:
  std::vector<std::string> list_;
  size_t at_ = 0;
};

}  // namespace

class ListSink final : public SnapshotSink {
 public:
  explicit ListSink(ListMachine& machine) : machine_(machine) {}
  Result<void> write(std::string_view bytes) override {
    bytes_ += bytes;
    return {};
  }
  Result<void> finish() override {
    ListMachine fresh;
    size_t at = 0;
    while (at < bytes_.size()) {
      const size_t colon = bytes_.find(':', at);
      if (colon == std::string::npos) return Error{ErrorCode::corrupt, "not a list"};
      const size_t length = std::stoul(bytes_.substr(at, colon - at));
      fresh.apply(ApplyContext{}, std::string_view(bytes_).substr(colon + 1, length));
      at = colon + 1 + length;
    }
    machine_.list_ = fresh.list_;
    machine_.digest_ = fresh.digest_;
    machine_.bytes_ = fresh.bytes_;
    return {};
  }

 private:
  ListMachine& machine_;
  std::string bytes_;
};

Reply ListMachine::apply(const ApplyContext&, std::string_view command) {
  list_.emplace_back(command);
  bytes_ += command.size() + 8;
  uint64_t h = 1469598103934665603ULL;
  for (const char c : command) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  digest_ = chain_link(digest_, Slot(list_.size()), Digest128{h, h});
  return Reply{0, std::to_string(list_.size())};
}
void ListMachine::rot() {
  if (list_.empty()) {
    digest_.lo ^= 1;
    return;
  }
  list_.front() += "rotten";
  ListMachine now;
  for (const std::string& item : list_) now.apply(ApplyContext{}, item);
  digest_ = now.digest_;
}
std::unique_ptr<SnapshotSource> ListMachine::begin_snapshot() { return std::make_unique<ListSource>(list_); }
std::unique_ptr<SnapshotSink> ListMachine::begin_restore() { return std::make_unique<ListSink>(*this); }

void MemoryMember::start() {
  const decree::Member* own = cluster_.membership.find(self_);
  storage::OpenOptions options;
  options.create = Identity{ClusterId(7), self_, own->member_id, Incarnation(cluster_.random() | 1)};
  options.wal.block_bytes = 512;
  options.wal.segment_bytes = 64u << 10;
  options.wal.opening_segment_bytes = 16u << 10;
  auto opened = storage::DataDir::open(disk, kDirectory, options);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  data_ = std::move(opened).value();
  machine_ = std::make_unique<ListMachine>();
  snapshots_ = std::make_unique<runtime::FileSnapshotStore>(data_->snapshots(), ClusterId(7));
  RecoveredState recovered = data_->recovered();
  auto restored = runtime::restore_newest(*snapshots_, *machine_, recovered);
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  runtime::NodeOptions node;
  node.identity = data_->identity();
  recovered.boot = node.boot = ++starts_;  // also from copies of a disk never the same
  disk_writes_found_ = recovered.disk_writes;
  node.snapshot_count = cluster_.snapshot_count;
  node.snapshot_log_bytes_min = 0;
  node.snapshot_slice_bytes = cluster_.slice_bytes;
  node.transfer_chunk_bytes = cluster_.transfer_chunk_bytes;
  node.history_slots = cluster_.history_slots;
  node.digest_slots = cluster_.digest_slots;
  if (restored->has_value()) {
    node.snapshot = **restored;
    node.applied = node.snapshot->manifest.index;
    node.chain = node.snapshot->manifest.chain;
    node.term = node.snapshot->manifest.term;
  }
  Options protocol;
  protocol.seed = self_.value;
  protocol.cached_log_bytes_max = 16u << 10;
  node_ = std::make_unique<runtime::Node>(*this, Replica(std::move(recovered), cluster_.membership, protocol),
                                          *machine_, *snapshots_, node, this);
  node_->set_sink(this);
  applied.clear();
  outcomes.clear();
  reads.clear();
  cluster_.link(self_.value, true);
}

void MemoryMember::crash() {
  cluster_.link(self_.value, false);
  node_.reset();
  batches_.clear();
  done_.clear();
  working_.clear();
  snapshots_.reset();
  data_.reset();
  machine_.reset();
  disk.crash(cluster_.random());
  told_full_ = false;
}

void MemoryMember::send(NodeId to, Message message) {
  if (!cluster_.connected(self_, to)) return;
  std::uniform_real_distribution<double> dice(0, 1);
  if (cluster_.loss > 0 && dice(cluster_.random) < cluster_.loss) return;
  cluster_.flying_.push_back({cluster_.now_ + cluster_.random() % 2, self_, to, std::move(message)});
}

uint64_t MemoryMember::clock_us() { return 1 + cluster_.now_ * 10000; }

void MemoryMember::commit(std::vector<PersistedRecord> batch) {
  batches_.push_back(std::move(batch));
  commits_in_flight_max = std::max(commits_in_flight_max, batches_.size());
}

void MemoryMember::read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) {
  Result<std::vector<Entry>> read = data_->wal().read(slots, bytes_max);
  if (read && read->empty()) read = Error{ErrorCode::not_found, "cut"};
  done_.push_back([done = std::move(done), result = std::make_shared<Result<std::vector<Entry>>>(
                                               std::move(read))] { done(std::move(*result)); });
}

void MemoryMember::truncate_log(Slot upto) { ASSERT_TRUE(data_->wal().truncate_behind(upto).ok()); }

void MemoryMember::run(std::function<void()> work, std::function<void()> done) {
  working_.emplace_back(cluster_.now_ + work_ticks, [work = std::move(work), done = std::move(done)] {
    work();
    done();
  });
}

bool MemoryMember::step() {
  if (node_ == nullptr) return false;
  if (!batches_.empty() && !hold_commits) {
    if (disk_full != told_full_) node_->on_disk_health(!disk_full);
    told_full_ = disk_full;
    if (!disk_full) {
      const std::vector<PersistedRecord> batch = std::move(batches_.front());
      batches_.pop_front();
      const Result<void> done = data_->wal().commit(batch);
      EXPECT_TRUE(done.ok()) << done.error().message;
      node_->on_persisted(batch.back().token, data_->wal().disk_writes());
    }
  }
  for (; !working_.empty() && working_.front().first <= cluster_.now_; working_.pop_front())
    done_.push_back(std::move(working_.front().second));
  const size_t due = done_.size();
  for (size_t i = 0; i < due; ++i) {
    const std::function<void()> work = std::move(done_.front());
    done_.pop_front();
    work();
  }
  awake_ = false;
  const bool more = node_->turn();
  EXPECT_EQ(node_->replica().broken_invariant(), "");
  EXPECT_TRUE(may_be_outdated || !node_->outdated());
  return more || awake_;
}

MemoryCluster::MemoryCluster(size_t members, uint64_t seed) : random(seed) {
  std::vector<decree::Member> all;
  for (uint32_t n = 1; n <= members; ++n) {
    decree::Member m;
    m.node = NodeId(n);
    m.member_id = 100 + n;
    m.name = "m" + std::to_string(n);
    all.push_back(m);
    members_.push_back(std::make_unique<MemoryMember>(*this, NodeId(n)));
  }
  membership = make_membership(all);
}

bool MemoryCluster::connected(NodeId a, NodeId b) { return !isolated_[a] && !isolated_[b]; }

void MemoryCluster::link(size_t n, bool up) {
  const NodeId self(static_cast<uint32_t>(n));
  for (auto& m : members_) {
    if (m->self_ == self || m->node_ == nullptr || !connected(self, m->self_)) continue;
    MemoryMember& own = *members_[n - 1];
    m->node_->on_peer_link(PeerLink{self, up, Incarnation(0), own.starts_, own.disk_writes_found_});
    if (own.node_ != nullptr)
      own.node_->on_peer_link(PeerLink{m->self_, up, Incarnation(0), m->starts_, m->disk_writes_found_});
  }
}

void MemoryCluster::tick() {
  ++now_;
  std::deque<Flying> later;
  std::deque<Flying> now;
  now.swap(flying_);
  for (Flying& f : now) {
    if (f.at > now_) {
      later.push_back(std::move(f));
      continue;
    }
    MemoryMember& to = *members_[f.to.value - 1];
    if (to.node_ != nullptr && connected(f.from, f.to)) to.node_->on_message(f.from, std::move(f.message));
  }
  for (Flying& f : later) flying_.push_back(std::move(f));
  for (auto& m : members_) {
    if (m->node_ == nullptr) continue;
    m->node_->on_tick(Tick(now_));
    for (int i = 0; i < 20 && m->step(); ++i) {
    }
  }
}

MemoryMember* MemoryCluster::leader() {
  for (auto& m : members_)
    if (m->node_ != nullptr && m->node_->replica().status().role == Role::leader && !isolated_[m->self_])
      return m.get();
  return nullptr;
}

std::string MemoryCluster::put(size_t n, const std::string& command) {
  MemoryMember& m = member(n);
  const uint64_t seq = m.node().propose(command);
  until([&] { return m.applied.count(seq) != 0 || m.outcomes.count(seq) != 0; });
  return m.applied.count(seq) != 0 ? m.applied[seq] : "";
}

}  // namespace decree::testing
