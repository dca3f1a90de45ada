#include "lab/exhibits/bully.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "lab/flp/replica_world.h"
#include "lab/sim/random.h"

namespace decree::lab {

namespace {

class Bully {
 public:
  explicit Bully(const BullyOptions& o) : o_(o), random_(o.seed), members_(o.processes) {
    at(o.processes).alive = false;
    for (Member& m : members_) m.coordinator = o.processes;
  }

  BullyRun run() {
    hold_election(o_.starter);
    while (!events_.empty() && now_ < 100000) {
      const auto first = events_.begin();
      now_ = first->first;
      const Event e = first->second;
      events_.erase(first);
      handle(e);
      look();
    }
    uint32_t believers = 0;
    run_.settled = true;
    for (uint32_t p = 1; p < o_.processes; ++p) {
      run_.coordinator.push_back(at(p).coordinator);
      believers += at(p).coordinator == p;
      run_.settled = run_.settled && at(p).coordinator == o_.processes - 1;
    }
    run_.two_at_the_end = believers > 1;
    return std::move(run_);
  }

 private:
  enum class Kind : uint8_t { election, answer, coordinator, no_answer, no_coordinator };
  struct Event {
    Kind kind = Kind::election;
    uint32_t from = 0;
    uint32_t to = 0;
    uint64_t attempt = 0;  // time-outs: of the election they belong to
  };
  struct Member {
    bool alive = true;
    bool electing = false;
    bool answered = false;
    uint64_t attempt = 0;
    uint32_t coordinator = 0;
  };

  Member& at(uint32_t p) { return members_[p - 1]; }
  // The synchronous model's time-out: a question and its answer take at most two delays.
  uint64_t patience_ms() const { return 2 * o_.delay_ms_max + 1; }

  void send(Kind kind, uint32_t from, uint32_t to) {
    uint64_t delay = random_.between(1, o_.delay_ms_max);
    if (o_.late_message && run_.messages == *o_.late_message) {
      delay = 10 * o_.delay_ms_max;
      tell(from, fmt::format("the message p{} -> p{} will take {} ms, the bound is {}", from, to, delay,
                             o_.delay_ms_max));
    }
    ++run_.messages;
    const char* name = kind == Kind::election ? "Election" : kind == Kind::answer ? "Answer" : "Coordinator";
    run_.sent.push_back({name, from, to, now_, now_ + delay});
    events_.emplace(now_ + delay, Event{kind, from, to, 0});
  }
  void tell(uint32_t p, const std::string& text) { run_.story.push_back({now_, p, text}); }

  void hold_election(uint32_t p) {
    Member& m = at(p);
    m.electing = true;
    m.answered = false;
    m.coordinator = 0;
    ++m.attempt;
    tell(p, fmt::format("p{} holds an election", p));
    for (uint32_t q = p + 1; q <= o_.processes; ++q) send(Kind::election, p, q);
    events_.emplace(now_ + patience_ms(), Event{Kind::no_answer, p, p, m.attempt});
  }

  void handle(const Event& e) {
    Member& m = at(e.to);
    if (!m.alive) return;
    switch (e.kind) {
      case Kind::election:
        send(Kind::answer, e.to, e.from);
        if (!m.electing && m.coordinator != e.to) hold_election(e.to);
        if (m.coordinator == e.to) send(Kind::coordinator, e.to, e.from);
        return;
      case Kind::answer:
        m.answered = true;
        return;
      case Kind::coordinator:
        if (e.from < e.to) return hold_election(e.to);
        m.electing = false;
        m.coordinator = e.from;
        tell(e.to, fmt::format("p{} follows p{}", e.to, e.from));
        return;
      case Kind::no_answer:
        if (!m.electing || e.attempt != m.attempt) return;
        if (m.answered) {
          // The others have their own time-out and then tell; each may wait for those above it.
          events_.emplace(now_ + (o_.processes + 1) * patience_ms(),
                          Event{Kind::no_coordinator, e.to, e.to, m.attempt});
          return;
        }
        m.electing = false;
        m.coordinator = e.to;
        tell(e.to, fmt::format("p{} hears nothing from above and is coordinator", e.to));
        for (uint32_t q = 1; q < e.to; ++q) send(Kind::coordinator, e.to, q);
        return;
      case Kind::no_coordinator:
        if (m.electing && e.attempt == m.attempt) hold_election(e.to);
        return;
    }
  }

