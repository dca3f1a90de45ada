#include "lab/sim/sim_member.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/script.h"
#include "paxos/acceptor.h"
#include "runtime/start_up.h"

namespace decree::lab {

// Stands between the Node and the store: tells the world what every applied command did.
class SimMember::WatchedMachine final : public StateMachine {
 public:
  WatchedMachine(SimMember& owner, StoreUnderTest& store) : owner_(owner), store_(store) {}
  Reply apply(const ApplyContext& context, std::string_view command) override {
    const int64_t before = store_.revision();
    Reply reply = store_.machine().apply(context, command);
    if (to_diverge_) diverge(context, command);
    if (diverged_) return reply;
    owner_.world_.on_command_applied(owner_.self_.value, context.slot, before, store_.revision());
    owner_.world_.ghost().on_state(owner_.self_, context.slot, store_.machine().digest());
    return reply;
  }
  Digest128 digest() const override { return store_.machine().digest(); }
  std::unique_ptr<SnapshotSource> begin_snapshot() override { return store_.machine().begin_snapshot(); }
  std::unique_ptr<SnapshotSink> begin_restore() override { return store_.machine().begin_restore(); }
  uint64_t snapshot_bytes_estimate() const override { return store_.machine().snapshot_bytes_estimate(); }
  bool background_slice() override { return store_.machine().background_slice(); }

  void diverge_soon() { to_diverge_ = true; }
  bool to_diverge() const { return to_diverge_; }
  bool diverged() const { return diverged_; }

 private:
  // The command takes effect a second time. Until one is met that changes something by that, nothing is
  // wrong.
  void diverge(const ApplyContext& context, std::string_view command) {
    const Digest128 right = store_.machine().digest();
    (void)store_.machine().apply(context, command);
    diverged_ = store_.machine().digest() != right;
    to_diverge_ = !diverged_;
    if (diverged_)
      owner_.world_.note(owner_.self_.value, "diverges", fmt::format("\"slot\":{}", context.slot.value));
  }

