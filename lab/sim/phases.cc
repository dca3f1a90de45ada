// World: the second half of a run. Faults have stopped; now the cluster has to get going, end everything, and
// agree.
#include <fmt/format.h>

#include "lab/sim/script.h"
#include "lab/sim/sim_member.h"
#include "lab/sim/world.h"
#include "paxos/acceptor.h"

namespace decree::lab {

namespace {

// The upper end of take-over with the default options (--election-timeout 1000 ms).
constexpr int64_t kElectionTimeoutUs = 1'000'000;
constexpr int64_t kProgressWithinUs = 10 * kElectionTimeoutUs;
constexpr int64_t kPollUs = 250'000;
constexpr uint64_t kBacklogSlots = 100;

}  // namespace

// Who has to get going: whole disks, and at least a quorum of them.
void World::choose_core() {
  std::vector<uint32_t> whole;
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    if (!atlas_.is_damaged(n) && !member(n).halted()) whole.push_back(n);
  size_t size = whole.size();
  if (swarm_.liveness_core && size > atlas_.quorum()) {
    size = fault_random_.between(atlas_.quorum(), size);
    ++statistics_.core_runs;
  }
  for (size_t i = 0; i < size; ++i) {
    std::swap(whole[i], whole[i + fault_random_.below(whole.size() - i)]);
    core_ |= 1u << whole[i];
  }
}

// What is not in the core stays as bad as it is, or gets worse: none of it may hold up the core.
// Not left with a single link: it may lead over that link, which is as it should be, and then whoever reaches
// the leader only through another member is not served (docs/simulator.md).
void World::leave_outside(uint32_t node) {
  const char* left = "down";
  const auto cut_both = [&](bool out, bool in) {
    for (uint32_t n = 1; n <= swarm_.members; ++n) {
      if (n == node) continue;
      if (out) network_.cut(node, n, queue_.now_us());
      if (in) network_.cut(n, node, queue_.now_us());
    }
  };
  switch (fault_random_.below(4)) {
    case 0:
      member(node).crash(CrashKind::process);
      break;
    case 1:
      left = "cut off";
      cut_both(true, true);
      break;
    case 2:
      left = "heard by nobody";
      cut_both(true, false);
      break;
    default:
      left = "deaf";
      cut_both(false, true);
      break;
  }
  if (trace_.wanted()) note(node, "left outside", fmt::format("\"how\":\"{}\"", left));
}

void World::stop_faults() {
  note(0, "faults stop");
  if (recorder_) recorder_->on_faults_end();
  faults_on_ = false;
  duel_ = Duel{};
  healed_at_us_ = queue_.now_us();
  network_.heal_all();
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = 1; b <= swarm_.members; ++b) release_held(a, b);
  choose_core();
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    SimMember& m = member(n);
    m.set_slow_disk(0);
    m.set_clock_rate(1);
    m.disk().set_full(false, fault_random_);
    m.resume();
    // A disk that was told to fail, or is damaged, is judged by a start.
    const bool judged = m.disk().has_injected_error() || (atlas_.is_damaged(n) && !m.diverged());
    if (m.running() && judged) m.crash(CrashKind::process);
    const bool outside = !in_core(n) && !atlas_.is_damaged(n) && !m.halted();
    if (outside) leave_outside(n);
    if (!m.running() && (!outside || fault_random_.chance(0.5)))
      schedule_start(n, static_cast<int64_t>(fault_random_.below(100'000)));
  }
  for (uint32_t a = 1; a <= swarm_.members; ++a)
    for (uint32_t b = a + 1; b <= swarm_.members; ++b)
      if (!connected_[a * (swarm_.members + 1) + b] || !connected_[b * (swarm_.members + 1) + a])
        connect(a, b, 1000);
  for (uint32_t c = 0; c < clients_.size(); ++c) {
    Client& client = clients_[c];
    // Whoever asked a member that is left behind goes elsewhere.
    if (client.waiting && !in_core(client.member)) finish(c, client.serial, OpOutcome::unknown);
    if (!client.is_probe || !in_core(client.member)) continue;
    Event e;
    e.kind = EventKind::client_next;
    e.a = c;
    queue_.schedule(200'000, e);
  }
}

// All that can be refused was refused: fewer members than a quorum are left, and nothing more may be
// answered.
bool World::has_halted() {
  uint32_t able = 0;
  for (uint32_t n = 1; n <= swarm_.members; ++n) able += member(n).halted() ? 0 : 1;
  if (able >= atlas_.quorum()) return false;
  ++statistics_.halted_runs;
  note(0, "halted");
  return finished_ = true;
}

void World::on_phase() {
  Event again;
  again.kind = EventKind::phase;
  if (phase_ == 0 && old_disk_about()) {
    told_late_us_ += kPollUs;
    if (told_late_us_ > settle_within_us_)
      return fail("I20", "nobody tells a member that its disk is an old one");
    return queue_.schedule(kPollUs, again);
  }
  if (phase_ == 0) {
    phase_ = 1;
    stop_faults();
    queue_.schedule(kPollUs, again);
    return;
  }
  const int64_t since = queue_.now_us() - healed_at_us_;
  queue_.schedule(kPollUs, again);
  if (atlas_.whole() < atlas_.quorum()) {
    // More was damaged than can be survived for sure. Whatever was answered is checked; progress is a gift.
    if (since < kProgressWithinUs) return;
    if (!has_halted()) finished_ = true;
    return;
  }
  if (phase_ == 1) return await_progress(since);
  std::string why;
  if (all_settled(&why)) {
    finished_ = true;
    note(0, "settled");
  } else if (since > settle_within_us_) {
    fail("L3", "the members did not come to rest after the faults stopped: " + why);
  }
}

void World::await_progress(int64_t since_us) {
  std::string stuck;
  uint32_t through = 0;
  for (uint32_t c = swarm_.clients; c < clients_.size(); ++c) {
    const Client& probe = clients_[c];
    if (!in_core(probe.member)) continue;
    const bool done =
        probe.serial != 0 && !probe.waiting && history_[probe.operation].outcome == OpOutcome::ok;
    through += done ? 1 : 0;
    if (done) continue;
    stuck += fmt::format(" {}", probe.member);
    // A restarted member with a long log and a slow processor applies all of it again before it can answer;
    // its time counts from the end of that.
    const runtime::Node* node = member(probe.member).node();
    if (node != nullptr && node->applied().value + kBacklogSlots < node->replica().acceptor().decided().value)
      replayed_at_us_ = queue_.now_us();
  }
  // A majority at once; a member that was away too long first needs a snapshot (the settling waits for it).
  const auto core = static_cast<uint32_t>(__builtin_popcount(core_));
  if (through > core / 2) {
    phase_ = 2;
    clients_on_ = false;
  } else if (queue_.now_us() - std::max(healed_at_us_, replayed_at_us_) > kProgressWithinUs ||
             since_us > settle_within_us_) {
    fail("L1", fmt::format("no progress within ten election timeouts after the faults stopped: no write "
                           "through member(s){}",
                           stuck));
  }
}

bool World::all_settled(std::string* why) {
  for (const Client& c : clients_)
    if (c.waiting) {
      *why = "still waiting: " + describe(history_[c.operation]);
      return false;
    }
  for (uint32_t c = swarm_.clients; c < clients_.size(); ++c)
    if (in_core(clients_[c].member) && history_[clients_[c].operation].outcome != OpOutcome::ok) {
      *why = fmt::format("no write through member {} succeeds", clients_[c].member);
      return false;
    }
  for (uint32_t n = 1; n <= swarm_.members; ++n)
    if (member(n).diverged()) {
      *why = fmt::format("member {} has another state than the others, and takes part all the same", n);
      return false;
    }
  const Slot end = ghost_.chosen_max();
  for (uint32_t n = 1; n <= swarm_.members; ++n) {
    const SimMember& m = member(n);
    if (!in_core(n)) continue;
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
  const auto first = static_cast<uint32_t>(__builtin_ctz(core_));
  for (uint32_t n = first + 1; n <= swarm_.members; ++n)
    if (in_core(n) && member(n).store().machine().digest() != member(first).store().machine().digest())
      fail("I17", fmt::format("members {} and {} have applied the same slots and differ", first, n));
  return true;
}

}  // namespace decree::lab