  void look() {
    std::string believers;
    uint32_t count = 0;
    for (uint32_t p = 1; p <= o_.processes; ++p)
      if (at(p).alive && at(p).coordinator == p) {
        ++count;
        believers += fmt::format("{}p{}", believers.empty() ? "" : " and ", p);
      }
    if (count < 2 || run_.two_coordinators) return;
    run_.two_coordinators = true;
    tell(0, believers + " are both coordinator");
  }

  const BullyOptions& o_;
  Random random_;
  std::vector<Member> members_;
  std::multimap<uint64_t, Event> events_;
  uint64_t now_ = 0;
  BullyRun run_;
};

bool leads(const ReplicaWorld& world, uint32_t p) { return world.replica(p).status().role == Role::leader; }

uint32_t some_leader(const ReplicaWorld& world, uint32_t but) {
  for (uint32_t p = 1; p <= world.processes(); ++p)
    if (p != but && leads(world, p)) return p;
  return 0;
}

// Delivers everything but what `held` names; then all clocks tick, but those of `still`.
template <class Held>
void go_on(ReplicaWorld& world, uint32_t still, const Held& held) {
  const auto& pool = world.pool();
  for (size_t i = 0; i < pool.size();) {
    if (held(pool[i])) {
      ++i;
    } else {
      world.deliver(i);
      i = 0;
    }
  }
  for (uint32_t p = 1; p <= world.processes(); ++p)
    if (p != still) world.tick(p);
}

}  // namespace

BullyRun run_bully(const BullyOptions& options) { return Bully(options).run(); }

RivalLeaders run_rival_leaders(uint32_t processes, uint64_t seed) {
  RivalLeaders r;
  std::vector<uint32_t> inputs;
  for (uint32_t p = 0; p < processes; ++p) inputs.push_back(p);
  ReplicaWorld world(inputs, seed);
  const auto bill = [](const PoolMessage& m) { return std::holds_alternative<Accept>(m.message); };
  for (int i = 0; i < 5000 && r.old_leader == 0; ++i) {
    go_on(world, 0, bill);
    r.old_leader = some_leader(world, 0);
  }
  r.old_value = r.old_leader - 1;
  // Nothing reaches it, nothing of it arrives, and its process stands still: very slow, not dead.
  const auto cut_off = [&r](const PoolMessage& m) { return m.from == r.old_leader || m.to == r.old_leader; };
  for (int i = 0; i < 5000 && r.new_leader == 0; ++i) {
    go_on(world, r.old_leader, [&](const PoolMessage& m) { return cut_off(m) || bill(m); });
    r.new_leader = some_leader(world, r.old_leader);
  }
  if (r.new_leader == 0) return r;
  r.new_value = r.new_leader - 1;
  r.both_lead = leads(world, r.old_leader) && leads(world, r.new_leader);
  // Now the old Bill arrives, before anything of the new leader's does.
  const uint64_t newest = world.pool().back().id;
  go_on(world, r.old_leader,
        [&](const PoolMessage& m) { return m.id > newest || m.from != r.old_leader || !bill(m); });
  for (const PoolMessage& m : world.pool())
    if (m.to == r.old_leader && std::holds_alternative<Nack>(m.message)) ++r.refusals;
  r.old_decided_anything = world.any_decision().has_value();
  for (int i = 0; i < 5000 && !world.any_decision(); ++i)
    go_on(world, 0, [](const PoolMessage&) { return false; });
  r.decided = world.any_decision();
  return r;
}

}  // namespace decree::lab