  SimMember& owner_;
  StoreUnderTest& store_;
  bool to_diverge_ = false;
  bool diverged_ = false;
};

namespace {

bool is_beat(const Message& message) {
  return std::holds_alternative<Beat>(message) || std::holds_alternative<BeatReply>(message);
}

}  // namespace

SimMember::SimMember(World& world, NodeId self, std::unique_ptr<Disk> disk)
    : world_(world), self_(self), disk_(std::move(disk)), random_(world.random().fork()) {
  identity_ = Identity{ClusterId(77), self, 1000 + self.value, Incarnation(world.random().next() | 1)};
}

SimMember::~SimMember() = default;

Event SimMember::event(EventKind kind, uint64_t a, uint32_t b) const {
  Event e;
  e.kind = kind;
  e.member = static_cast<uint8_t>(self_.value);
  e.life = life_;
  e.a = a;
  e.b = b;
  return e;
}
void SimMember::schedule(int64_t delay_us, EventKind kind, uint64_t a, uint32_t b) {
  world_.queue().schedule(delay_us, event(kind, a, b));
}

// ---- life and death ----

void SimMember::start() {
  DECREE_CHECK(node_ == nullptr, "started twice");
  // Not with the disk that it was told to give up: by now those who told it may have forgotten.
  if (halted_) return;
  ++life_;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_step(StepKind::start, self_.value);
  Result<RecoveredState> opened = disk_->open(identity_);
  if (!opened) return refuse_start(opened.error());
  RecoveredState recovered = std::move(opened).value();
  identity_ = recovered.identity;
  // No two starts have the same number, not even from copies of a disk.
  recovered.boot += static_cast<uint64_t>(disk_->images_put_back()) << 32;
  boot_ = recovered.boot;
  disk_writes_found_ = recovered.disk_writes;
  lives_met_.clear();
  store_ = world_.swarm().real_store ? make_kv_store() : make_toy_store();
  machine_ = std::make_unique<WatchedMachine>(*this, *store_);
  Result<std::optional<runtime::StoredSnapshot>> restored =
      runtime::restore_newest(disk_->snapshots(), *machine_, recovered);
  if (!restored) return refuse_start(restored.error());
  world_.ghost().on_start(self_, recovered);
  if (world_.trace().wanted()) world_.tell_chosen(self_.value);

  std::vector<Member> members;
  for (uint32_t n = 1; n <= world_.members(); ++n)
    members.push_back(
        Member{NodeId(n), Incarnation(0), MemberRole::voter, 1000 + n, "m" + std::to_string(n), {}});
  Options options = world_.swarm().options;
  // Of the start alone, so that a schedule that is followed meets the same.
  options.seed ^= (static_cast<uint64_t>(self_.value) << 32) ^ life_;
  spent_random_ = Random(options.seed);
  runtime::NodeOptions node_options;
  node_options.digest_slots =
      32;  // runs are short; who is told apart from the majority without a reason fails the run
  node_options.identity = identity_;
  node_options.boot = boot_;
  node_options.applied = recovered.snapshot_index;
  node_options.chain = recovered.snapshot_chain;
  if (restored.value()) node_options.term = restored.value()->manifest.term;
  node_options.snapshot = restored.value();
  if (world_.swarm().snapshot_every > 0) {
    node_options.snapshot_count = world_.swarm().snapshot_every;
    node_options.snapshot_log_bytes_min = 0;
    node_options.snapshot_slice_bytes = 1000;
    node_options.transfer_chunk_bytes = world_.swarm().transfer_chunk_bytes;
    node_options.transfer_chunks_inflight = world_.swarm().transfer_chunks_inflight;
  }
  node_options.inputs_per_turn_max = world_.swarm().inputs_per_turn_max;
  node_options.applies_per_turn_max = world_.swarm().applies_per_turn_max;
  node_options.clients_queued_max = world_.swarm().clients_queued_max;
  node_options.unsynced_bytes_max = world_.swarm().unsynced_bytes_max;
  Replica replica(std::move(recovered), make_membership(std::move(members)), options);
  node_ =
      std::make_unique<runtime::Node>(*this, std::move(replica), *machine_, disk_->snapshots(), node_options);
  node_->set_sink(this);
  open_front();
  started_us_ = clock_us();
  log_full_ = reserve_full_ = reserve_busy_ = false;
  last_commit_us_ = world_.queue().now_us();
  marked_idle_ = false;
  decided_told_ = node_->replica().acceptor().decided();
  ticks_ = 0;
  led_ = false;
  turn_pending_ = false;
  snapshots_installed_ = snapshots_taken_ = 0;
  world_.note(self_.value, "start",
              fmt::format("\"boot\":{},\"snapshot\":{}", boot_, node_options.applied.value));
  schedule(static_cast<int64_t>(random_.below(static_cast<uint64_t>(world_.swarm().wake_us))),
           EventKind::tick);
  world_.on_process_start(self_.value);
  turn_soon();
}

// What a supervisor would see: an exit code and a sentence. Damage is final; anything else is tried again.
void SimMember::refuse_start(const Error& error) {
  const bool has_excuse = disk_->has_injected_error();
  const bool is_damage = error.code == ErrorCode::corrupt || error.code == ErrorCode::format ||
                         error.code == ErrorCode::identity;
  disk_->crash(CrashKind::process, {}, random_);
  store_.reset();
  machine_.reset();
  world_.note(self_.value, "refuses to start",
              fmt::format("\"damage\":{},\"sentence\":{}", is_damage, json_string(error.message)));
  if (is_damage && world_.atlas().is_damaged(self_.value)) {
    halted_ = true;
    ++world_.statistics().halted;
    return;
  }
  if (is_damage || !has_excuse)
    return world_.fail("I18", fmt::format("node {} cannot start: {}", self_.value, error.message));
  ++world_.statistics().refused;
  world_.schedule_start(self_.value, 1'000'000);
}

// After an error of its disk a process stops at once; nothing is tried again with it.
void SimMember::stop_process(const Error& error) {
  const bool has_excuse = disk_->has_injected_error() || world_.atlas().is_damaged(self_.value);
  world_.note(self_.value, "stops itself", "\"sentence\":" + json_string(error.message));
  if (!has_excuse) return world_.fail("I18", fmt::format("node {} stopped: {}", self_.value, error.message));
  ++world_.statistics().stopped;
  if (power_fate_)
    crash(CrashKind::power, *power_fate_);
  else
    crash(CrashKind::process);
  world_.schedule_start(self_.value, static_cast<int64_t>(random_.between(10'000, 2'000'000)));
}

void SimMember::drop_work() {
  // Workers die with the process, before the store they point into; their events find nothing.
  works_.forget_values();
  while (!under_way_.empty()) under_way_.pop_front();
  for (const Event& e : deferred_) {
    if (e.kind == EventKind::deliver) world_.take_flight(e.a);
    // The connection breaks; its client cannot know that nobody read the request.
    if (e.kind == EventKind::request) world_.finish(static_cast<uint32_t>(e.a), e.b, OpOutcome::unknown);
  }
  deferred_.clear();
}

void SimMember::crash(CrashKind kind, uint64_t fate) {
  if (node_ == nullptr) return;
  std::vector<PersistedRecord> writing;
  if (!under_way_.empty()) writing = under_way_.front();
  world_.note(self_.value, "crash",
              fmt::format("\"kind\":\"{}\",\"writing\":{}", kind == CrashKind::power ? "power" : "process",
                          writing.size()));
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_crash(self_.value, kind == CrashKind::power, fate, !writing.empty());
  std::vector<Front::Answer> waiting;
  if (front_) waiting = front_->hang_up();
  front_.reset();
  consensus_.reset();
  node_.reset();
  drop_work();
  Random random(fate);
  disk_->crash(kind, writing, random);
  paused_ = false;
  crash_at_write_.reset();
  power_fate_.reset();
  for (auto* asked : {&writes_, &reads_}) {
    for (const auto& [seq, a] : *asked)
      if (a.client != kNoClient) world_.finish(a.client, a.serial, OpOutcome::unknown);
    asked->clear();
  }
  for (const Front::Answer& a : waiting) world_.finish(a.client, a.serial, OpOutcome::unknown);
  store_.reset();
  machine_.reset();
  world_.on_process_end(self_.value);
}

void SimMember::pause() {
  paused_ = true;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_step(StepKind::pause, self_.value);
  world_.note(self_.value, "pause");
}

void SimMember::resume() {
  if (!paused_) return;
  paused_ = false;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_step(StepKind::resume, self_.value);
  world_.note(self_.value, "resume", fmt::format("\"waiting\":{}", deferred_.size()));
  std::vector<Event> events;
  events.swap(deferred_);
  // Everything that came meanwhile is there at once: in the order in which it came, or one connection's
  // before another's, as a process meets them that asks its sockets in turn, and its clock between.
  if (!random_.chance(0.5)) {
    for (const Event& e : events) world_.queue().schedule(0, e);
    return;
  }
  std::map<uint64_t, int64_t> delay_of;  // by connection
  for (const Event& e : events) {
    const uint64_t connection = connection_of(e);
    const auto most = static_cast<uint64_t>(2 * world_.swarm().wake_us);
    const auto [at, is_new] = delay_of.try_emplace(connection, 0);
    if (is_new) at->second = static_cast<int64_t>(random_.below(most));
    world_.queue().schedule(at->second, e);
  }
}

// 0: what the process did itself; then the peers; then the clients.
uint64_t SimMember::connection_of(const Event& e) {
  if (e.kind == EventKind::deliver) return world_.flight(e.a).from.value;
  if (e.kind == EventKind::link_notice) return e.a;
  return e.kind == EventKind::request ? kMembersMax + 1 + e.a : 0;
}

int64_t SimMember::clock_us() const {
  const int64_t passed = world_.queue().now_us() - clock_changed_us_;
  return clock_base_us_ + static_cast<int64_t>(clock_rate_ * static_cast<double>(passed));
}

void SimMember::set_clock_rate(double rate) {
  clock_base_us_ = clock_us();
  clock_changed_us_ = world_.queue().now_us();
  clock_rate_ = rate;
}

void SimMember::jump_clock(int64_t ahead_us) {
  set_clock_rate(clock_rate_);
  clock_base_us_ += ahead_us;
}

void SimMember::on_tick() {
  tick_to(static_cast<uint64_t>((clock_us() - started_us_) / world_.swarm().tick_us + 1));
  const double real_us = static_cast<double>(world_.swarm().wake_us) / clock_rate_;
  schedule(static_cast<int64_t>(real_us), EventKind::tick);
}

void SimMember::ask_transfer(NodeId to) {
  if (node_ == nullptr || paused_) return;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_step(StepKind::transfer, self_.value, to.value);
  node_->transfer_leadership(to);
}

// An operator's wish, sensible or not: the leader refuses what it must.
void SimMember::ask_change(uint64_t fate, bool roles) {
  if (node_ == nullptr || paused_) return;
  Random random(fate);
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_change(self_.value, roles, fate);
  const Membership& now = node_->membership();
  Membership next = now;
  ++next.epoch;
  Member& some = next.members[random.below(next.members.size())];
  if (!roles || random.chance(0.3)) {
    some.peer_urls = {fmt::format("http://elsewhere:{}", random.below(100))};
  } else if (some.role != MemberRole::voter) {
    some.role = random.chance(0.5) ? MemberRole::voter : MemberRole::joining;
  } else if (now.voter_count() > 2) {
    some.role = random.chance(0.5) ? MemberRole::learner : MemberRole::joining;
  }
  resize_quorums(now, &next);
  (void)node_->change_members(std::move(next), random.chance(0.8));
}

// ---- events ----

void SimMember::handle(const Event& e) {
  if (e.kind == EventKind::start) {
    if (!running()) start();
    return;
  }
  const bool for_any_life = e.kind == EventKind::deliver || e.kind == EventKind::request;
  if (!running() || (!for_any_life && e.life != life_)) {
    if (e.kind == EventKind::deliver) world_.take_flight(e.a);
    if (e.kind == EventKind::work_done) works_.take(e.a);
    if (e.kind == EventKind::request) world_.finish(static_cast<uint32_t>(e.a), e.b, OpOutcome::fail);
    return;
  }
  if (paused_) {
    constexpr size_t kSocketBuffers = 4000;
    if (e.kind == EventKind::tick) {
      // The clock goes on; the process will see the time when it runs again.
      schedule(world_.swarm().wake_us, EventKind::tick);
    } else if (e.kind == EventKind::deliver && deferred_.size() > kSocketBuffers) {
      world_.take_flight(e.a);
    } else {
      deferred_.push_back(e);
    }
    return;
  }
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_event(world_, e, e.life == life_);
  switch (e.kind) {
    case EventKind::tick:
      on_tick();
      break;
    case EventKind::deliver: {
      Flight flight = world_.take_flight(e.a);
      // A new process's first words come behind its handshake, and connections that were not announced have
      // none.
      if (flight.life > lives_met_[flight.from.value]) break;
      if (Recorder* recorder = world_.recorder(); recorder != nullptr)
        recorder->on_deliver(flight.from.value, self_.value, flight.message.index(), flight.ordinal);
      if (world_.trace().wanted() && (world_.options().trace_beats || !is_beat(flight.message)))
        world_.note(self_.value, "receive",
                    fmt::format("\"from\":{},\"message\":\"{}\",{}", flight.from.value,
                                message_name(flight.message), trace_fields(flight.message)));
      node_->on_message(flight.from, std::move(flight.message));
      turn_soon();
      break;
    }
    case EventKind::turn:
      turn_pending_ = false;
      turn();
      break;
    case EventKind::commit_done:
      on_commit_done();
      break;
    case EventKind::work_done: {
      Work work = works_.take(e.a);
      if (work.work) work.work();
      work.done();
      turn_soon();
      break;
    }
    case EventKind::link_notice:
      if (!world_.link_notice_is_current(self_.value, static_cast<uint32_t>(e.a), e.b / 2)) break;
      world_.note(self_.value, "link", fmt::format("\"peer\":{},\"up\":{}", e.a, e.b % 2 == 1));
      on_link(static_cast<uint32_t>(e.a), e.b % 2 == 1);
      turn_soon();
      break;
    case EventKind::request:
      on_request(static_cast<uint32_t>(e.a), e.b);
      break;
    default:
      break;
  }
}

void SimMember::on_link(uint32_t peer, bool up) {
  PeerLink link{NodeId(peer), up};
  if (up) {
    const SimMember& other = world_.member(peer);
    link.boot = other.boot();
    link.disk_writes = other.disk_writes_found();
    lives_met_[peer] = other.life();
  }
  node_->on_peer_link(link);
}

void SimMember::tick_to(uint64_t ticks) {
  if (ticks <= ticks_) return;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_tick(self_.value, ticks - ticks_);
  ticks_ = ticks;
  node_->on_tick(Tick(ticks_));
  if (front_) front_->tick();
  if (reserve_full_ && world_.queue().now_us() >= reserve_retry_us_) prepare_reserve();
  mark_when_idle();
  turn_soon();
}

void SimMember::tick_by(uint64_t ticks) {
  if (!running()) return;
  if (paused_)
    ticks_ += ticks;  // the process will see the time when it runs again
  else
    tick_to(ticks_ + ticks);
}

void SimMember::let_clock_run() {
  if (!running()) return;
  started_us_ = clock_us() - static_cast<int64_t>(ticks_) * world_.swarm().tick_us;
  schedule(world_.swarm().wake_us, EventKind::tick);
}

void SimMember::turn_soon() {
  const int64_t mean = world_.swarm().turn_delay_us;
  if (mean == 0 && !turn_pending_) return turn();
  wake();
}

void SimMember::wake() {
  if (turn_pending_) return;
  turn_pending_ = true;
  const int64_t mean = world_.swarm().turn_delay_us;
  schedule(mean == 0 ? 1 : static_cast<int64_t>(random_.exponential(static_cast<uint64_t>(mean))),
           EventKind::turn);
}

void SimMember::turn() {
  if (node_->turn()) wake();
  if (front_) front_->slice();
  after_turn();
}

// The checks after every step.
void SimMember::after_turn() {
  Ghost& ghost = world_.ghost();
  const runtime::NodeCounters& counters = node_->counters();
  if (counters.snapshots_installed != snapshots_installed_) {
    snapshots_installed_ = counters.snapshots_installed;
    ++world_.statistics().snapshots_installed;
    ghost.on_snapshot(self_, node_->applied());
    world_.note(self_.value, "snapshot installed", fmt::format("\"slot\":{}", node_->applied().value));
  }
  if (counters.snapshots_taken != snapshots_taken_) {
    snapshots_taken_ = counters.snapshots_taken;
    ++world_.statistics().snapshots_taken;
    check_snapshot();
  }
  if (counters.digest_mismatches != 0)
    world_.fail("I1", fmt::format("node {} met an entry whose digest is wrong", self_.value));
  std::string broken = node_->replica().broken_invariant();
  if (!broken.empty())
    world_.fail(broken.substr(0, broken.find_first_of(" :")).c_str(),
                fmt::format("node {}: {}", self_.value, broken));
  ghost.on_step(self_, node_->replica());
  const bool leads = node_->replica().status().role == Role::leader;
  if (leads && !led_) world_.on_new_leader(self_.value);
  led_ = leads;
  const Slot decided = node_->replica().acceptor().decided();
  if (world_.trace().wanted() && decided > decided_told_)
    world_.note(self_.value, leads ? "announces" : "learns",
                fmt::format("\"decided\":[{},{}]", decided_told_.value + 1, decided.value));
  decided_told_ = decided;
  ghost.on_applied(self_, node_->applied(), node_->chain());
  if (node_->outdated()) return give_up_disk();
  if (node_->divergence()) return leave_as_diverged();
  if (node_->failure()) stop_process(Error(*node_->failure()));
}

void SimMember::give_up_disk() {
  world_.note(self_.value, "gives its disk up", "\"sentence\":" + json_string(node_->failure()->message));
  // What a fault took from the end of the log, where nothing proves it, the others miss as well.
  if (!world_.atlas().is_damaged(self_.value))
    return world_.fail(
        "I20", fmt::format("node {} was told that its disk is an old one, and it is not", self_.value));
  stay_down(&world_.statistics().disowned);
}

// The right end of this process. What the server does next, coming back with a new disk, is not simulated.
void SimMember::stay_down(uint64_t* counter) {
  halted_ = true;
  ++world_.statistics().halted;
  ++*counter;
  crash(CrashKind::process);
}

bool SimMember::diverged() const { return machine_ != nullptr && machine_->diverged(); }
bool SimMember::to_diverge() const { return machine_ != nullptr && machine_->to_diverge(); }

bool SimMember::diverge_soon() {
  if (node_ == nullptr || to_diverge() || diverged()) return false;
  machine_->diverge_soon();
  return true;
}

// Quarantined.
void SimMember::leave_as_diverged() {
  world_.note(self_.value, "leaves as diverged", "\"sentence\":" + json_string(node_->failure()->message));
  if (!diverged())
    return world_.fail(
        "I17", fmt::format("node {} was told apart from the majority, and its state is right", self_.value));
  stay_down(&world_.statistics().quarantined);
}

// I17 for real: what would somebody have who began with this snapshot?
void SimMember::check_snapshot() {
  if (disk_->has_injected_error() || world_.atlas().is_damaged(self_.value)) return;
  const Result<std::optional<runtime::StoredSnapshot>> newest = disk_->snapshots().newest();
  if (!newest || !newest.value() || !world_.wants_restore(random_, newest.value()->size_bytes)) return;
  const Digest128* expected = world_.ghost().state_after(newest.value()->manifest.index);
  if (expected == nullptr) return;
  const std::unique_ptr<StoreUnderTest> store =
      world_.swarm().real_store ? make_kv_store() : make_toy_store();
  RecoveredState nothing;
  nothing.snapshot_index = newest.value()->manifest.index;
  nothing.snapshot_chain = newest.value()->manifest.chain;
  const auto restored = runtime::restore_newest(disk_->snapshots(), store->machine(), nothing);
  if (!restored)
    return world_.fail("I17", fmt::format("node {}'s snapshot cannot be restored: {}", self_.value,
                                          restored.error().message));
  if (store->machine().digest() != *expected)
    world_.fail("I17", fmt::format("node {}'s snapshot of slot {} does not hold the state after it",
                                   self_.value, newest.value()->manifest.index.value));
}

// ---- what the Node asks for ----

void SimMember::send(NodeId to, Message message) {
  world_.ghost().on_send(self_, boot_, message);
  const bool acknowledges =
      std::holds_alternative<Accepted>(message) || std::holds_alternative<Promise>(message);
  if (acknowledges && world_.wants_fork(random_, *disk_)) check_fork();
  world_.send(self_, to, boot_, std::move(message));
}

void SimMember::run(std::function<void()> work, std::function<void()> done) {
  const uint64_t number = works_.put({std::move(work), std::move(done)});
  const auto most = static_cast<uint64_t>(work_us_max());
  schedule(static_cast<int64_t>(random_.between(50, most)), EventKind::work_done, begin_work(number));
}

// Slow workers are a fault: with six seconds for each piece of a snapshot nobody catches up within any bound.
int64_t SimMember::work_us_max() const {
  constexpr int64_t kOrdinaryUs = 5000;
  return world_.faults_on() ? world_.swarm().work_us : std::min(world_.swarm().work_us, kOrdinaryUs);
}

uint64_t SimMember::begin_work(uint64_t number) {
  if (Recorder* recorder = world_.recorder(); recorder != nullptr) recorder->on_work(self_.value, number);
  return number;
}

bool SimMember::turn_spent() { return spent_random_.chance(world_.swarm().turn_spent); }

}  // namespace decree::lab
