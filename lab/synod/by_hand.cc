// A synod run in somebody's hands: what they do between two steps, and what they see.
#include <fmt/format.h>

#include <algorithm>

#include "lab/sim/disk.h"
#include "lab/synod/world.h"
#include "paxos/acceptor.h"

namespace decree::lab {

void SynodWorld::apply_hand(const SynodHandAction& hand) {
  switch (hand.act) {
    case SynodHand::crash:
      return crash(hand.a, false, "");
    case SynodHand::restart:
      return handle(Event{Kind::restart, hand.a, 0, 0});
    case SynodHand::cut:
    case SynodHand::join:
      return cut_by_hand(hand.a, hand.b, hand.act == SynodHand::cut);
    case SynodHand::rival:
      return make_rival(hand.a);
    case SynodHand::drop:
    case SynodHand::delay:
    case SynodHand::deliver:
      return move_message(hand);
  }
}

void SynodWorld::cut_by_hand(uint32_t a, uint32_t b, bool cut) {
  for (const std::pair<uint32_t, uint32_t>& way : {std::pair{a, b}, std::pair{b, a}}) {
    if (cut)
      severed_.insert(way);
    else
      severed_.erase(way);
  }
  note(0, "FAULT", Ballot{}, fmt::format("p{} and p{} {} each other", a, b, cut ? "cannot reach" : "reach"));
}

void SynodWorld::move_message(const SynodHandAction& hand) {
  const auto flight = flights_.find(hand.message);
  const auto event = std::find_if(events_.begin(), events_.end(), [&](const auto& e) {
    return e.second.kind == Kind::deliver && e.second.number == hand.message;
  });
  if (flight == flights_.end() || event == events_.end()) {
    note(0, "FAULT", Ballot{}, fmt::format("message {} is not under way any more", hand.message));
    return;
  }
  const Flight& m = flight->second;
  const std::string which =
      fmt::format("the {} from p{} to p{}", message_name(m.message), m.from.value, m.to.value);
  const uint64_t due = event->first;
  const Event arrival = event->second;
  events_.erase(event);
  if (hand.act == SynodHand::drop) {
    ++result_.lost;
    note(m.to.value, "FAULT", Ballot{}, which + " is lost");
    json_flight("lost", hand.message, m);
    flights_.erase(flight);
    return;
  }
  if (hand.act == SynodHand::delay) {
    note(m.to.value, "FAULT", Ballot{}, fmt::format("{} comes {} ms later", which, hand.ms));
    events_.emplace(due + hand.ms, arrival);
    return;
  }
  note(m.to.value, "FAULT", Ballot{}, which + " comes next");
  events_.emplace_hint(events_.begin(), now_ms_, arrival);  // before all others of this millisecond
}

SynodView SynodWorld::view() const {
  SynodView v;
  v.step = step_;
  v.now_ms = now_ms_;
  v.finished = finished();
  for (uint32_t p = 1; p <= options_.processes; ++p) v.processes.push_back(view_of(p));
  for (const auto& [due, event] : events_) {
    if (event.kind != Kind::deliver) continue;
    const Flight& m = flights_.at(event.number);
    v.flights.push_back({event.number, m.from.value, m.to.value, message_name(m.message), due});
  }
  v.cuts.assign(severed_.begin(), severed_.end());
  if (!calm()) v.cuts.insert(v.cuts.end(), cuts_.begin(), cuts_.end());
  v.point = result_.point;
  v.first_known_ms = result_.first_known_ms;
  v.breach = result_.breach;
  ConsensusRun run = result_.run;
  for (const Process& p : processes_) {
    run.processes.push_back(*p.outcome);
    run.processes.back().correct = p.replica != nullptr;
  }
  v.verdicts = check_run(run);
  return v;
}

SynodProcessView SynodWorld::view_of(uint32_t p) const {
  const Process& process = processes_[p - 1];
  RecoveredState disk;
  for (const Record& record : process.log) replay(record, &disk);
  SynodProcessView v;
  v.process = p;
  v.up = process.replica != nullptr;
  v.killed = process.killed;
  v.writing = !process.unsynced.empty();
  v.promised_durable = disk.promised;
  v.input = process.outcome->input;
  if (!process.outcome->output.blank()) v.output = process.outcome->output.value();
  if (!v.up) {
    v.promised = disk.promised;
    for (const auto& [slot, held] : disk.accepted)
      v.log.push_back({slot, held.ballot, held.law, true, held.law || slot <= disk.decided_hint,
                       held.entry.kind, value_shown(held.entry)});
    return v;
  }
  const ReplicaStatus status = process.replica->status();
  v.role = status.role;
  v.promised = status.promised;
  v.leader = status.leader;
  const paxos::LogWindow& log = process.replica->acceptor().log();
  for (Slot s = log.first(); s < log.end(); s = s.next()) {
    const paxos::LogSlot* held = log.find(s);
    if (held == nullptr) continue;
    const auto durable = disk.accepted.find(s);
    const bool same =
        durable != disk.accepted.end() && (durable->second.law || durable->second.ballot == held->ballot);
    v.log.push_back(
        {s, held->ballot, held->law, same, s <= status.decided, held->entry.kind, value_shown(held->entry)});
  }
  return v;
}

}  // namespace decree::lab
