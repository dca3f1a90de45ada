#include "lab/flp/replica_world.h"

#include <algorithm>

#include "lab/flp/kernel.h"

namespace decree::lab {

ReplicaWorld::ReplicaWorld(std::vector<uint32_t> inputs, uint64_t seed) {
  std::vector<decree::Member> list;
  for (uint32_t p = 1; p <= inputs.size(); ++p) {
    decree::Member m;
    m.node = NodeId(p);
    m.member_id = p;
    list.push_back(m);
  }
  const Membership membership = make_membership(list);
  for (uint32_t p = 1; p <= inputs.size(); ++p) {
    RecoveredState fresh;
    fresh.identity.node = NodeId(p);
    fresh.boot = 1;
    Options options;
    options.seed = seed * 16 + p;
    Member m;
    m.replica = std::make_unique<Replica>(std::move(fresh), membership, options);
    m.input = inputs[p - 1];
    members_.push_back(std::move(m));
  }
  for (uint32_t p = 1; p <= processes(); ++p)
    for (uint32_t q = 1; q <= processes(); ++q)
      if (q != p) turn(p, PeerLink{NodeId(q), true});
}

uint64_t ReplicaWorld::rounds() const {
  uint64_t sum = 0;
  for (const Member& m : members_) sum += m.replica->status().elections;
  return sum;
}

void ReplicaWorld::tick(uint32_t p) {
  ++steps_;
  turn(p, Ticked{Tick(++members_[p - 1].now)});
}

void ReplicaWorld::deliver(size_t index) {
  ++steps_;
  const PoolMessage m = std::move(pool_[index]);
  pool_.erase(pool_.begin() + static_cast<ptrdiff_t>(index));
  turn(m.to, Received{NodeId(m.from), m.message});
}

// The disk is instantaneous: nobody crashes in this world, and slow disks are only slow messages.
void ReplicaWorld::turn(uint32_t p, const Input& first) {
  Member& member = members_[p - 1];
  std::vector<Input> inputs = {first};
  while (!inputs.empty()) {
    Effects effects;
    for (const Input& input : inputs) member.replica->step(input, effects);
    inputs.clear();
    for (const Job& job : effects.jobs) {
      const auto* change = std::get_if<LeadershipChanged>(&job);
      if (change == nullptr || !change->is_self) continue;
      // As in the synod: a leader whose Election brought no value proposes its own.
      const Acceptor& acceptor = member.replica->acceptor();
      bool bound = false;
      for (Slot s(1); s < acceptor.next_acceptable(); s = s.next()) {
        const paxos::LogSlot* held = acceptor.log().find(s);
        bound = bound || (held != nullptr && held->entry.kind == EntryKind::command);
      }
      if (!bound) {
        Entry own = value_entry(member.input);
        own.id = RequestId{NodeId(p), 1, 1 + member.input};
        member.replica->step(Propose{own}, effects);
      }
      break;
    }
    member.replica->end_turn(effects);
    for (std::vector<Outgoing>* queue : {&effects.send_now, &effects.released})
      for (Outgoing& out : *queue) {
        PoolMessage sent{next_id_++, p, out.to.value, std::move(out.message), steps_};
        pool_.push_back(std::move(sent));
      }
    for (const DecidedEntry& d : effects.decided)
      if (d.entry.kind == EntryKind::command && !member.decision)
        member.decision = static_cast<uint32_t>(std::stoul(std::string(d.entry.bytes())));
    if (!effects.persist.empty()) inputs.push_back(Persisted{effects.persist.back().token});
  }
  if (broken_.empty()) broken_ = member.replica->broken_invariant();
}

}  // namespace decree::lab
