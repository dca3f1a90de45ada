#include "lab/synod/world.h"

#include <algorithm>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/disk.h"
#include "lab/sim/trace.h"
#include "paxos/acceptor.h"

namespace decree::lab {

namespace {

constexpr uint64_t kTickMs = 10;

Membership group(uint32_t n) {
  std::vector<Member> list;
  for (uint32_t p = 1; p <= n; ++p) {
    Member m;
    m.node = NodeId(p);
    m.member_id = p;
    m.name = fmt::format("p{}", p);
    list.push_back(m);
  }
  return make_membership(list);
}

Entry input_entry(uint32_t p, uint64_t boot, const std::string& text) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(p), boot, 1};
  e.payload = std::make_shared<const std::string>(text);
  uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  e.digest = chain_link(Digest128{h, text.size()}, Slot(p), Digest128{boot, 1});
  return e;
}

}  // namespace

SynodWorld::SynodWorld(const SynodOptions& options, uint64_t kill_step)
    : options_(options),
      kill_step_(kill_step),
      random_(options.seed),
      membership_(group(options.processes)),
      processes_(options.processes),
      ghost_(options.processes, membership_.election_quorum, membership_.bill_quorum),
      point_ghost_(options.processes, membership_.election_quorum,
                   membership_.bill_quorum - options.point_votes_missing) {
  DECREE_CHECK(options.inputs.size() == options.processes, "every process has an input");
  for (uint32_t p = 1; p <= options.processes; ++p)
    at(p).outcome = ProcessOutcome{p, options.inputs[p - 1], WriteOnce{}, true};
}

void SynodWorld::schedule(uint64_t delay_ms, Event event) { events_.emplace(now_ms_ + delay_ms, event); }

void SynodWorld::begin() {
  result_.run.name = fmt::format("seed {}", options_.seed);
  for (uint32_t p = 1; p <= options_.processes; ++p) boot(p);
  for (uint32_t p = 1; p <= options_.processes; ++p) link_all(p);
  for (size_t i = 0; i < options_.schedule.actions.size(); ++i)
    events_.emplace(options_.schedule.actions[i].at_ms, Event{Kind::act, 0, 0, i});
  apply_due_hands();
}

bool SynodWorld::step() {
  if (events_.empty() || now_ms_ >= options_.horizon_ms) return false;
  const auto first = events_.begin();
  now_ms_ = first->first;
  const Event event = first->second;
  events_.erase(first);
  ++step_;
  handle(event);
  look_for_breach();
  apply_due_hands();
  return true;
}

void SynodWorld::look_for_breach() {
  if (const Breach& breach = ghost_.breach(); breach && result_.breach.empty())
    result_.breach = breach.invariant + ": " + breach.sentence;
}

void SynodWorld::apply_due_hands() {
  const auto& hands = options_.schedule.by_hand;
  while (hands_done_ < hands.size() && hands[hands_done_].after_step <= step_) {
    apply_hand(hands[hands_done_++]);
    look_for_breach();
  }
}

SynodResult SynodWorld::run() {
  begin();
  while (!finished() && step()) {
  }
  for (Process& p : processes_) {
    p.outcome->correct = p.replica != nullptr;
    result_.run.processes.push_back(*p.outcome);
  }
  result_.steps = step_;
  result_.ended_ms = now_ms_;
  result_.ballots = ghost_.ballots_seen();
  result_.hash ^= ghost_.fingerprint();
  return std::move(result_);
}

bool SynodWorld::finished() const {
  if (hands_done_ < options_.schedule.by_hand.size()) return false;
  for (const Process& p : processes_)
    if (p.replica != nullptr && p.outcome->output.blank()) return false;
  return calm();
}

