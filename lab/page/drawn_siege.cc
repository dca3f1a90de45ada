#include <fmt/format.h>

#include "lab/check/ghost.h"
#include "lab/flp/adversary.h"
#include "lab/flp/replica_world.h"
#include "lab/flp/valence.h"
#include "lab/page/drawn.h"

namespace decree::lab {

namespace {

std::string ballot_of(const Message& message) {
  if (const auto* prepare = std::get_if<Prepare>(&message))
    return "round " + std::to_string(prepare->ballot.round);
  if (const auto* promise = std::get_if<Promise>(&message))
    return "round " + std::to_string(promise->ballot.round);
  if (const auto* accept = std::get_if<Accept>(&message))
    return "round " + std::to_string(accept->ballot.round);
  if (const auto* nack = std::get_if<Nack>(&message))
    return "promised round " + std::to_string(nack->promised.round);
  return "";
}

bool is_beat(const Message& message) {
  return std::holds_alternative<Beat>(message) || std::holds_alternative<BeatReply>(message);
}

// Passes everything on to a world and writes down what happens.
class WrittenWorld final : public AsyncWorld {
 public:
  WrittenWorld(AsyncWorld& world, TraceLines* lines) : world_(world), lines_(*lines) {}

  uint32_t processes() const override { return world_.processes(); }
  const std::deque<PoolMessage>& pool() const override { return world_.pool(); }
  std::optional<uint32_t> decision(uint32_t process) const override { return world_.decision(process); }
  uint64_t rounds() const override { return world_.rounds(); }
  uint64_t steps() const override { return world_.steps(); }

  void deliver(size_t index) override {
    const PoolMessage m = world_.pool()[index];
    lines_.at(world_.steps() + 1);
    if (!is_beat(m.message)) lines_.deliver(m.id, m.from, m.to, message_name(m.message));
    world_.deliver(index);
    tell_new(m.to);
  }
  void tick(uint32_t process) override {
    lines_.at(world_.steps() + 1);
    const uint64_t rounds = world_.rounds();
    world_.tick(process);
    if (world_.rounds() != rounds) lines_.clock(process);
    tell_new(process);
  }

 private:
  void tell_new(uint32_t process) {
    for (const PoolMessage& m : world_.pool()) {
      if (m.id <= told_) continue;
      told_ = m.id;
      const auto* prepare = std::get_if<Prepare>(&m.message);
      if (prepare != nullptr && prepare->ballot != asked_) {
        asked_ = prepare->ballot;
        lines_.note(
            m.from, "ELECTION",
            fmt::format("p{} opens round {}, whatever became of the one before", m.from, asked_.round));
      }
      if (!is_beat(m.message)) lines_.send(m.id, m.from, m.to, message_name(m.message), ballot_of(m.message));
    }
    if (const auto d = world_.decision(process)) lines_.output(process, std::to_string(*d));
  }

  AsyncWorld& world_;
  TraceLines& lines_;
  uint64_t told_ = 0;
  Ballot asked_;
};

void tell_inputs(uint32_t n, TraceLines* lines) {
  for (uint32_t p = 0; p < n; ++p) lines->start(p + 1, std::to_string(p % 2));
}

void tell_end(const SiegeResult& r, TraceLines* lines) {
  lines->note(1, "ROUND",
              fmt::format("{} rounds, {} messages delivered, {} ticks, nobody crashed, {}", r.rounds,
                          r.delivered, r.ticks, r.decided ? "DECIDED" : "nothing decided"));
}

}  // namespace

void draw_siege(uint32_t n, uint64_t rounds, TraceLines* lines) {
  KernelOptions o;
  o.voters = n;
  o.inputs = mixed_inputs(n);
  KernelWorld kernel(o);
  tell_inputs(n, lines);
  WrittenWorld world(kernel, lines);
  PoolAdversary adversary(n, 0);
  const SiegeResult r = besiege(world, adversary, rounds, [&](uint64_t round) {
    const bool open = witnessed_valence(kernel) == kBivalent;
    lines->note(0, "ROUND",
                fmt::format("{}: {} Elections have begun, {}", open ? "bivalent" : "settled", round,
                            open ? "and both 0 and 1 can still be decided" : "and only one value is left"));
    return true;
  });
  tell_end(r, lines);
}

void draw_replica_siege(uint32_t n, uint64_t rounds, TraceLines* lines) {
  ReplicaWorld replicas(mixed_inputs(n), 1);
  tell_inputs(n, lines);
  WrittenWorld world(replicas, lines);
  PoolAdversary adversary(n, 0);
  tell_end(besiege(world, adversary, rounds, nullptr), lines);
}

}  // namespace decree::lab
