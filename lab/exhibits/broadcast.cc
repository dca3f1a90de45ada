#include "lab/exhibits/broadcast.h"

#include <algorithm>

#include <fmt/format.h>

namespace decree::lab {

namespace {

constexpr uint64_t kStepsMax = 400000;

uint32_t sender_of(uint32_t id) { return id / 1000; }

// Which processes crash, and before which event.
std::vector<std::pair<uint64_t, uint32_t>> draw_crashes(Random& random, uint32_t processes,
                                                        uint32_t crashes) {
  std::vector<std::pair<uint64_t, uint32_t>> plan;
  std::set<uint32_t> victims;
  while (victims.size() < crashes) victims.insert(static_cast<uint32_t>(random.between(1, processes)));
  plan.reserve(victims.size());
  for (const uint32_t p : victims) plan.emplace_back(random.below(60), p);
  return plan;
}

BroadcastRun run_group(const BroadcastOptions& o) {
  OrderedGroup group(o.group);
  Random random(o.group.seed ^ 0xb40adca5);
  auto crashes = draw_crashes(random, o.group.processes, o.crashes);
  BroadcastRun run;
  run.name = fmt::format("seed {}", o.group.seed);
  run.sent.resize(o.group.processes);
  uint32_t left = o.group.processes * o.messages_each;
  bool busy = true;
  for (uint64_t step = 0; step < kStepsMax && (busy || left > 0); ++step) {
    for (const auto& [at, p] : crashes)
      if (at == step) group.crash(p);
    if (left > 0 && (!busy || random.chance(0.3))) {
      // Everybody in turn, so that each process sends messages_each.
      const uint32_t p = left % o.group.processes + 1;
      const uint32_t id = p * 1000 + --left;
      if (group.alive(p)) run.sent[p - 1].push_back(id);
      group.broadcast(p, id);
    }
    busy = group.step();
  }
  for (uint32_t p = 1; p <= group.processes(); ++p) {
    run.delivered.push_back(group.delivered(p));
    run.correct.push_back(group.alive(p));
  }
  run.data_messages = group.data_messages();
  run.consensus_messages = group.consensus_messages();
  run.instances = group.instances();
  return run;
}

bool holds(const std::vector<uint32_t>& list, uint32_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

PropertyVerdict check_validity_of(const BroadcastRun& run) {
  for (size_t p = 0; p < run.sent.size(); ++p)
    for (const uint32_t id : run.sent[p])
      if (run.correct[p] && !holds(run.delivered[p], id))
        return {"validity", false,
                fmt::format("{}: p{} never delivers its own message {}", run.name, p + 1, id)};
  return {"validity", true, run.name};
}

PropertyVerdict check_no_invention(const BroadcastRun& run) {
  for (size_t p = 0; p < run.delivered.size(); ++p)
    for (size_t i = 0; i < run.delivered[p].size(); ++i) {
      const uint32_t id = run.delivered[p][i];
      if (std::count(run.delivered[p].begin(), run.delivered[p].end(), id) > 1)
        return {"no duplication", false, fmt::format("{}: p{} delivers {} twice", run.name, p + 1, id)};
      if (!holds(run.sent[sender_of(id) - 1], id))
        return {"no creation", false,
                fmt::format("{}: p{} delivers {}, which nobody sent", run.name, p + 1, id)};
    }
  return {"no duplication, no creation", true, run.name};
}

PropertyVerdict check_uniform_agreement(const BroadcastRun& run) {
  for (size_t p = 0; p < run.delivered.size(); ++p)
    for (const uint32_t id : run.delivered[p])
      for (size_t q = 0; q < run.delivered.size(); ++q)
        if (run.correct[q] && !holds(run.delivered[q], id))
          return {"uniform agreement", false,
                  fmt::format("{}: p{} delivered {}, correct p{} never does", run.name, p + 1, id, q + 1)};
  return {"uniform agreement", true, run.name};
}

PropertyVerdict check_total_order(const BroadcastRun& run) {
  for (size_t p = 0; p < run.delivered.size(); ++p)
    for (size_t q = p + 1; q < run.delivered.size(); ++q) {
      const size_t common = std::min(run.delivered[p].size(), run.delivered[q].size());
      for (size_t i = 0; i < common; ++i)
        if (run.delivered[p][i] != run.delivered[q][i])
          return {"uniform total order", false,
                  fmt::format("{}: delivery {} is {} at p{} and {} at p{}", run.name, i + 1,
                              run.delivered[p][i], p + 1, run.delivered[q][i], q + 1)};
    }
  return {"uniform total order", true, run.name};
}

}  // namespace

BroadcastRun run_broadcast(const BroadcastOptions& options) { return run_group(options); }

std::vector<PropertyVerdict> check_broadcast(const BroadcastRun& run) {
  return {check_validity_of(run), check_no_invention(run), check_uniform_agreement(run),
          check_total_order(run)};
}

ConsensusRun consensus_by_broadcast(const GroupOptions& group, uint32_t crashes) {
  BroadcastOptions o;
  o.group = group;
  o.messages_each = 1;
  o.crashes = crashes;
  const BroadcastRun run = run_group(o);
  ConsensusRun result;
  result.name = run.name;
  for (uint32_t p = 1; p <= group.processes; ++p) {
    // Process p's input is its own number; its message carries it.
    ProcessOutcome outcome{p, std::to_string(p), WriteOnce{}, run.correct[p - 1]};
    if (!run.delivered[p - 1].empty())
      outcome.output.write(std::to_string(sender_of(run.delivered[p - 1].front())));
    result.processes.push_back(std::move(outcome));
  }
  return result;
}

}  // namespace decree::lab