void SynodWorld::handle(const Event& event) {
  if (event.kind == Kind::act) return act(options_.schedule.actions[event.number]);
  Process& p = at(event.process);
  if (event.kind == Kind::restart) {
    if (p.killed || p.replica != nullptr) return;
    boot(event.process);
    link_all(event.process);
    return;
  }
  Flight flight;
  if (event.kind == Kind::deliver) {
    flight = std::move(flights_.at(event.number));
    flights_.erase(event.number);
  }
  if (p.replica == nullptr || event.life != p.life) {
    if (event.kind == Kind::deliver) json_flight("lost", event.number, flight);
    return;
  }
  switch (event.kind) {
    case Kind::tick:
      schedule(kTickMs, event);
      return turn(event.process, {Ticked{Tick(now_ms_ / kTickMs)}});
    case Kind::deliver:
      if (!reaches(flight.from.value, flight.to.value)) {
        ++result_.lost;
        return json_flight("lost", event.number, flight);
      }
      json_flight("deliver", event.number, flight);
      return turn(event.process, {Received{flight.from, flight.message}});
    case Kind::sync:
      if (options_.kill == KillLeader::before_point && step_ == kill_step_)
        return kill_leader_instead(event.process);
      return on_sync(event.process);
    case Kind::act:
    case Kind::restart:
      return;
  }
}

bool SynodWorld::reaches(uint32_t from, uint32_t to) const {
  if (severed_.count({from, to}) != 0) return false;
  return calm() || (cuts_.count({from, to}) == 0 && cuts_.count({0, to}) == 0);
}

void SynodWorld::boot(uint32_t p) {
  Process& process = at(p);
  RecoveredState found;
  found.identity.node = NodeId(p);
  found.boot = ++process.boots;
  for (const Record& record : process.log) replay(record, &found);
  for (Ghost* ghost : {&ghost_, &point_ghost_}) ghost->on_start(NodeId(p), found);
  if (process.boots > 1) {
    std::string held = "nothing accepted";
    for (const auto& [slot, accepted] : found.accepted)
      if (accepted.entry.kind == EntryKind::command)
        held = fmt::format("{} accepted in {}", value_of(accepted.entry),
                           accepted.law ? "a Law" : show_round(accepted.ballot));
    note(p, "FAULT", Ballot{},
         fmt::format("p{} restarts and looks at its log: promised {}, {}", p,
                     found.promised.is_none() ? "nothing" : show_round(found.promised), held));
  }
  json(process.boots > 1 ? "restart" : "start", p,
       fmt::format("\"promised\":\"{}\",\"input\":{}", show(found.promised),
                   json_string(process.outcome->input)));
  Options core;
  core.seed = options_.seed * 16 + p;
  process.replica = std::make_unique<Replica>(std::move(found), membership_, core);
  ++process.life;
  process.role = Role::follower;
  process.known = Slot(0);
  schedule(random_.below(kTickMs) + 1, Event{Kind::tick, p, process.life, 0});
}

void SynodWorld::link_all(uint32_t p) {
  for (uint32_t q = 1; q <= options_.processes; ++q) {
    if (q == p || at(q).replica == nullptr) continue;
    turn(p, {PeerLink{NodeId(q), true}});
    turn(q, {PeerLink{NodeId(p), false}, PeerLink{NodeId(p), true}});
  }
}

void SynodWorld::crash(uint32_t p, bool for_good, const char* why) {
  Process& process = at(p);
  process.killed = process.killed || for_good;
  if (process.replica == nullptr) return;
  process.replica.reset();
  ++result_.crashes;
  note(p, "FAULT", Ballot{},
       fmt::format("p{} crashes{}{}", p, why,
                   process.unsynced.empty() ? "" : "; what it was writing to its log is lost"));
  json("crash", p, fmt::format("\"for_good\":{}", for_good));
  process.unsynced.clear();
}

void SynodWorld::turn(uint32_t p, const std::vector<Input>& inputs) {
  Process& process = at(p);
  Effects effects;
  for (const Input& input : inputs) process.replica->step(input, effects);
  tell_role(p);
  propose_own(p, effects);
  process.replica->end_turn(effects);
  tell_role(p);
  for (Ghost* ghost : {&ghost_, &point_ghost_}) {
    ghost->on_handed_out(NodeId(p), effects.persist);
    ghost->on_step(NodeId(p), *process.replica);
  }
  for (std::vector<Outgoing>* queue : {&effects.send_now, &effects.released})
    for (Outgoing& out : *queue) send(p, out);
  for (const DecidedEntry& entry : effects.decided) apply(p, entry);
  if (!effects.persist.empty()) {
    process.unsynced.push_back(std::move(effects.persist));
    if (process.unsynced.size() == 1)
      schedule(random_.between(1, calm() ? 10 : options_.schedule.sync_ms_max),
               Event{Kind::sync, p, process.life, 0});
  }
  if (const std::string broken = process.replica->broken_invariant();
      !broken.empty() && result_.breach.empty())
    result_.breach = fmt::format("p{}: {}", p, broken);
  for (const Job& job : effects.jobs)
    DECREE_CHECK(!std::holds_alternative<SendSnapshotJob>(job), "nobody truncates a log of one decision");
}

