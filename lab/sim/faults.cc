// World: what goes wrong, when, and when it ends.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "lab/sim/sim_member.h"
#include "lab/sim/world.h"

namespace decree::lab {

namespace {

// A set of directed links: bit 8 * from + to.
constexpr uint64_t link_bit(uint32_t from, uint32_t to) { return 1ULL << (8 * from + to); }
constexpr uint64_t both_ways(uint32_t a, uint32_t b) { return link_bit(a, b) | link_bit(b, a); }

constexpr int64_t kDuelUs = 8'000'000;  // some Elections

// From a member of one set to one of the other (bit sets of members).
uint64_t links_between(uint32_t from, uint32_t to) {
  uint64_t links = 0;
  for (uint32_t a = 1; a <= kMembersMax; ++a)
    for (uint32_t b = 1; b <= kMembersMax; ++b)
      if (a != b && (from >> a & 1) != 0 && (to >> b & 1) != 0) links |= link_bit(a, b);
  return links;
}

}  // namespace

void World::schedule_fault(FaultKind kind) {
  const int64_t mean = swarm_.fault_mean_us[static_cast<uint32_t>(kind)];
  if (mean == 0) return;
  Event e;
  e.kind = EventKind::fault;
  e.a = static_cast<uint64_t>(kind);
  queue_.schedule(static_cast<int64_t>(fault_random_.exponential(static_cast<uint64_t>(mean))), e);
}

void World::start_faults() {
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind) schedule_fault(static_cast<FaultKind>(kind));
}

int64_t World::fault_length() {
  return 1000 + static_cast<int64_t>(fault_random_.exponential(static_cast<uint64_t>(fault_length_us_)));
}

uint32_t World::everybody() const { return ((1u << swarm_.members) - 1) << 1; }

uint32_t World::leader_now() const {
  for (const auto& m : members_)
    if (m->running() && m->node()->replica().status().role == Role::leader) return m->self().value;
  return 0;
}

// ---- links ----

void World::cut(uint64_t links, bool holds) {
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = 1; b <= swarm_.members; ++b) {
      if ((links & link_bit(a, b)) == 0) continue;
      network_.cut(a, b, queue_.now_us(), holds);
      // Sometimes somebody notices: a reset, or a time-out of the connection.
      if (fault_random_.chance(holds ? 0.05 : 0.3))
        disconnect(a, b, static_cast<int64_t>(fault_random_.below(1'000'000)));
    }
}

