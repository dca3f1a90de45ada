// One simulated process: a runtime::Node on a simulated host. The Node, the replica, the log and the store
// are the object files of decreed; only what lies below the Host interface is simulated.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "lab/sim/disk.h"
#include "lab/sim/event_queue.h"
#include "lab/sim/front.h"
#include "lab/sim/store.h"
#include "lab/sim/world.h"
#include "runtime/host.h"
#include "runtime/node.h"

namespace decree::lab {

class SimMember final : public runtime::Host, public ConsensusSink {
 public:
  SimMember(World& world, NodeId self, std::unique_ptr<Disk> disk);
  ~SimMember() override;

  NodeId self() const { return self_; }
  bool running() const { return node_ != nullptr; }
  bool paused() const { return paused_; }
  // Found its disk damaged and refuses to start: for good, until damage can be repaired.
  bool halted() const { return halted_; }
  Disk& disk() { return *disk_; }
  uint32_t life() const { return life_; }
  const runtime::Node* node() const { return node_.get(); }
  uint64_t boot() const { return boot_; }
  uint64_t disk_writes_found() const { return disk_writes_found_; }
  StoreUnderTest& store() { return *store_; }
  bool write_under_way() const { return !under_way_.empty(); }
  size_t requests_pending() const {
    return writes_.size() + reads_.size() + (front_ ? front_->calls_open() : 0);
  }

  void start();
  void crash(CrashKind kind) { crash(kind, random_.next()); }
  // `fate` decides what is found of the writes under way and not synced.
  void crash(CrashKind kind, uint64_t fate);
  // When the next log write, or the next one with a promise in it, is under way.
  void crash_at_write(CrashKind kind, bool with_promise) {
    crash_at_write_ = kind;
    crash_at_promise_ = with_promise;
  }
  void pause();
  void resume();
  void set_slow_disk(int64_t extra_us) { slow_disk_us_ = extra_us; }
  void ask_transfer(NodeId to);
  void ask_change(uint64_t fate, bool roles);
  // Asks for a compaction of what is older than the newest `keep` revisions.
  void ask_compaction(int64_t keep, bool physical);
  // Does it to the disk; the sentence says what was done, empty: nothing. `n` counts operations, `fate`
  // decides the rest.
  std::string harm(Harm what, uint32_t n, uint64_t fate);
  // Down, or about to be without anybody's doing.
  bool could_forget() const;
  // It started from an old image of its disk, and has not been told so yet.
  bool has_old_disk() const { return !halted_ && disk_->images_put_back() > 0; }
  // Its state is wrong, and it does not know yet: its answers prove nothing.
  bool diverged() const;
  void jump_clock(int64_t ahead_us);
  void set_clock_rate(double rate);
  void handle(const Event& event);
  // When a schedule is followed: the clock goes on by so many ticks at once; from then on by itself.
  void tick_by(uint64_t ticks);
  void let_clock_run();

  // ---- runtime::Host ----
  void send(NodeId to, Message message) override;
  void commit(std::vector<PersistedRecord> batch) override;
  void read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) override;
  void truncate_log(Slot upto) override;
  void run(std::function<void()> work, std::function<void()> done) override;
  void wake() override;
  bool turn_spent() override;
  uint64_t log_bytes() const override { return disk_->log_bytes(); }

  // ---- ConsensusSink ----
  void on_applied(uint64_t seq, Reply reply) override;
  void on_outcome(uint64_t seq, Outcome outcome) override;
  void on_leader_gone(uint64_t seq) override;
  void on_read(uint64_t seq, bool ok) override;

 private:
  class WatchedMachine;
  class WatchedConsensus;
  struct Work {
    std::function<void()> work;
    std::function<void()> done;
  };
  static constexpr uint32_t kNoClient = ~0u;  // a request of the request layer: it knows whose
  struct Asked {
    uint32_t client = kNoClient;
    uint64_t serial = 0;
    Slot acknowledged_before;  // reads: highest slot acknowledged to anybody when the read was asked
  };

  Event event(EventKind kind, uint64_t a = 0, uint32_t b = 0) const;
  void schedule(int64_t delay_us, EventKind kind, uint64_t a = 0, uint32_t b = 0);
  void tick_to(uint64_t ticks);
  void turn_soon();
  void turn();
  void after_turn();
  void on_request(uint32_t client, uint64_t serial);
  void open_front();
  void on_answer(const Front::Answer& answer);
  void refuse_start(const Error& error);
  void stop_process(const Error& error);
  void on_tick();
  void on_link(uint32_t peer, bool up);
  int64_t clock_us() const;
  // What the log thread and its workers do in the server (sim_member_log.cc).
  void on_commit_done();
  bool retry_later(const Error& error);
  void mark_when_idle();
  void prepare_reserve();
  void tell_disk_health();
  void check_fork();
  int64_t sync_time_us();
  uint64_t begin_work(uint64_t number);
  int64_t work_us_max() const;
  void drop_work();
  std::string put_back_or_keep(Random& random);
  void give_up_disk();
  void stay_down(uint64_t* counter);
  bool diverge_soon();
  bool to_diverge() const;
  uint64_t connection_of(const Event& e);
  void leave_as_diverged();
  void check_snapshot();

  World& world_;
  const NodeId self_;
  std::unique_ptr<Disk> disk_;
  Identity identity_;
  Random random_;
  Random spent_random_{0};
  std::unique_ptr<StoreUnderTest> store_;
  std::unique_ptr<WatchedMachine> machine_;
  std::unique_ptr<runtime::Node> node_;
  std::unique_ptr<Consensus> consensus_;
  std::unique_ptr<Front> front_;  // null: clients speak to the store and the log directly
  uint32_t life_ = 0;
  uint64_t boot_ = 0;
  uint64_t disk_writes_found_ = 0;
  bool paused_ = false;
  std::optional<CrashKind> crash_at_write_;
  bool crash_at_promise_ = false;
  std::optional<uint64_t> power_fate_;  // the disk's next error is a failure of the power; as in crash()
  bool turn_pending_ = false;
  // The member's clock: rate_ times real time since the last change.
  double clock_rate_ = 1;
  int64_t clock_base_us_ = 0;
  int64_t clock_changed_us_ = 0;
  int64_t started_us_ = 0;  // by its clock
  bool halted_ = false;
  bool log_full_ = false;
  bool reserve_full_ = false;
  bool reserve_busy_ = false;
  int64_t reserve_retry_us_ = 0;
  int64_t last_commit_us_ = 0;
  bool marked_idle_ = true;
  uint64_t ticks_ = 0;  // as last told to the node
  int64_t slow_disk_us_ = 0;
  Slot decided_told_;                       // to the trace
  std::map<uint32_t, uint32_t> lives_met_;  // of the others, whose connection was announced
  bool led_ = false;
  uint64_t snapshots_installed_ = 0;
  uint64_t snapshots_taken_ = 0;
  std::deque<std::vector<PersistedRecord>> under_way_;
  std::vector<Event> deferred_;       // while paused
  std::map<uint64_t, Asked> writes_;  // by seq
  std::map<uint64_t, Asked> reads_;
  uint32_t asking_ = kNoClient;  // the client whose call is being taken by the request layer
  Pool<Work> works_;
};

}  // namespace decree::lab