// The notes' rule: a leader that learned of a value uses that value, else its own.
void SynodWorld::propose_own(uint32_t p, Effects& effects) {
  Process& process = at(p);
  const bool leads_now = std::any_of(effects.jobs.begin(), effects.jobs.end(), [](const Job& job) {
    const auto* change = std::get_if<LeadershipChanged>(&job);
    return change != nullptr && change->is_self;
  });
  if (!leads_now || process.replica->status().role != Role::leader) return;
  const Acceptor& acceptor = process.replica->acceptor();
  for (Slot s(1); s < acceptor.next_acceptable(); s = s.next()) {
    const paxos::LogSlot* held = acceptor.log().find(s);
    if (held != nullptr && held->entry.kind == EntryKind::command) {
      note(p, "BILL", process.replica->status().leader,
           fmt::format(
               "p{} proposes {}: its Election found it accepted before, so it may not propose its own {}", p,
               value_of(held->entry), process.outcome->input));
      return;
    }
  }
  note(p, "BILL", process.replica->status().leader,
       fmt::format("p{} proposes {}, its own input: nobody in its quorum had accepted anything", p,
                   process.outcome->input));
  process.replica->step(Propose{input_entry(p, process.boots, process.outcome->input)}, effects);
}

void SynodWorld::send(uint32_t p, Outgoing& out) {
  for (Ghost* ghost : {&ghost_, &point_ghost_}) ghost->on_send(NodeId(p), at(p).boots, out.message);
  tell_sent(p, out);
  const uint64_t number = next_flight_++;
  ++result_.messages;
  result_.hash = (result_.hash ^ message_fingerprint(out.message) ^ now_ms_) * 0x9e3779b97f4a7c15ULL;
  Flight flight{NodeId(p), out.to, std::move(out.message)};
  json_flight("send", number, flight);
  const auto& lose = options_.schedule.lose;
  const bool named = std::find(lose.begin(), lose.end(), message_name(flight.message)) != lose.end();
  const bool lost = !calm() && (random_.below(1000) < options_.schedule.loss_permille || named);
  const uint64_t delay = random_.between(1, calm() ? 20 : options_.schedule.delay_ms_max);
  if (lost) {
    ++result_.lost;
    return json_flight("lost", number, flight);
  }
  schedule(delay, Event{Kind::deliver, out.to.value, at(out.to.value).life, number});
  flights_.emplace(number, std::move(flight));
}

void SynodWorld::on_sync(uint32_t p) {
  Process& process = at(p);
  std::vector<PersistedRecord> batch = std::move(process.unsynced.front());
  process.unsynced.pop_front();
  for (Ghost* ghost : {&ghost_, &point_ghost_}) ghost->on_durable(NodeId(p), batch);
  for (const PersistedRecord& r : batch) process.log.push_back(r.record);
  tell_synced(p, batch);
  look_for_point(p);
  if (process.replica == nullptr) return;  // killed at the point
  if (!process.unsynced.empty())
    schedule(random_.between(1, calm() ? 10 : options_.schedule.sync_ms_max),
             Event{Kind::sync, p, process.life, 0});
  turn(p, {Persisted{batch.back().token}});
}

