// SimMember: the log as its host drives it. Mirrors runtime::LogThread and the reserve's worker in
// server/member.cc, which are threads and therefore not in the simulator: one batch at a time, a full disk
// holds it, any other error stops the process, an idle log is marked.
#include <algorithm>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/script.h"
#include "lab/sim/sim_member.h"

namespace decree::lab {

namespace {

bool has_promise(const std::vector<PersistedRecord>& batch) {
  return std::any_of(batch.begin(), batch.end(), [](const PersistedRecord& r) {
    return std::holds_alternative<PromiseRecord>(r.record);
  });
}

}  // namespace

// I10 for real: what would be found if the power failed at this very moment?
void SimMember::check_fork() {
  if (world_.atlas().is_damaged(self_.value)) return;
  ++world_.statistics().forks;
  const Result<RecoveredState> found = disk_->fork_and_lose_power();
  if (!found)
    return world_.fail("I10", fmt::format("a crash of node {} now could not be recovered: {}", self_.value,
                                          found.error().message));
  world_.ghost().check_fork(self_, found.value());
}

std::string SimMember::harm(Harm what, uint32_t n, uint64_t fate) {
  Random random(fate);
  std::string done;
  if (what == Harm::old_image) {
    done = put_back_or_keep(random);
  } else if (what < Harm::old_image) {
    done = disk_->damage(static_cast<Damage>(what), random);
    if (!done.empty()) world_.atlas().damage(self_.value);
  } else if (what == Harm::diverge) {
    if (diverge_soon()) done = "done";
    if (!done.empty()) world_.atlas().damage(self_.value);
  } else {
    const bool worked = what == Harm::fill          ? disk_->set_full(true, random)
                        : what == Harm::make_room   ? disk_->set_full(false, random)
                        : what == Harm::fail_sync   ? disk_->fail_sync()
                        : what == Harm::fail_writes ? disk_->fail_writes(n)
                        : what == Harm::fail_power  ? disk_->fail_writes(n)
                                                    : disk_->fail_reads(n);
    if (worked) done = "done";
    if (worked && what == Harm::fail_power) power_fate_ = fate;
  }
  if (Recorder* recorder = world_.recorder(); recorder != nullptr && !done.empty())
    recorder->on_harm(self_.value, what, n, fate);
  return done;
}

// An image of the running disk is kept; later, the process down, it is put back. Only where what the image
// lacks is known to all others: the atlas stays out of what nobody could notice (docs/simulator.md).
std::string SimMember::put_back_or_keep(Random& random) {
  if (running()) return disk_->image_disk_writes() ? std::string() : disk_->damage(Damage::old_image, random);
  const std::optional<uint64_t> writes = disk_->image_disk_writes();
  if (!writes || !world_.all_know_more_of(self_.value, *writes)) return {};
  const std::string done = disk_->damage(Damage::old_image, random);
  world_.atlas().damage(self_.value);
  world_.ghost().on_old_image(self_);
  return done;
}

bool SimMember::could_forget() const {
  return !running() || crash_at_write_.has_value() || disk_->has_injected_error() || to_diverge() ||
         diverged();
}

int64_t SimMember::sync_time_us() {
  const DiskProfile& d = world_.swarm().disk;
  int64_t time = d.sync_us + slow_disk_us_;
  if (d.jitter_us > 0) time += static_cast<int64_t>(random_.exponential(static_cast<uint64_t>(d.jitter_us)));
  if (world_.faults_on() && random_.chance(d.stall))
    time += static_cast<int64_t>(random_.exponential(static_cast<uint64_t>(d.stall_us)));
  return time;
}

void SimMember::commit(std::vector<PersistedRecord> batch) {
  world_.ghost().on_handed_out(self_, batch);
  if (Recorder* recorder = world_.recorder(); recorder != nullptr) recorder->on_commit(self_.value);
  const LogToken token = batch.back().token;
  under_way_.push_back(std::move(batch));
  if (under_way_.size() == 1) schedule(sync_time_us(), EventKind::commit_done);
  if (world_.options().early_persisted) {
    schedule(1, EventKind::work_done,
             begin_work(works_.put({{}, [this, token] { node_->on_persisted(token); }})));
  }
}

void SimMember::on_commit_done() {
  DECREE_CHECK(!under_way_.empty(), "a log write ended that had not begun");
  if (crash_at_write_ && world_.faults_on() && (!crash_at_promise_ || has_promise(under_way_.front()))) {
    crash(*crash_at_write_);
    return world_.schedule_start(self_.value, static_cast<int64_t>(random_.between(10'000, 2'000'000)));
  }
  const Result<void> written = disk_->commit(under_way_.front());
  if (!written && retry_later(written.error())) return;
  const std::vector<PersistedRecord> batch = std::move(under_way_.front());
  under_way_.pop_front();
  if (!written) {
    node_->on_log_error(written.error());
    return after_turn();
  }
  if (log_full_) {
    log_full_ = false;
    tell_disk_health();
  }
  last_commit_us_ = world_.queue().now_us();
  marked_idle_ = false;
  world_.ghost().on_durable(self_, batch);
  if (world_.trace().wanted()) {
    world_.note(self_.value, "durable", "\"records\":" + trace_records(batch));
    world_.tell_chosen(self_.value);
  }
  if (!under_way_.empty()) schedule(sync_time_us(), EventKind::commit_done);
  if (disk_->needs_reserve()) prepare_reserve();
  if (!world_.options().early_persisted) node_->on_persisted(batch.back().token, disk_->disk_writes());
  turn_soon();
}

// No room: the batch is kept and tried again; nothing was written.
bool SimMember::retry_later(const Error& error) {
  if (error.code != ErrorCode::no_space) return false;
  schedule(100'000, EventKind::commit_done);
  if (log_full_) return true;
  log_full_ = true;
  tell_disk_health();
  turn_soon();
  return true;
}

void SimMember::tell_disk_health() {
  world_.note(self_.value, "disk", fmt::format("\"full\":{}", log_full_ || reserve_full_));
  node_->on_disk_health(!log_full_ && !reserve_full_);
}

// The log thread proves its last batch by a marker when nothing was written for a second.
void SimMember::mark_when_idle() {
  if (marked_idle_ || !under_way_.empty() || world_.queue().now_us() - last_commit_us_ < 1'000'000) return;
  marked_idle_ = true;
  const Result<void> marked = disk_->mark_idle();
  if (!marked && marked.error().code != ErrorCode::no_space) node_->on_log_error(marked.error());
}

// The next segment is made ready ahead, so that a full disk is noticed while there is still room.
void SimMember::prepare_reserve() {
  if (reserve_busy_) return;
  reserve_busy_ = true;
  auto result = std::make_shared<Result<void>>();
  run([this, result] { *result = disk_->prepare_reserve(); },
      [this, result] {
        reserve_busy_ = false;
        const bool full = !*result && result->error().code == ErrorCode::no_space;
        reserve_retry_us_ = world_.queue().now_us() + 1'000'000;
        if (full == reserve_full_) return;
        reserve_full_ = full;
        tell_disk_health();
      });
}

void SimMember::read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) {
  const uint64_t bytes = world_.swarm().segment_bytes / 16;
  const uint64_t number = works_.put({{}, [this, slots, bytes_max, bytes, done = std::move(done)] {
                                        done(disk_->read(slots, std::min(bytes_max, bytes)));
                                      }});
  schedule(static_cast<int64_t>(random_.between(50, 2000)), EventKind::work_done, begin_work(number));
}

void SimMember::truncate_log(Slot upto) {
  const uint64_t number = works_.put({[this, upto] { disk_->truncate(upto); }, [] {}});
  const auto most = static_cast<uint64_t>(work_us_max());
  schedule(static_cast<int64_t>(random_.between(50, 20000 + most)), EventKind::work_done, begin_work(number));
}

}  // namespace decree::lab
