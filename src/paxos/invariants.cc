// Invariants one member can check about itself after every step (docs/invariants.md). The laboratory adds
// those that need the whole cluster.
#include "decree/replica.h"
#include "paxos/replica_impl.h"

namespace decree {

std::string Replica::broken_invariant() const {
  const Impl& r = *impl_;
  if (std::string kernel = r.acceptor.broken_invariant(); !kernel.empty()) return kernel;
  if (r.role != Role::follower && r.ballot.node != r.self) return "I2: leads or runs with a foreign ballot";
  if (r.role == Role::leader && r.acceptor.promised() < r.ballot) return "I3: leads above its own promise";
  if (r.acceptor.epoch() != r.membership.epoch) return "I11: the acceptor is in another epoch";
  if (r.role != Role::follower && (!r.votes() || r.ballot.epoch != r.membership.epoch))
    return "I12: leads or runs without a vote in the epoch";
  const Member* own = r.membership.find(r.self);
  const bool named = own != nullptr && own->role == MemberRole::voter &&
                     (own->incarnation == Incarnation(0) || own->incarnation == r.identity.incarnation);
  if (r.votes() && !named) return "I20: votes with a disk that the epoch does not name";
  if (r.role == Role::leader && r.acceptor.bill_ballot() != r.ballot)
    return "I6: leads without having bound the values of its ballot";
  if (r.applied > r.acceptor.decided()) return "I8: applied what was not decided";
  if (!r.acceptor.slot_durable(r.applied)) return "I10: applied what is not durable here";
  return "";
}

}  // namespace decree
