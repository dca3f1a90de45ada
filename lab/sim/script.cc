#include "lab/sim/script.h"

#include <algorithm>

#include <fmt/format.h>

#include "lab/sim/sim_member.h"

namespace decree::lab {

namespace {

// In one instant. Nothing says that members come to rest while no time passes; a schedule that asks for it
// cannot be followed, and proves nothing.
constexpr int kDeliveriesMax = 10'000;

}  // namespace

// ---- Recorder ----

Recorder::Recorder(const Swarm& swarm, Schedule* out) : out_(out) {
  *out_ = Schedule{};
  out_->swarm = swarm;
  out_->automatic_turns = out_->automatic_disks = out_->automatic_works = out_->automatic_notices = 0;
  out_->started = false;
}

void Recorder::on_step(StepKind kind, uint32_t member, uint32_t other, uint32_t n) {
  if (over_) return;
  Step step;
  step.kind = kind;
  step.member = static_cast<uint8_t>(member);
  step.other = static_cast<uint8_t>(other);
  step.n = n;
  out_->steps.push_back(step);
}

void Recorder::on_event(const World&, const Event& event, bool for_this_life) {
  if (!for_this_life) return;
  if (event.kind == EventKind::turn) on_step(StepKind::turn, event.member);
  if (event.kind == EventKind::link_notice)
    on_step(StepKind::notice, event.member, static_cast<uint32_t>(event.a), event.b % 2);
  if (event.kind == EventKind::work_done) {
    std::vector<uint64_t>& works = works_[event.member];
    const auto it = std::find(works.begin(), works.end(), event.a);
    on_step(StepKind::work, event.member, 0, static_cast<uint32_t>(it - works.begin()));
    if (it != works.end()) works.erase(it);
  }
  if (event.kind == EventKind::commit_done) {
    on_step(StepKind::disk, event.member);
    if (!writes_[event.member].empty()) {
      ended_[event.member] = writes_[event.member].front();
      writes_[event.member].pop_front();
    }
  }
}

void Recorder::on_tick(uint32_t member, uint64_t ticks) {
  on_step(ticks == 1 ? StepKind::time : StepKind::jump, member, 0, static_cast<uint32_t>(ticks));
}

void Recorder::on_request(uint32_t client, const Operation& op) {
  if (over_) return;
  on_step(StepKind::request, op.member, 0, client);
  out_->steps.back().operation = static_cast<uint32_t>(out_->operations.size());
  out_->operations.push_back(op);
}

void Recorder::on_deliver(uint32_t from, uint32_t to, size_t kind, uint32_t ordinal) {
  if (over_) return;
  on_step(StepKind::deliver, from, to, sent_[from][to][kind] - 1 - ordinal);
  out_->steps.back().what = static_cast<uint8_t>(kind);
}

void Recorder::on_commit(uint32_t member) {
  writes_[member].push_back(out_->steps.empty() ? 0 : out_->steps.size() - 1);
}

void Recorder::on_work(uint32_t member, uint64_t number) { works_[member].push_back(number); }

void Recorder::on_crash(uint32_t member, bool power, uint64_t fate, bool writing) {
  if (over_) return;
  // It died while that write was about to end: the write did not.
  if (writing && !out_->steps.empty() && out_->steps.back().kind == StepKind::disk &&
      out_->steps.back().member == member) {
    out_->steps.pop_back();
    writes_[member].push_front(ended_[member]);
  }
  // With automatic disks nothing would be under way any more: the disk has to hang from that write on.
  if (writing && !writes_[member].empty()) {
    Step hold;
    hold.kind = StepKind::hold;
    hold.member = static_cast<uint8_t>(member);
    const size_t at = std::min(writes_[member].front(), out_->steps.size());
    out_->steps.insert(out_->steps.begin() + static_cast<ptrdiff_t>(at), hold);
    for (auto& writes : writes_)
      for (size_t& began : writes)
        if (began >= at) ++began;
  }
  writes_[member].clear();
  works_[member].clear();
  on_step(StepKind::crash, member);
  out_->steps.back().what = power ? 1 : 0;
  out_->steps.back().fate = fate;
}

void Recorder::on_change(uint32_t member, bool roles, uint64_t fate) {
  if (over_) return;
  on_step(StepKind::change, member);
  out_->steps.back().what = roles ? 1 : 0;
  out_->steps.back().fate = fate;
}

void Recorder::on_harm(uint32_t member, Harm what, uint32_t n, uint64_t fate) {
  if (over_) return;
  on_step(StepKind::harm, member, 0, n);
  out_->steps.back().what = static_cast<uint8_t>(what);
  out_->steps.back().fate = fate;
}

void Recorder::on_faults_end() {
  if (over_) return;
  over_ = true;
  out_->settle = true;
}

// ---- Script ----

Script::Script(World& world, const Schedule& schedule) : world_(world), schedule_(schedule) {
  const size_t n = world.swarm_.members + 1;
  sent_.resize(n * n);
  turns_.resize(n);
  disks_.resize(n);
  works_.resize(n);
  notices_.resize(n);
  held_.resize(n, false);
}

void Script::run() {
  world_.script_ = this;
  world_.start_clients();
  for (uint32_t n = 1; n <= world_.swarm_.members && schedule_.started; ++n) world_.member(n).start();
  pump();
  for (; at_ < schedule_.steps.size() && !world_.breach_ && !endless_; ++at_) {
    const Step& step = schedule_.steps[at_];
    followed_ = at_ + 1;
    world_.queue_.pass(1);
    if (world_.trace_.wanted())
      world_.note(step.member, "step",
                  fmt::format("\"number\":{},\"text\":{}", at_ + 1, json_string(describe(step, schedule_))));
    apply(step);
    pump();
  }
  if (world_.breach_ || endless_) return;
  followed_ = kAll;
  if (schedule_.settle) settle();
}

void Script::on_send(NodeId from, NodeId to, Message message, bool connected) {
  const size_t kind = message.index();
  if (schedule_.automatic_messages[kind]) {
    if (connected) automatic_.push_back(Flight{from, to, std::move(message)});
    return;
  }
  auto& sent = sent_[from.value * (world_.swarm_.members + 1) + to.value][kind];
  sent.emplace_back();
  if (connected) sent.back() = std::move(message);
  if (sent.size() > kSentKept) sent.pop_front();
}

void Script::apply(const Step& step) {
  if (step.member > world_.swarm_.members || step.other > world_.swarm_.members) return;
  if (step.kind == StepKind::time) return time(step);
  if (step.kind == StepKind::request) return ask(step);
  if (step.kind == StepKind::give_up) {
    if (step.n < world_.clients_.size()) world_.client_late(step.n, world_.clients_[step.n].serial);
    return;
  }
  if (step.member == 0) return;
  SimMember& m = world_.member(step.member);
  switch (step.kind) {
    case StepKind::jump:
      m.tick_by(step.n);
      break;
    case StepKind::deliver: {
      const auto& sent = sent_[step.member * (world_.swarm_.members + 1) + step.other][step.what];
      if (step.other == 0 || step.n >= sent.size()) break;
      if (const std::optional<Message>& message = sent[sent.size() - 1 - step.n])
        deliver(NodeId(step.member), NodeId(step.other), *message);
      break;
    }
    case StepKind::crash:
      held_[step.member] = false;
      for (auto* held : {&turns_, &disks_, &works_, &notices_}) (*held)[step.member].clear();
      m.crash(step.what == 1 ? CrashKind::power : CrashKind::process, step.fate);
      break;
    case StepKind::compact:
      m.ask_compaction(step.n, step.other == 1);
      break;
    case StepKind::change:
      m.ask_change(step.fate, step.what == 1);
      break;
    case StepKind::harm:
      if ((step.what > static_cast<uint8_t>(Harm::old_image) &&
           step.what != static_cast<uint8_t>(Harm::diverge)) ||
          world_.atlas_.may_damage(step.member))
        m.harm(static_cast<Harm>(step.what), step.n, step.fate);
      break;
    case StepKind::start:
      if (!m.running()) m.start();
      break;
    case StepKind::pause:
      if (m.running()) m.pause();
      break;
    case StepKind::resume:
      m.resume();
      break;
    case StepKind::connect:
      if (step.other != 0) world_.connect(step.member, step.other, 0);
      break;
    case StepKind::disconnect:
      if (step.other != 0) world_.disconnect(step.member, step.other, 0);
      break;
    case StepKind::transfer:
      m.ask_transfer(NodeId(step.other));
      break;
    case StepKind::hold:
      held_[step.member] = true;
      break;
    case StepKind::release:
      held_[step.member] = false;
      while (!disks_[step.member].empty()) one_of(disks_, step.member);
      break;
    case StepKind::disk:
      one_of(disks_, step.member);
      break;
    case StepKind::work:
      one_of(works_, step.member, step.n);
      break;
    case StepKind::notice: {
      std::deque<Event>& notices = notices_[step.member];
      // The newest one: an older one is about a connection that is no more.
      const auto it = std::find_if(notices.rbegin(), notices.rend(), [&step](const Event& e) {
        return e.a == step.other && e.b % 2 == step.n;
      });
      if (it == notices.rend()) break;
      const Event event = *it;
      notices.erase(std::next(it).base());
      world_.dispatch(event);
      break;
    }
    case StepKind::turn:
      one_of(turns_, step.member);
      break;
    default:
      break;
  }
}

void Script::time(const Step& step) {
  for (uint32_t i = 0; i < step.n && !world_.breach_ && !endless_; ++i) {
    // The clocks of all members together are one time.
    world_.queue_.pass(step.member == 0 ? world_.swarm_.tick_us
                                        : world_.swarm_.tick_us / world_.swarm_.members);
    for (uint32_t n = 1; n <= world_.swarm_.members; ++n)
      if (step.member == 0 || step.member == n) world_.member(n).tick_by(1);
    pump();
  }
}

void Script::ask(const Step& step) {
  if (step.n >= world_.clients_.size() || step.operation >= schedule_.operations.size()) return;
  World::Client& client = world_.clients_[step.n];
  if (client.waiting) world_.finish(step.n, client.serial, OpOutcome::unknown);
  Operation op = schedule_.operations[step.operation];
  op.client = step.n;
  op.member = step.member;
  op.invoke_ns = world_.now_ns();
  client.member = step.member;
  client.operation = world_.history_.size();
  client.waiting = true;
  ++client.serial;
  world_.history_.push_back(std::move(op));
  Event e;
  e.kind = EventKind::request;
  e.member = step.member;
  e.a = step.n;
  e.b = static_cast<uint32_t>(client.serial);
  world_.dispatch(e);
}

void Script::deliver(NodeId from, NodeId to, Message message) {
  Event e;
  e.kind = EventKind::deliver;
  e.member = static_cast<uint8_t>(to.value);
  e.a = world_.flights_.put(Flight{from, to, std::move(message)});
  world_.dispatch(e);
}

void Script::one_of(std::vector<std::deque<Event>>& held, uint32_t member, size_t which) {
  if (held[member].size() <= which) return;
  const Event event = held[member][which];
  held[member].erase(held[member].begin() + static_cast<ptrdiff_t>(which));
  world_.dispatch(event);
}

// What follows by itself. The bound is for members that would go on for ever without time passing.
void Script::pump() {
  for (int rounds = 0; rounds < 1000 && !world_.breach_; ++rounds)
    if (!pump_once()) return;
}

bool Script::pump_once() {
  bool any = false;
  for (const Event& event : world_.queue_.take_all()) {
    if (world_.breach_) return false;
    any = take(event) || any;
  }
  for (int deliveries = 0; !automatic_.empty() && !world_.breach_; ++deliveries) {
    if (deliveries == kDeliveriesMax) {
      endless_ = true;
      return false;
    }
    Flight flight = std::move(automatic_.front());
    automatic_.pop_front();
    deliver(flight.from, flight.to, std::move(flight.message));
    any = true;
  }
  return any;
}

// True: something happened.
bool Script::take(const Event& event) {
  const uint32_t n = event.member;
  switch (event.kind) {
    case EventKind::turn:
      if ((schedule_.automatic_turns >> n & 1) != 0) break;
      turns_[n].push_back(event);
      return false;
    case EventKind::commit_done:
      if ((schedule_.automatic_disks >> n & 1) != 0 && !held_[n]) break;
      disks_[n].push_back(event);
      return false;
    case EventKind::work_done:
      if ((schedule_.automatic_works >> n & 1) != 0) break;
      works_[n].push_back(event);
      return false;
    case EventKind::link_notice:
      if ((schedule_.automatic_notices >> n & 1) != 0) break;
      notices_[n].push_back(event);
      return false;
    case EventKind::deliver:
    case EventKind::request:
      break;
    default:
      return false;  // clocks, clients and faults have their steps
  }
  world_.dispatch(event);
  return true;
}

// From here on the world goes on by itself, without faults.
void Script::settle() {
  for (uint32_t n = 1; n <= world_.swarm_.members; ++n) {
    held_[n] = false;
    for (auto* held : {&turns_, &disks_, &works_, &notices_})
      while (!(*held)[n].empty()) one_of(*held, n);
  }
  if (world_.breach_) return;
  for (uint32_t n = 1; n <= world_.swarm_.members; ++n) world_.member(n).let_clock_run();
  world_.note(0, "step", fmt::format("\"number\":{},\"text\":\"all faults end\"", at_ + 1));
  world_.script_ = nullptr;
  world_.settle_within_us_ = 60'000'000;
  world_.clients_on_ = false;
  world_.on_phase();
  world_.live();
}

ScriptResult follow(const Schedule& schedule, std::ostream* trace, std::ostream* history) {
  RunOptions options;
  options.trace = trace;
  options.history = history;
  options.early_persisted = schedule.early_persisted;
  World world(1, schedule.swarm, options);
  ScriptResult result;
  result.run = world.run(&schedule, &result.steps_followed);
  return result;
}

}  // namespace decree::lab