// Asks the ghost, which knows all disks, whether the first value of the log has become irrevocable in this
// step.
void SynodWorld::look_for_point(uint32_t p) {
  while (!result_.point && point_scanned_ < point_ghost_.chosen_prefix()) {
    point_scanned_ = point_scanned_.next();
    const ChosenSlot* chosen = point_ghost_.chosen(point_scanned_);
    if (chosen->kind != EntryKind::command) continue;
    result_.point = PointOfNoReturn{step_, now_ms_, p, chosen->ballot, value_of(chosen->id)};
    note(p, "POINT", chosen->ballot,
         fmt::format(
             "*** POINT OF NO RETURN (step {}): with this write a quorum of {} has {} in its logs at one "
             "ballot. It is decided; nobody knows it yet ***",
             step_, membership_.bill_quorum, result_.point->value));
    json("point_of_no_return", p,
         fmt::format("\"ballot\":\"{}\",\"value\":{}", show(chosen->ballot),
                     json_string(result_.point->value)));
  }
  if (result_.point && options_.kill == KillLeader::after_point && !killed_leader_) {
    killed_leader_ = true;
    crash(result_.point->ballot.node.value, true,
          " for good: the leader dies right after the point of no return");
  }
}

void SynodWorld::kill_leader_instead(uint32_t p) {
  Ballot ballot;
  for (const PersistedRecord& r : at(p).unsynced.front())
    if (const auto* accept = std::get_if<AcceptRecord>(&r.record)) ballot = accept->ballot;
  killed_leader_ = true;
  crash(ballot.node.value, true, " for good: the leader dies one step before the point of no return");
  if (p == ballot.node.value) return;
  crash(p, false, " with it, in the middle of the write that would have decided");
  schedule(50, Event{Kind::restart, p, 0, 0});
}

std::string SynodWorld::value_of(const RequestId& id) const {
  return processes_[id.node.value - 1].outcome->input;
}

void SynodWorld::apply(uint32_t p, const DecidedEntry& decided) {
  for (Ghost* ghost : {&ghost_, &point_ghost_}) ghost->on_applied(NodeId(p), decided.slot, decided.chain);
  if (decided.entry.kind != EntryKind::command) return;
  WriteOnce& y = at(p).outcome->output;
  // y_p is on the process's disk: reading the same Law again after a restart, or a later command of the log,
  // is no new decision. Another value in the same place would be.
  for (Slot s(1); s < decided.slot; s = s.next()) {
    const paxos::LogSlot* below = at(p).replica->acceptor().log().find(s);
    if (below != nullptr && below->entry.kind == EntryKind::command) return;
  }
  const std::string value = value_of(decided.entry);
  if (!y.blank() && y.value() == value) return;
  y.write(value);
  note(p, "OUTPUT", Ballot{}, fmt::format("y_{} := {}", p, value));
  json("output", p, fmt::format("\"value\":{}", json_string(value)));
}

void SynodWorld::make_rival(uint32_t rival) {
  for (uint32_t p = 1; p <= options_.processes; ++p) {
    if (p == rival || at(p).replica == nullptr) continue;
    if (at(p).replica->status().role != Role::leader) continue;
    note(rival, "FAULT", Ballot{},
         fmt::format("p{} is to become a would-be leader while p{} leads", rival, p));
    turn(p, {TransferLeadership{NodeId(rival)}});
  }
}

void SynodWorld::act(const SynodAction& action) {
  if (calm() && action.act != SynodAct::restart) return;
  switch (action.act) {
    case SynodAct::crash:
      return crash(action.a, false, "");
    case SynodAct::restart:
      return handle(Event{Kind::restart, action.a, 0, 0});
    case SynodAct::cut:
      cuts_.insert({action.a, action.b});
      cuts_.insert({action.b, action.a});
      note(0, "FAULT", Ballot{}, fmt::format("p{} and p{} cannot reach each other", action.a, action.b));
      break;
    case SynodAct::deafen:
      cuts_.insert({0, action.a});
      note(0, "FAULT", Ballot{}, fmt::format("nothing reaches p{} any more", action.a));
      break;
    case SynodAct::heal:
      cuts_.clear();
      note(0, "FAULT", Ballot{}, "all cuts end");
      break;
    case SynodAct::rival:
      make_rival(action.a);
      return;
  }
  json("network", action.a, fmt::format("\"act\":{},\"other\":{}", static_cast<int>(action.act), action.b));
}

}  // namespace decree::lab
