// World: the second half of a run. Faults have stopped; now the cluster has to get going, end everything, and
// agree.
#include <fmt/format.h>

#include "lab/sim/sim_member.h"
#include "lab/sim/world.h"
#include "paxos/acceptor.h"

namespace decree::lab {

namespace {

// The upper end of take-over with the default options (--election-timeout 1000 ms).
constexpr int64_t kElectionTimeoutUs = 1'000'000;
constexpr int64_t kProgressWithinUs = 10 * kElectionTimeoutUs;
constexpr int64_t kPollUs = 250'000;
// After progress: pending operations end and laggards catch up. With tiny windows on a slow network that is a
// matter of the backlog, so the bound is generous; it is there to find what never ends.
constexpr int64_t kSettleWithinUs = 600'000'000;

}  // namespace

void World::stop_faults() {
  note(0, "faults stop");
  faults_on_ = false;
  healed_at_us_ = queue_.now_us();
  network_.heal_all();
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    member(n).set_slow_disk(0);
    member(n).resume();
    if (!member(n).running()) schedule_start(n, static_cast<int64_t>(fault_random_.below(100'000)));
  }
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = a + 1; b <= swarm_.members; ++b)
      if (!connected_[a * (swarm_.members + 1) + b] || !connected_[b * (swarm_.members + 1) + a])
        connect(a, b, 1000);
  for (uint32_t c = swarm_.clients; c < clients_.size(); ++c) {
    Event e;
    e.kind = EventKind::client_next;
    e.a = c;
    queue_.schedule(200'000, e);
  }
}

void World::on_phase() {
  Event again;
  again.kind = EventKind::phase;
  if (phase_ == 0) {
    phase_ = 1;
    stop_faults();
    queue_.schedule(kPollUs, again);
    return;
  }
  const int64_t since = queue_.now_us() - healed_at_us_;
  queue_.schedule(kPollUs, again);
  if (phase_ == 1) {
    std::string stuck;
    uint32_t through = 0;
    for (uint32_t c = swarm_.clients; c < clients_.size(); ++c) {
      const Client& probe = clients_[c];
      const bool done =
          probe.serial != 0 && !probe.waiting && history_[probe.operation].outcome == OpOutcome::ok;
      through += done ? 1 : 0;
      if (!done) stuck += fmt::format(" {}", probe.member);
    }
    // A majority at once; a member that was away too long first needs a snapshot (the settling below waits
    // for it).
    if (through > swarm_.members / 2) {
      phase_ = 2;
      clients_on_ = false;
    } else if (since > kProgressWithinUs) {
      fail("L1", fmt::format("no progress within ten election timeouts after the faults stopped: no write "
                             "through member(s){}",
                             stuck));
    }
    return;
  }
  std::string why;
  if (all_settled(&why)) {
    finished_ = true;
    note(0, "settled");
  } else if (since > kSettleWithinUs) {
    fail("L3", "the members did not come to rest after the faults stopped: " + why);
  }
}

bool World::all_settled(std::string* why) {
  for (const Client& c : clients_)
    if (c.waiting) {
      *why = "still waiting: " + describe(history_[c.operation]);
      return false;
    }
  for (uint32_t c = swarm_.clients; c < clients_.size(); ++c)
    if (history_[clients_[c].operation].outcome != OpOutcome::ok) {
      *why = fmt::format("no write through member {} succeeds", clients_[c].member);
      return false;
    }
  const Slot end = ghost_.chosen_max();
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    const SimMember& m = member(n);
    if (!m.running()) {
      *why = fmt::format("member {} does not run", n);
      return false;
    }
    if (m.requests_pending() > 0) {
      *why = fmt::format("member {} has {} requests that never ended", n, m.requests_pending());
      return false;
    }
    if (m.node()->applied() != end) {
      *why = fmt::format("member {} has applied {} of {} slots", n, m.node()->applied().value, end.value);
      return false;
    }
  }
  for (uint32_t n = 2; n <= swarm_.members; ++n)
    if (member(n).store().machine().digest() != member(1).store().machine().digest())
      fail("I17", fmt::format("members 1 and {} have applied the same slots and differ", n));
  return true;
}

}  // namespace decree::lab
