// The story of a synod run in the words of the notes, and its trace as JSON lines.
#include <fmt/format.h>

#include "lab/sim/trace.h"
#include "lab/synod/world.h"
#include "paxos/acceptor.h"

namespace decree::lab {

void SynodWorld::note(uint32_t p, const char* phase, const Ballot& ballot, std::string text) {
  json("note", p,
       fmt::format("\"phase\":\"{}\",\"ballot\":\"{}\",\"text\":{}", phase, show(ballot), json_string(text)));
  if (options_.story) options_.story(SynodNote{step_, now_ms_, p, phase, ballot, std::move(text)});
}

void SynodWorld::json(const char* what, uint32_t p, const std::string& fields) {
  if (!options_.json_line) return;
  options_.json_line(fmt::format("{{\"step\":{},\"ms\":{},\"process\":{},\"what\":\"{}\"{}{}}}", step_,
                                 now_ms_, p, what, fields.empty() ? "" : ",", fields));
}

void SynodWorld::json_flight(const char* what, uint64_t number, const Flight& flight) {
  if (!options_.json_line) return;
  const uint32_t where = what == std::string_view("send") ? flight.from.value : flight.to.value;
  json(what, where,
       fmt::format("\"id\":{},\"from\":{},\"to\":{},\"message\":\"{}\",{}", number, flight.from.value,
                   flight.to.value, message_name(flight.message), trace_fields(flight.message)));
}

void SynodWorld::tell_sent(uint32_t p, const Outgoing& out) {
  if (!options_.story && !options_.json_line) return;
  Process& process = at(p);
  if (const auto* prepare = std::get_if<Prepare>(&out.message)) {
    if (prepare->ballot == process.asked) return;
    process.asked = prepare->ballot;
    note(p, "ELECTION", prepare->ballot,
         fmt::format("p{} logged the new ballot and asks all to promise it (Prepare)", p));
  } else if (const auto* promise = std::get_if<Promise>(&out.message)) {
    std::string report = "it has accepted nothing";
    const paxos::LogWindow& log = process.replica->acceptor().log();
    for (const PromiseRun& run : promise->runs)
      for (Slot s = run.slots.first; s < run.slots.end; s = s.next()) {
        const paxos::LogSlot* held = log.find(s);
        if (held != nullptr && held->entry.kind == EntryKind::command)
          report = fmt::format("it reports {} accepted in {}", value_of(held->entry), show_round(run.ballot));
      }
    if (promise->decided > Slot(0) && promise->runs.empty())
      report = fmt::format("it knows a Law up to slot {}", promise->decided.value);
    note(p, "ELECTION", promise->ballot,
         fmt::format("p{} logged its promise and votes for p{}; {}", p, out.to.value, report));
  } else if (const auto* nack = std::get_if<Nack>(&out.message)) {
    note(p, "ELECTION", nack->ballot,
         fmt::format("p{} refuses p{}: it has promised {}", p, out.to.value, show_round(nack->promised)));
  } else if (const auto* accept = std::get_if<Accept>(&out.message)) {
    if (accept->ballot == process.proposed || accept->entries.empty()) return;
    process.proposed = accept->ballot;
    note(p, "BILL", accept->ballot, fmt::format("p{} sends its Bill to all (Accept)", p));
  } else if (const auto* law = std::get_if<Law>(&out.message)) {
    if (law->decided == Slot(0)) return;
    note(p, "LAW", law->ballot,
         fmt::format("p{} tells p{}: decided up to slot {} (Law)", p, out.to.value, law->decided.value));
  }
}

void SynodWorld::tell_role(uint32_t p) {
  Process& process = at(p);
  const ReplicaStatus status = process.replica->status();
  const Role before = process.role;
  process.role = status.role;
  if (before != Role::follower && status.role == Role::follower && status.promised.node != NodeId(p)) {
    ++result_.aborts;
    note(p, "ELECTION", status.promised,
         fmt::format("p{} heard of a higher round: it aborts everything and moves to it", p));
  }
  if (before != Role::leader && status.role == Role::leader)
    note(p, "ELECTION", status.leader,
         fmt::format("p{} has a quorum of {} promises: it leads", p, membership_.election_quorum));
  if (status.decided <= process.known) return;
  const Slot from = process.known.next();
  process.known = status.decided;
  for (Slot s = from; s <= status.decided; s = s.next()) {
    const paxos::LogSlot* held = process.replica->acceptor().log().find(s);
    if (held == nullptr || held->entry.kind != EntryKind::command) continue;
    if (result_.first_known_ms == 0) result_.first_known_ms = now_ms_;
    note(p, "LAW", status.leader,
         fmt::format("p{} now knows that {} is decided{}", p, value_of(held->entry),
                     result_.point ? fmt::format(", {} steps ({} ms) after the point of no return",
                                                 step_ - result_.point->step, now_ms_ - result_.point->at_ms)
                                   : " (before any quorum had logged it!)"));
  }
}

void SynodWorld::tell_synced(uint32_t p, const std::vector<PersistedRecord>& batch) {
  for (const PersistedRecord& r : batch) {
    if (const auto* accept = std::get_if<AcceptRecord>(&r.record)) {
      for (const Entry& entry : accept->entries)
        if (entry.kind == EntryKind::command)
          note(p, "BILL", accept->ballot, fmt::format("p{} has logged {}", p, value_of(entry)));
      json("durable", p,
           fmt::format("\"record\":\"accept\",\"ballot\":\"{}\",\"first\":{},\"entries\":{}",
                       show(accept->ballot), accept->first.value, accept->entries.size()));
    } else if (const auto* promise = std::get_if<PromiseRecord>(&r.record)) {
      json("durable", p, fmt::format("\"record\":\"promise\",\"ballot\":\"{}\"", show(promise->promised)));
    } else if (const auto* law = std::get_if<LawRecord>(&r.record)) {
      json("durable", p,
           fmt::format("\"record\":\"law\",\"first\":{},\"entries\":{}", law->first.value,
                       law->entries.size()));
    }
  }
}

}  // namespace decree::lab