void World::uncut(uint64_t links, bool holds) {
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = 1; b <= swarm_.members; ++b) {
      if ((links & link_bit(a, b)) == 0) continue;
      network_.heal(a, b, holds);
      if (!network_.is_open(a, b)) continue;
      release_held(a, b);
      // A connection that held what was sent is still the same.
      const size_t width = swarm_.members + 1;
      if (holds && connected_[a * width + b] && connected_[b * width + a]) continue;
      connect(a, b, static_cast<int64_t>(fault_random_.below(50'000)));
    }
}

// Everything but the links between neighbours in a random row.
uint64_t World::all_but_chain() {
  std::array<uint32_t, kMembersMax> row{};
  for (uint32_t i = 0; i < swarm_.members; ++i) {
    const uint64_t at = fault_random_.below(i + 1);
    row[i] = row[at];
    row[at] = i + 1;
  }
  uint64_t links = links_between(everybody(), everybody());
  for (uint32_t i = 0; i + 1 < swarm_.members; ++i) links &= ~both_ways(row[i], row[i + 1]);
  return links;
}

uint64_t World::all_but_links_of(uint32_t hub) const {
  const uint32_t others = everybody() & ~(1u << hub);
  return links_between(others, others);
}

// The links of some members clog one after the other, and come back in an order of their own.
void World::swizzle() {
  const uint32_t chosen = static_cast<uint32_t>(fault_random_.between(1, (1u << swarm_.members) - 1)) << 1;
  const int64_t length = fault_length();
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    if ((chosen >> n & 1) == 0) continue;
    const int64_t from =
        queue_.now_us() + static_cast<int64_t>(fault_random_.below(static_cast<uint64_t>(length)));
    const int64_t until =
        queue_.now_us() + length + static_cast<int64_t>(fault_random_.below(static_cast<uint64_t>(length)));
    note(n, "clog", fmt::format("\"from_us\":{},\"until_us\":{}", from, until));
    for (uint32_t other = 1; other <= swarm_.members; ++other) {
      if (other == n) continue;
      network_.clog(n, other, from, until);
      network_.clog(other, n, from, until);
    }
  }
}

// ---- the fault processes ----

void World::on_fault(FaultKind kind) {
  if (!faults_on_) return;
  schedule_fault(kind);
  const bool may_kill =
      kind <= FaultKind::pause || (kind >= FaultKind::disk_full && kind <= FaultKind::old_image);
  if (may_kill && old_disk_about()) return;
  const uint32_t leader = fault_random_.chance(swarm_.aim_at_leader) ? leader_now() : 0;
  inflict(kind, leader != 0 ? leader : static_cast<uint32_t>(fault_random_.between(1, swarm_.members)));
}

void World::inflict(FaultKind kind, uint32_t a) {
  uint32_t b = a;
  if (swarm_.members > 1) {
    b = static_cast<uint32_t>(fault_random_.between(1, swarm_.members - 1));
    if (b >= a) ++b;
  }
  Fault fault{kind, a, b, 0};
  if (!begin_fault(&fault)) return;
  ++statistics_.faults[static_cast<uint32_t>(kind)];
  if (trace_.wanted()) note(a, "fault", fmt::format("\"kind\":\"{}\",\"other\":{}", fault_name(kind), b));
  if (fault.links != 0) cut(fault.links, fault.holds);
  if (!fault.heals) return;
  Event heal;
  heal.kind = EventKind::heal;
  heal.a = faults_.put(fault);
  queue_.schedule(kind == FaultKind::duel ? kDuelUs + fault_length() : fault_length(), heal);
}

// False: it does not apply now. Sets what has to be undone.
bool World::begin_fault(Fault* fault) {
  const bool on_process = fault->kind <= FaultKind::pause;
  const bool on_network = fault->kind >= FaultKind::cut_member && fault->kind <= FaultKind::reset_link;
  if (on_process) return begin_process_fault(fault);
  if (on_network) return swarm_.members > 1 && begin_network_fault(fault);
  if (fault->kind == FaultKind::upset_leader) return (leaders_to_upset_ = fault_random_.between(1, 5)) > 0;
  if (fault->kind == FaultKind::duel) return begin_duel(fault);
  if (fault->kind == FaultKind::change) {
    member(fault->a).ask_change(fault_random_.next(), swarm_.role_changes);
    return true;
  }
  if (fault->kind != FaultKind::transfer) return begin_machine_fault(fault);
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    member(n).ask_transfer(NodeId(fault_random_.chance(0.3) ? 0 : fault->b));
  return true;
}

void World::on_new_leader(uint32_t node) {
  if ((leaders_to_upset_ == 0 && !duel_.on) || !faults_on_ || script_ != nullptr) return;
  if (!duel_.on) --leaders_to_upset_;
  Event e;
  e.kind = EventKind::upset;
  e.a = node;
  // Within a few of the cluster's own round trips, so that it strikes between its first messages.
  const auto round_trip = static_cast<uint64_t>(2 * swarm_.network.delay_us + swarm_.network.jitter_us +
                                                swarm_.disk.sync_us + swarm_.turn_delay_us);
  const bool at_once = fault_random_.chance(0.3);  // then nobody has heard of it
  queue_.schedule(at_once ? 0 : static_cast<int64_t>(fault_random_.exponential(2 * round_trip)), e);
}

// It dies, is cut off, or is heard by some only; for about as long as the others take to find the next
// leader, so that the next but one hears of it. What several leaders in a row left half done is what
// Elections are for.
void World::upset(uint32_t node) {
  constexpr int64_t kElectionUs = 700'000;
  if (duel_.on) return turn_of_duel(node);
  if (!faults_on_ || !member(node).running() || old_disk_about()) return;
  constexpr FaultKind kHow[] = {FaultKind::crash_one, FaultKind::cut_member, FaultKind::cut_one_way,
                                FaultKind::cut_link,  FaultKind::cut_halves, FaultKind::pause};
  fault_length_us_ = kElectionUs;
  inflict(kHow[fault_random_.below(std::size(kHow))], node);
  fault_length_us_ = swarm_.fault_length_us;
}

// Each leader is cut off a moment after its Election, and the one before it comes back: leaders take turns,
// and none hears what the others did in its absence (figure 8 of Raft's paper).
bool World::begin_duel(Fault* fault) {
  if (duel_.on || swarm_.members < 3) return false;
  duel_ = Duel{true, static_cast<uint32_t>(fault_random_.between(2, 8)), 0, false};
  leaders_to_upset_ = 0;
  return fault->heals = true;  // whoever is still cut off by then comes back
}

void World::turn_of_duel(uint32_t node) {
  if (!faults_on_ || !member(node).running()) return;
  uncut(duel_.links, duel_.holds);
  duel_.links = 0;
  if (duel_.turns == 0) return end_duel();
  --duel_.turns;
  duel_.holds = fault_random_.chance(0.5);
  duel_.links = links_between(1u << node, everybody()) | links_between(everybody(), 1u << node);
  if (trace_.wanted()) note(node, "cut off", fmt::format("\"turns_left\":{}", duel_.turns));
  cut(duel_.links, duel_.holds);
}

void World::end_duel() {
  uncut(duel_.links, duel_.holds);
  duel_ = Duel{};
}

bool World::begin_process_fault(Fault* fault) {
  const CrashKind crash = fault_random_.chance(swarm_.power_failure) ? CrashKind::power : CrashKind::process;
  SimMember& victim = member(fault->a);
  switch (fault->kind) {
    case FaultKind::crash_one:
      if (!victim.running()) return false;
      victim.crash(crash);
      schedule_start(fault->a, fault_length());
      return true;
    case FaultKind::crash_promise:
    case FaultKind::crash_commit:
      if (!victim.running()) return false;
      victim.crash_at_write(crash, fault->kind == FaultKind::crash_promise);
      return true;
    case FaultKind::crash_all: {
      // Back one by one, or all at the same moment.
      const int64_t together = fault_random_.chance(0.4) ? fault_length() : 0;
      for (uint32_t n = 1; n <= swarm_.members; ++n) {
        if (!member(n).running()) continue;
        member(n).crash(crash);
        schedule_start(n, together != 0 ? together : fault_length());
      }
      return true;
    }
    default:
      if (!victim.running() || victim.paused()) return false;
      victim.pause();
      fault->heals = true;
      return true;
  }
}

bool World::begin_network_fault(Fault* fault) {
  const uint32_t a = fault->a;
  const uint32_t b = fault->b;
  const uint32_t all = everybody();
  fault->heals = true;
  fault->holds = fault_random_.chance(0.5);
  switch (fault->kind) {
    case FaultKind::cut_member:
    case FaultKind::constrained:
      fault->links = links_between(1u << a, all) | links_between(all, 1u << a);
      return true;
    case FaultKind::cut_halves: {
      const uint32_t side = static_cast<uint32_t>(fault_random_.between(1, (1u << swarm_.members) - 2)) << 1;
      fault->links = links_between(side, all & ~side) | links_between(all & ~side, side);
      return true;
    }
    case FaultKind::cut_one_way: {
      const uint64_t shape = fault_random_.below(3);
      fault->links = shape == 0   ? link_bit(a, b)
                     : shape == 1 ? links_between(1u << a, all)
                                  : links_between(all, 1u << a);
      return true;
    }
    case FaultKind::cut_link:
      fault->links = both_ways(a, b);
      return true;
    case FaultKind::chained:
      fault->links = all_but_chain();
      return fault->links != 0;
    case FaultKind::cloudflare: {
      const uint32_t leader = leader_now();
      if (leader == 0 || swarm_.members < 3) return false;
      fault->links = both_ways(leader, leader == a ? b : a);
      return true;
    }
    case FaultKind::quorum_loss: {
      const uint32_t leader = leader_now();
      if (leader == 0 || swarm_.members < 3) return false;
      fault->links = all_but_links_of(leader == a ? b : a);
      return true;
    }
    case FaultKind::swizzle:
      swizzle();
      fault->heals = false;
      return true;
    case FaultKind::lose_beats:
      network_.lose_beats(a, b, fault_random_.unit());
      return true;
    case FaultKind::slow_link:
      network_.slow_down(a, b, static_cast<int64_t>(fault_random_.between(1000, 500'000)));
      return true;
    default:
      disconnect(a, b, 0);
      return true;
  }
}

bool World::begin_machine_fault(Fault* fault) {
  SimMember& victim = member(fault->a);
  switch (fault->kind) {
    case FaultKind::clock_jump:
      victim.jump_clock(static_cast<int64_t>(fault_random_.exponential(5'000'000)));
      return true;
    case FaultKind::clock_rate: {
      constexpr double kRates[] = {0.25, 0.8, 0.99, 1.01, 1.25, 4};
      victim.set_clock_rate(kRates[fault_random_.below(std::size(kRates))]);
      return fault->heals = true;
    }
    case FaultKind::slow_disk:
      victim.set_slow_disk(static_cast<int64_t>(fault_random_.between(5'000, 1'500'000)));
      return fault->heals = true;
    case FaultKind::disk_full:
      return fault->heals = !victim.harm(Harm::fill, 0, fault_random_.next()).empty();
    case FaultKind::write_error:
      return victim.running() &&
             !victim.harm(Harm::fail_writes, static_cast<uint32_t>(fault_random_.between(1, 12)), 0).empty();
    case FaultKind::power_error:
      return victim.running() &&
             !victim
                  .harm(Harm::fail_power, static_cast<uint32_t>(fault_random_.between(1, 30)),
                        fault_random_.next())
                  .empty();
    case FaultKind::sync_error:
      return victim.running() && !victim.harm(Harm::fail_sync, 0, 0).empty();
    case FaultKind::read_error:
      return !victim.harm(Harm::fail_reads, static_cast<uint32_t>(fault_random_.between(1, 3)), 0).empty();
    case FaultKind::rot_log:
      return damage(fault->a, Damage::rot_log);
    case FaultKind::rot_superblock:
      return damage(fault->a, Damage::rot_superblock);
    case FaultKind::rot_snapshot:
      return damage(fault->a, Damage::rot_snapshot);
    case FaultKind::misdirected:
      return damage(fault->a, Damage::misdirected);
    case FaultKind::diverge:
      // Who is right must stay beyond doubt, and found out it leaves: not while its memory is needed.
      return victim.running() && atlas_.may_damage(fault->a) && !atlas_.halting_run() && !old_disk_about() &&
             !victim.harm(Harm::diverge, 0, 0).empty();
    default:
      return put_back_old_image(fault->a);
  }
}

bool World::damage(uint32_t node, Damage kind) {
  if (!atlas_.may_damage(node) || !member(node).running()) return false;
  const std::string done = member(node).harm(static_cast<Harm>(kind), 0, fault_random_.next());
  if (done.empty()) return false;
  if (trace_.wanted()) note(node, "damage", "\"done\":" + json_string(done));
  // Damage is met at the next start, if nothing meets it before; soon, or the log behind it is cut first. Now
  // and then at a start of all, when what it took is not yet known to be decided.
  Event e;
  e.kind = EventKind::heal;
  const FaultKind met = kind == Damage::misdirected ? FaultKind::misdirected : FaultKind::rot_log;
  e.a = faults_.put(Fault{met, node, fault_random_.chance(0.4) ? 1u : 0u, 0});
  queue_.schedule(fault_random_.chance(0.5) ? 1 : fault_length(), e);
  return true;
}

// All of them at the same moment.
void World::start_again(uint32_t nodes) {
  const CrashKind kind = fault_random_.chance(0.5) ? CrashKind::power : CrashKind::process;
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    if ((nodes >> n & 1) == 0 || !member(n).running()) continue;
    member(n).crash(kind);
    schedule_start(n, 1000);
  }
}

// The first time the disk is copied, the next time it becomes that copy.
bool World::put_back_old_image(uint32_t node) {
  SimMember& victim = member(node);
  if (!victim.running() || !atlas_.may_damage(node) || atlas_.halting_run()) return false;
  const std::optional<uint64_t> writes = victim.disk().image_disk_writes();
  if (writes) {
    if (!all_know_more_of(node, *writes)) return false;
    victim.crash(CrashKind::power);
    schedule_start(node, fault_length());
  }
  const std::string done = victim.harm(Harm::old_image, 0, fault_random_.next());
  if (trace_.wanted() && !done.empty()) note(node, "damage", "\"done\":" + json_string(done));
  return !done.empty();
}

bool World::all_know_more_of(uint32_t node, uint64_t writes) {
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    if (n == node) continue;
    if (member(n).could_forget()) return false;
    if (member(n).node()->replica().disk_writes_of(NodeId(node)) <= writes) return false;
  }
  return swarm_.members > 1;
}

// Nobody is killed before the member with the old disk was told: only the memory of the others can tell it.
bool World::old_disk_about() const {
  return std::any_of(members_.begin(), members_.end(), [](const auto& m) { return m->has_old_disk(); });
}

void World::on_heal(uint64_t number) {
  const Fault fault = faults_.take(number);
  if (!faults_on_) return;  // everything was healed at once
  const uint32_t a = fault.a;
  const uint32_t b = fault.b;
  if (trace_.wanted())
    note(a, "heal", fmt::format("\"kind\":\"{}\",\"other\":{}", fault_name(fault.kind), b));
  if (fault.links != 0) uncut(fault.links, fault.holds);
  switch (fault.kind) {
    case FaultKind::pause:
      member(a).resume();
      break;
    case FaultKind::constrained: {
      // It has fallen behind, and is now the only one that reaches a quorum.
      if (swarm_.members < 3) break;
      Fault second{FaultKind::quorum_loss, a, b, all_but_links_of(a)};
      second.holds = fault_random_.chance(0.5);
      cut(second.links, second.holds);
      Event heal;
      heal.kind = EventKind::heal;
      heal.a = faults_.put(second);
      queue_.schedule(fault_length(), heal);
      break;
    }
    case FaultKind::lose_beats:
      network_.lose_beats(a, b, 0);
      break;
    case FaultKind::slow_link:
      network_.slow_down(a, b, 0);
      break;
    case FaultKind::reset_link:
      connect(a, b, 0);
      break;
    case FaultKind::clock_rate:
      member(a).set_clock_rate(1);
      break;
    case FaultKind::slow_disk:
      member(a).set_slow_disk(0);
      break;
    case FaultKind::disk_full:
      member(a).harm(Harm::make_room, 0, 0);
      break;
    case FaultKind::duel:
      end_duel();
      break;
    case FaultKind::rot_log:
    case FaultKind::misdirected:
      if (!old_disk_about()) start_again(b == 0 ? 1u << a : everybody());
      break;
    default:
      break;
  }
}

}  // namespace decree::lab
