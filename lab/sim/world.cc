#include "lab/sim/world.h"

#include <fmt/format.h>

#include "lab/sim/check_hook.h"
#include "lab/sim/script.h"
#include "lab/sim/sim_member.h"

namespace decree::lab {

namespace {

constexpr size_t kHeldMax = 4000;  // socket buffers end

std::unique_ptr<Disk> make_disk(const Swarm& swarm) {
  return swarm.real_log ? make_wal_disk(swarm.segment_bytes) : make_model_disk();
}

}  // namespace

void RunStatistics::add(const RunStatistics& o) {
  events += o.events;
  operations += o.operations;
  ok += o.ok;
  failed += o.failed;
  unknown += o.unknown;
  slots += o.slots;
  ballots += o.ballots;
  restarts += o.restarts;
  snapshots_taken += o.snapshots_taken;
  snapshots_installed += o.snapshots_installed;
  forks += o.forks;
  stopped += o.stopped;
  refused += o.refused;
  halted += o.halted;
  halted_runs += o.halted_runs;
  disowned += o.disowned;
  quarantined += o.quarantined;
  core_runs += o.core_runs;
  lost += o.lost;
  duplicated += o.duplicated;
  straggled += o.straggled;
  for (uint32_t i = 0; i < kFaultKinds; ++i) faults[i] += o.faults[i];
  simulated_us += o.simulated_us;
}

World::World(uint64_t seed, const RunOptions& options)
    : World(seed, draw_swarm(seed, options.limits), options) {}

World::World(uint64_t seed, const Swarm& swarm, const RunOptions& options)
    : seed_(seed),
      options_(options),
      swarm_(swarm),
      random_(seed),
      client_random_(random_.fork()),
      fault_random_(random_.fork()),
      network_(swarm_.network, random_.fork()),
      atlas_(swarm_.members, swarm_.halting_run),
      ghost_(swarm_.members, swarm_.members / 2 + 1, swarm_.members / 2 + 1),
      trace_(options.trace),
      connected_((swarm_.members + 1) * (swarm_.members + 1), false),
      link_generation_((swarm_.members + 1) * (swarm_.members + 1), 0),
      held_((swarm_.members + 1) * (swarm_.members + 1)),
      fault_length_us_(swarm_.fault_length_us) {
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    members_.push_back(std::make_unique<SimMember>(*this, NodeId(n), make_disk(swarm_)));
  if (options.record != nullptr) recorder_ = std::make_unique<Recorder>(swarm_, options.record);
}

World::~World() = default;

RunResult World::run(const Schedule* schedule, size_t* steps_followed) {
  RunResult result;
  result.seed = seed_;
  if (trace_.wanted())
    note(0, "swarm", fmt::format("\"seed\":{},\"draw\":{}", seed_, json_string(describe(swarm_))));
  if (trace_.wanted()) ghost_.set_choice_log(&newly_chosen_);
  const CatchChecks catching;
  std::unique_ptr<Script> script;
  if (schedule != nullptr) script = std::make_unique<Script>(*this, *schedule);
  try {
    if (script) {
      script->run();
    } else {
      for (uint32_t n = 1; n <= swarm_.members; ++n)
        schedule_start(n, static_cast<int64_t>(random_.below(300'000)));
      start_clients();
      start_faults();
      Event phase;
      phase.kind = EventKind::phase;
      queue_.schedule(swarm_.fault_phase_us, phase);
      live();
    }
    if (!breach_) check_history();
  } catch (const CheckFailed& failed) {
    fail("check", failed.sentence);
  }
  if (script && steps_followed != nullptr) *steps_followed = script->followed();
  if (script) result.endless = script->endless();
  for (const Operation& op : history_) {
    ++statistics_.operations;
    (op.outcome == OpOutcome::ok     ? statistics_.ok
     : op.outcome == OpOutcome::fail ? statistics_.failed
                                     : statistics_.unknown) += 1;
    if (options_.history != nullptr) *options_.history << encode_operation(op) << '\n';
  }
  trace_.fold(ghost_.fingerprint());
  statistics_.slots = ghost_.chosen_prefix().value;
  statistics_.ballots = ghost_.ballots_seen();
  statistics_.simulated_us = queue_.now_us();
  statistics_.lost = network_.lost();
  statistics_.duplicated = network_.duplicated();
  statistics_.straggled = network_.straggled();
  result.breach = breach_;
  result.at_us = queue_.now_us();
  result.trace_hash = trace_.hash();
  result.statistics = statistics_;
  if (trace_.wanted() && breach_)
    note(0, "BROKEN",
         fmt::format("\"invariant\":\"{}\",\"sentence\":{}", breach_.invariant,
                     json_string(breach_.sentence)));
  return result;
}

void World::live() {
  while (!finished_ && !breach_ && !queue_.empty()) dispatch(queue_.pop());
}

bool World::wants_fork(Random& random, const Disk& disk) const {
  if (script_ != nullptr) return script_->wants_fork();
  if (!random.chance(swarm_.fork_check)) return false;
  // A long log takes its time to be read, and most of it is the same as at the last fork.
  constexpr double kShortLogBytes = 100'000;
  const auto log_bytes = static_cast<double>(disk.log_bytes());
  return log_bytes <= kShortLogBytes || random.chance(kShortLogBytes / log_bytes);
}

bool World::wants_restore(Random& random, uint64_t snapshot_bytes) const {
  constexpr double kSmallBytes = 5'000;
  const auto bytes = static_cast<double>(snapshot_bytes);
  return script_ != nullptr || bytes <= kSmallBytes || random.chance(kSmallBytes / bytes);
}

void World::dispatch(const Event& event) {
  ++statistics_.events;
  trace_.fold(static_cast<uint64_t>(event.at_us) * 64 + static_cast<uint64_t>(event.kind) * 8 + event.member);
  trace_.fold(event.a);
  switch (event.kind) {
    case EventKind::client_next:
      client_next(static_cast<uint32_t>(event.a));
      break;
    case EventKind::client_late:
      client_late(static_cast<uint32_t>(event.a), event.b);
      break;
    case EventKind::chore:
      on_chore();
      break;
    case EventKind::fault:
      on_fault(static_cast<FaultKind>(event.a));
      break;
    case EventKind::heal:
      on_heal(event.a);
      break;
    case EventKind::upset:
      upset(static_cast<uint32_t>(event.a));
      break;
    case EventKind::phase:
      on_phase();
      break;
    case EventKind::deliver:
      if (!is_caught(event)) member(event.member).handle(event);
      break;
    default:
      member(event.member).handle(event);
      break;
  }
  if (ghost_.breach() && !breach_) breach_ = ghost_.breach();
}

void World::fail(const char* invariant, std::string sentence) {
  if (breach_) return;
  breach_.invariant = invariant;
  breach_.sentence = std::move(sentence);
}

// ---- network ----

std::string World::arrival(const Fate& fate) const {
  std::string out;
  for (uint32_t i = 0; i < fate.copies; ++i)
    out += (i == 0 ? "" : ",") + std::to_string(queue_.now_us() + fate.delay_us[i]);
  return "[" + out + "]";  // empty: lost
}

void World::send(NodeId from, NodeId to, uint64_t boot, Message message) {
  trace_.fold(message_fingerprint(message) ^ to.value);
  const bool connected = connected_[from.value * (swarm_.members + 1) + to.value];
  const bool is_beat = std::holds_alternative<Beat>(message) || std::holds_alternative<BeatReply>(message);
  Fate fate;
  if (connected && script_ == nullptr) fate = network_.judge(from.value, to.value, is_beat, queue_.now_us());
  if (trace_.wanted() && (!is_beat || options_.trace_beats))
    note(from.value, "send",
         fmt::format("\"to\":{},\"boot\":{},\"arrives_us\":{},{}\"message\":\"{}\",{}", to.value, boot,
                     arrival(fate), fate.held ? "\"held\":true," : "", message_name(message),
                     trace_fields(message)));
  if (script_ != nullptr) {
    script_->on_send(from, to, std::move(message), connected);
    return;
  }
  const uint32_t ordinal = recorder_ ? recorder_->on_send(from.value, to.value, message.index()) : 0;
  if (fate.held) {
    std::deque<Flight>& held = held_[from.value * (swarm_.members + 1) + to.value].flights;
    if (held.size() < kHeldMax)
      held.push_back(Flight{from, to, std::move(message), ordinal, member(from.value).life()});
    return;
  }
  Event e;
  e.kind = EventKind::deliver;
  e.member = static_cast<uint8_t>(to.value);
  if (fate.copies == 2) {
    e.a = flights_.put(Flight{from, to, message, ordinal, member(from.value).life()});
    queue_.schedule(fate.delay_us[1], e);
  }
  if (fate.copies >= 1) {
    e.a = flights_.put(Flight{from, to, std::move(message), ordinal, member(from.value).life()});
    queue_.schedule(fate.delay_us[0], e);
  }
}

// A cut takes what is under way as well.
bool World::is_caught(const Event& event) {
  const Flight& flight = flights_[event.a];
  if (!network_.catches(flight.from.value, flight.to.value, queue_.now_us())) return false;
  Flight caught = flights_.take(event.a);
  Held& held = held_[caught.from.value * (swarm_.members + 1) + caught.to.value];
  if (network_.holds(caught.from.value, caught.to.value) && held.flights.size() < kHeldMax)
    held.flights.insert(held.flights.begin() + held.caught++, std::move(caught));
  else
    network_.lose_caught();
  return true;
}

// The link is open again and its connection lives: what was sent into the cut arrives, in order.
void World::release_held(uint32_t from, uint32_t to) {
  Held& held = held_[from * (swarm_.members + 1) + to];
  for (Flight& flight : held.flights) {
    Event e;
    e.kind = EventKind::deliver;
    e.member = static_cast<uint8_t>(to);
    e.a = flights_.put(std::move(flight));
    queue_.schedule(swarm_.network.delay_us, e);
  }
  held.clear();
}

void World::connect(uint32_t a, uint32_t b, int64_t delay_us) {
  if (!member(a).running() || !member(b).running()) return;
  if (!network_.is_open(a, b) || !network_.is_open(b, a)) return;
  if (recorder_ && !process_event_) recorder_->on_step(StepKind::connect, a, b);
  for (const auto& [x, y] : {std::pair{a, b}, std::pair{b, a}}) {
    connected_[x * (swarm_.members + 1) + y] = true;
    const uint64_t generation = ++link_generation_[x * (swarm_.members + 1) + y];
    Event e;
    e.kind = EventKind::link_notice;
    e.member = static_cast<uint8_t>(x);
    e.life = member(x).life();
    e.a = y;
    e.b = generation * 2 + 1;
    queue_.schedule(delay_us + static_cast<int64_t>(fault_random_.below(500)), e);
  }
}

void World::disconnect(uint32_t a, uint32_t b, int64_t delay_us) {
  if (recorder_ && !process_event_) recorder_->on_step(StepKind::disconnect, a, b);
  for (const auto& [x, y] : {std::pair{a, b}, std::pair{b, a}}) {
    connected_[x * (swarm_.members + 1) + y] = false;
    held_[x * (swarm_.members + 1) + y].clear();
    if (!member(x).running()) continue;
    Event e;
    e.kind = EventKind::link_notice;
    e.member = static_cast<uint8_t>(x);
    e.life = member(x).life();
    e.a = y;
    e.b = static_cast<uint64_t>(link_generation_[x * (swarm_.members + 1) + y]) * 2;
    queue_.schedule(delay_us + static_cast<int64_t>(fault_random_.below(500)), e);
  }
}

void World::on_process_end(uint32_t node) {
  ++statistics_.restarts;
  process_event_ = true;
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    if (n != node) disconnect(node, n, static_cast<int64_t>(fault_random_.below(3000)));
  process_event_ = false;
}

void World::on_process_start(uint32_t node) {
  process_event_ = true;
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    if (n != node) connect(node, n, static_cast<int64_t>(fault_random_.below(20'000)));
  process_event_ = false;
}

void World::schedule_start(uint32_t node, int64_t delay_us) {
  Event e;
  e.kind = EventKind::start;
  e.member = static_cast<uint8_t>(node);
  queue_.schedule(delay_us, e);
}

void World::tell_chosen(uint32_t member) {
  for (const Slot slot : newly_chosen_) {
    const ChosenSlot& c = *ghost_.chosen(slot);
    note(member, "decided",
         fmt::format("\"slot\":{},\"ballot\":\"{}\",\"request\":\"{}\",\"disks\":{},\"known_to_nobody\":true",
                     slot.value, show(c.ballot), show(c.id), swarm_.members / 2 + 1));
  }
  newly_chosen_.clear();
}

// ---- what was applied ----

void World::remember_request(RequestId id, uint32_t client) { requests_[id] = clients_[client].operation; }

void World::remember_request_again(RequestId id, RequestId former) {
  const auto it = requests_.find(former);
  if (it != requests_.end()) requests_[id] = it->second;
}

// Tells the history where operations of unknown outcome ended up.
void World::on_command_applied(uint32_t node, Slot slot, int64_t revision_before, int64_t revision_after) {
  if (trace_.wanted())
    note(node, "apply", fmt::format("\"slot\":{},\"revision\":{}", slot.value, revision_after));
  if (revision_after == revision_before) return;
  const ChosenSlot* chosen = ghost_.chosen(slot);
  if (chosen == nullptr) return;  // I8 will say so
  const auto it = requests_.find(chosen->id);
  if (it == requests_.end()) return;
  Operation& op = history_[it->second];
  applied_revisions_[it->second] = revision_after;
  if (op.outcome != OpOutcome::ok) op.revision = revision_after;
}

void World::check_history() {
  History history = history_;
  for (Operation& op : history)
    if (op.outcome == OpOutcome::fail && op.revision != 0 && op.may_write())
      return fail("I16", "a request that was refused for sure took a revision: " + describe(op));
  const Verdict whole = check_whole_store(history);
  if (whole.judgement == Judgement::bad) return fail("I15", whole.problem);
  // The search per key is exponential at worst: keys with many operations are left to the replay above.
  CheckLimits limits;
  limits.key_operations_max = 400;
  limits.steps_max = 200'000;
  const Verdict keys = check_keys(history, limits);
  if (keys.judgement == Judgement::bad) fail("I15", "per key: " + keys.problem);
}

}  // namespace decree::lab
