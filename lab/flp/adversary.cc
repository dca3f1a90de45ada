#include "lab/flp/adversary.h"

#include <algorithm>

#include "decree/check.h"

namespace decree::lab {

void PoolAdversary::watch(const AsyncWorld& world) {
  const auto& pool = world.pool();
  auto it = std::lower_bound(pool.begin(), pool.end(), watched_ + 1,
                             [](const PoolMessage& m, uint64_t id) { return m.id < id; });
  for (; it != pool.end(); ++it) {
    watched_ = it->id;
    if (const auto* prepare = std::get_if<Prepare>(&it->message)) {
      Ballot& newest = newest_[it->from];
      if (prepare->ballot > newest) {
        newest = prepare->ballot;
        votes_[it->from] = 0;
      }
      promised_[it->from] = std::max(promised_[it->from], prepare->ballot);
    } else if (const auto* promise = std::get_if<Promise>(&it->message)) {
      promised_[it->from] = std::max(promised_[it->from], promise->ballot);
    }
  }
}

// The candidate's own vote is not in the pool: floor(N/2) of the others make the majority.
bool PoolAdversary::would_make_a_leader(const PoolMessage& m) const {
  const auto* promise = std::get_if<Promise>(&m.message);
  if (promise == nullptr) return false;
  const auto newest = newest_.find(m.to);
  if (newest == newest_.end() || newest->second != promise->ballot) return false;  // it went on long ago
  const auto promised = promised_.find(m.to);
  if (promised != promised_.end() && promised->second > promise->ballot)
    return false;  // it voted for another
  const auto votes = votes_.find(m.to);
  return votes != votes_.end() && votes->second + 1 >= processes_ / 2;
}

std::optional<size_t> PoolAdversary::choose(const AsyncWorld& world) {
  const auto& pool = world.pool();
  std::vector<size_t> free;
  for (size_t i = 0; i < pool.size(); ++i) {
    if (would_make_a_leader(pool[i])) continue;
    if (seed_ == 0) return i;
    free.push_back(i);
  }
  if (free.empty()) return std::nullopt;
  return free[random_.below(free.size())];
}

void PoolAdversary::delivered(const PoolMessage& m) {
  const auto* promise = std::get_if<Promise>(&m.message);
  if (promise != nullptr && newest_[m.to] == promise->ballot) ++votes_[m.to];
}

std::string PoolAdversary::state(const std::function<uint32_t(uint32_t)>& round) const {
  DECREE_CHECK(processes_ > 0, "an adversary needs somebody to hold up");
  std::string out;
  const auto put = [&out](uint32_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); };
  for (uint32_t p = 1; p <= processes_; ++p) {
    for (const auto* ballots : {&newest_, &promised_}) {
      const auto it = ballots->find(p);
      put(it == ballots->end() || it->second.is_none() ? 0 : round(it->second.round));
    }
    const auto votes = votes_.find(p);
    put(votes == votes_.end() ? 0 : votes->second);
  }
  put(turn_ % processes_);
  return out;
}

SiegeResult besiege(AsyncWorld& world, PoolAdversary& adversary, uint64_t rounds,
                    const std::function<bool(uint64_t round)>& on_round) {
  SiegeResult result;
  std::map<uint64_t, uint64_t> came_at;  // message: deliveries made when it was first seen
  const auto deliver = [&](size_t index) {
    const PoolMessage m = world.pool()[index];
    const auto came = came_at.find(m.id);
    if (came != came_at.end()) {
      result.longest_wait = std::max(result.longest_wait, result.delivered - came->second);
      came_at.erase(came);
    }
    ++result.delivered;
    adversary.delivered(m);
    world.deliver(index);
  };
  const auto look = [&] {
    adversary.watch(world);
    for (auto it = world.pool().rbegin(); it != world.pool().rend(); ++it)
      if (!came_at.emplace(it->id, result.delivered).second) break;
  };
  look();
  const uint64_t first = world.rounds();
  uint64_t seen = first;
  while (world.rounds() - first < rounds && !(result.decided = world.any_decision())) {
    if (const auto index = adversary.choose(world)) {
      deliver(*index);
    } else {
      ++result.ticks;
      world.tick(adversary.next_clock());
    }
    look();
    if (world.rounds() == seen) continue;
    seen = world.rounds();
    if (on_round && !on_round(seen - first)) break;
  }
  result.rounds = world.rounds() - first;
  result.held_at_end = world.pool().size();
  // The debts of the siege: everything under way is still delivered, each when it has become stale.
  const uint64_t last = world.pool().empty() ? 0 : world.pool().back().id;
  const uint64_t limit = world.steps() + 200000;
  while (!result.decided && !world.pool().empty() && world.pool().front().id <= last &&
         world.steps() < limit) {
    if (const auto index = adversary.choose(world)) {
      deliver(*index);
    } else {
      world.tick(adversary.next_clock());
    }
    look();
    result.decided = world.any_decision();
  }
  result.drained = world.pool().empty() || world.pool().front().id > last;
  return result;
}

std::optional<uint32_t> let_win(AsyncWorld& world, uint32_t favourite, uint32_t silent, uint64_t steps_max) {
  const auto of_another = [&](const PoolMessage& m) {
    if (m.from == silent) return true;
    const auto* prepare = std::get_if<Prepare>(&m.message);
    const auto* promise = std::get_if<Promise>(&m.message);
    const auto* accept = std::get_if<Accept>(&m.message);
    const Ballot* b = prepare != nullptr   ? &prepare->ballot
                      : promise != nullptr ? &promise->ballot
                      : accept != nullptr  ? &accept->ballot
                                           : nullptr;
    return b != nullptr && b->node.value != favourite;
  };
  for (uint64_t i = 0; i < steps_max; ++i) {
    if (const auto decided = world.any_decision()) return decided;
    const auto& pool = world.pool();
    size_t index = 0;
    while (index < pool.size() && of_another(pool[index])) ++index;
    if (index < pool.size()) {
      world.deliver(index);
    } else {
      world.tick(favourite);
    }
  }
  return world.any_decision();
}

SiegeResult besiege_bounded(AsyncWorld& world, PoolAdversary& adversary, const BoundedSiege& siege) {
  SiegeResult result;
  std::map<uint64_t, uint64_t> due;  // message: tick at which it can be held no longer
  uint64_t now = 0;
  const uint64_t first = world.rounds();
  while (world.rounds() - first < siege.rounds_max && !(result.decided = world.any_decision())) {
    adversary.watch(world);
    const auto& pool = world.pool();
    const bool calm = now >= siege.calm_from_ticks;
    size_t index = 0;
    for (; index < pool.size(); ++index) {
      const uint64_t limit = due.emplace(pool[index].id, now + siege.delay_ticks).first->second;
      if (calm || limit <= now || !adversary.would_make_a_leader(pool[index])) break;
    }
    if (index == pool.size()) {
      ++now;
      for (uint32_t p = 1; p <= world.processes(); ++p) world.tick(p);
      continue;
    }
    const PoolMessage m = pool[index];
    due.erase(m.id);
    ++result.delivered;
    adversary.delivered(m);
    world.deliver(index);
  }
  result.ticks = now;
  result.rounds = world.rounds() - first;
  return result;
}

}  // namespace decree::lab
