// World: what goes wrong, when, and when it ends.
#include <fmt/format.h>

#include "lab/sim/sim_member.h"
#include "lab/sim/world.h"

namespace decree::lab {

void World::start_faults() {
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
    if (swarm_.fault_mean_us[kind] == 0) continue;
    Event e;
    e.kind = EventKind::fault;
    e.a = kind;
    queue_.schedule(
        static_cast<int64_t>(fault_random_.exponential(static_cast<uint64_t>(swarm_.fault_mean_us[kind]))),
        e);
  }
}

int64_t World::fault_length() {
  return 1000 +
         static_cast<int64_t>(fault_random_.exponential(static_cast<uint64_t>(swarm_.fault_length_us)));
}

// Opens or closes every link from a member in `from` to one in `to` (bit sets).
void World::cut(uint32_t from, uint32_t to, bool both_ways, bool heal) {
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = 1; b <= swarm_.members; ++b) {
      if (a == b || (from >> a & 1) == 0 || (to >> b & 1) == 0) continue;
      if (heal) {
        network_.heal(a, b);
        if (both_ways) network_.heal(b, a);
        connect(a, b, static_cast<int64_t>(fault_random_.below(50'000)));
      } else {
        network_.cut(a, b);
        if (both_ways) network_.cut(b, a);
        // Sometimes somebody notices: a reset, or a time-out of the connection.
        if (fault_random_.chance(0.3)) disconnect(a, b, static_cast<int64_t>(fault_random_.below(1'000'000)));
      }
    }
}

void World::on_fault(FaultKind kind) {
  if (!faults_on_) return;
  const uint32_t index = static_cast<uint32_t>(kind);
  Event again;
  again.kind = EventKind::fault;
  again.a = index;
  queue_.schedule(
      static_cast<int64_t>(fault_random_.exponential(static_cast<uint64_t>(swarm_.fault_mean_us[index]))),
      again);

  const uint32_t all = ((1u << swarm_.members) - 1) << 1;
  const uint32_t a = static_cast<uint32_t>(fault_random_.between(1, swarm_.members));
  uint32_t b = static_cast<uint32_t>(fault_random_.between(1, swarm_.members - 1));
  if (b >= a) ++b;
  Fault fault{kind, a, b, 0};
  const CrashKind crash = fault_random_.chance(swarm_.power_failure) ? CrashKind::power : CrashKind::process;
  ++statistics_.faults[index];
  if (trace_.wanted()) note(a, "fault", fmt::format("\"kind\":\"{}\",\"other\":{}", fault_name(kind), b));

  switch (kind) {
    case FaultKind::crash_one:
      if (!member(a).running()) return;
      member(a).crash(crash);
      schedule_start(a, fault_length());
      return;
    case FaultKind::crash_commit:
      for (uint32_t i = 0; i < swarm_.members; ++i) {
        const uint32_t n = (a + i) % swarm_.members + 1;
        if (!member(n).running() || !member(n).write_under_way()) continue;
        member(n).crash(crash);
        schedule_start(n, fault_length());
        return;
      }
      return;
    case FaultKind::crash_all:
      for (uint32_t n = 1; n <= swarm_.members; ++n) {
        if (!member(n).running()) continue;
        member(n).crash(crash);
        schedule_start(n, fault_length());
      }
      return;
    case FaultKind::pause:
      if (!member(a).running() || member(a).paused()) return;
      member(a).pause();
      break;
    case FaultKind::cut_member:
      cut(1u << a, all, true, false);
      break;
    case FaultKind::cut_halves:
      fault.sides = static_cast<uint32_t>(fault_random_.between(1, (1u << swarm_.members) - 2)) << 1;
      cut(fault.sides, all & ~fault.sides, true, false);
      break;
    case FaultKind::cut_one_way:
      fault.sides = static_cast<uint32_t>(fault_random_.below(3));
      if (fault.sides == 0) cut(1u << a, 1u << b, false, false);
      if (fault.sides == 1) cut(1u << a, all, false, false);
      if (fault.sides == 2) cut(all, 1u << a, false, false);
      break;
    case FaultKind::cut_link:
      cut(1u << a, 1u << b, true, false);
      break;
    case FaultKind::lose_beats:
      network_.lose_beats(a, b, fault_random_.unit());
      break;
    case FaultKind::slow_link:
      network_.slow_down(a, b, static_cast<int64_t>(fault_random_.between(1000, 500'000)));
      break;
    case FaultKind::reset_link:
      disconnect(a, b, 0);
      break;
    case FaultKind::slow_disk:
      member(a).set_slow_disk(static_cast<int64_t>(fault_random_.between(5'000, 1'500'000)));
      break;
    case FaultKind::transfer:
      for (uint32_t n = 1; n <= swarm_.members; ++n)
        member(n).ask_transfer(NodeId(fault_random_.chance(0.3) ? 0 : b));
      return;
    case FaultKind::count:
      return;
  }
  Event heal;
  heal.kind = EventKind::heal;
  heal.a = faults_.put(fault);
  queue_.schedule(fault_length(), heal);
}

void World::on_heal(uint64_t number) {
  const Fault fault = faults_.take(number);
  if (!faults_on_) return;  // everything was healed at once
  const uint32_t all = ((1u << swarm_.members) - 1) << 1;
  const uint32_t a = fault.a;
  const uint32_t b = fault.b;
  if (trace_.wanted())
    note(a, "heal", fmt::format("\"kind\":\"{}\",\"other\":{}", fault_name(fault.kind), b));
  switch (fault.kind) {
    case FaultKind::pause:
      member(a).resume();
      break;
    case FaultKind::cut_member:
      cut(1u << a, all, true, true);
      break;
    case FaultKind::cut_halves:
      cut(fault.sides, all & ~fault.sides, true, true);
      break;
    case FaultKind::cut_one_way:
      if (fault.sides == 0) cut(1u << a, 1u << b, false, true);
      if (fault.sides == 1) cut(1u << a, all, false, true);
      if (fault.sides == 2) cut(all, 1u << a, false, true);
      break;
    case FaultKind::cut_link:
      cut(1u << a, 1u << b, true, true);
      break;
    case FaultKind::lose_beats:
      network_.lose_beats(a, b, 0);
      break;
    case FaultKind::slow_link:
      network_.slow_down(a, b, 0);
      break;
    case FaultKind::reset_link:
      connect(a, b, 0);
      break;
    case FaultKind::slow_disk:
      member(a).set_slow_disk(0);
      break;
    default:
      break;
  }
}

}  // namespace decree::lab
