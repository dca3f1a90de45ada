// The shipped replicas under the same adversary: whole, with beats, time-outs and back-off. Their only timing
// is the tick, and a tick is a step without a message.
#pragma once

#include <memory>
#include <vector>

#include "decree/replica.h"
#include "lab/flp/async_world.h"

namespace decree::lab {

class ReplicaWorld final : public AsyncWorld {
 public:
  ReplicaWorld(std::vector<uint32_t> inputs, uint64_t seed);

  uint32_t processes() const override { return static_cast<uint32_t>(members_.size()); }
  const std::deque<PoolMessage>& pool() const override { return pool_; }
  void deliver(size_t index) override;
  void tick(uint32_t process) override;
  std::optional<uint32_t> decision(uint32_t process) const override { return members_[process - 1].decision; }
  uint64_t rounds() const override;
  uint64_t steps() const override { return steps_; }
  const Replica& replica(uint32_t process) const { return *members_[process - 1].replica; }
  std::string broken_invariant() const { return broken_; }

 private:
  struct Member {
    std::unique_ptr<Replica> replica;
    uint32_t input = 0;
    uint64_t now = 0;
    std::optional<uint32_t> decision;
  };
  void turn(uint32_t p, const Input& input);

  std::vector<Member> members_;
  std::deque<PoolMessage> pool_;
  uint64_t next_id_ = 1;
  uint64_t steps_ = 0;
  std::string broken_;
};

}  // namespace decree::lab
