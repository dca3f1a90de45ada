// Total-order broadcast built on consensus: what a process receives and has not delivered, it proposes as a
// set in the next instance; the set that wins is delivered by everybody, in the order of the ids (row M3).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "lab/flp/kernel.h"
#include "lab/sim/random.h"

namespace decree::lab {

enum class Ordering : uint8_t {
  consensus,
  receipt,  // delivered in the order of arrival: reliable, not ordered
};

struct GroupOptions {
  uint32_t processes = 3;
  uint64_t seed = 1;
  Ordering ordering = Ordering::consensus;
  bool relay =
      true;  // who receives a message first passes it on; without it a crashing sender splits the group
};

class OrderedGroup {
 public:
  explicit OrderedGroup(const GroupOptions& options);

  // Ids are unique, chosen by the caller. Leaves for everybody, the sender included.
  void broadcast(uint32_t process, uint32_t id);
  // Stops for good. What it sent last may be lost on its way to any subset.
  void crash(uint32_t process);
  // One event, drawn. False: nothing is left to do.
  bool step();

  uint32_t processes() const { return static_cast<uint32_t>(members_.size()); }
  bool alive(uint32_t process) const { return members_[process - 1].alive; }
  const std::vector<uint32_t>& delivered(uint32_t process) const { return members_[process - 1].delivered; }
  uint64_t data_messages() const { return data_messages_; }
  uint64_t consensus_messages() const { return consensus_messages_; }
  uint64_t instances() const { return instances_.size(); }

 private:
  struct Member {
    bool alive = true;
    std::set<uint32_t> received;
    std::set<uint32_t> done;
    std::vector<uint32_t> delivered;
    size_t instance = 0;  // whose decision it waits for
    bool proposed = false;
  };
  struct Instance {
    std::unique_ptr<KernelWorld> world;            // decides whose proposal wins
    std::vector<std::vector<uint32_t>> proposals;  // by process
  };
  struct Parcel {
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t id = 0;
  };

  Member& at(uint32_t p) { return members_[p - 1]; }
  void send_to_all(uint32_t from, uint32_t id);
  void receive(uint32_t p, uint32_t id);
  void advance(uint32_t p);
  Instance& instance(size_t k);
  // Runs `event` on the instance's world and counts the messages it sends.
  void in_instance(Instance& i, size_t taken, const std::function<void(KernelWorld&)>& event);

  GroupOptions options_;
  Random random_;
  std::vector<Member> members_;
  std::deque<Parcel> parcels_;
  std::vector<Instance> instances_;
  uint64_t data_messages_ = 0;
  uint64_t consensus_messages_ = 0;
};

}  // namespace decree::lab
