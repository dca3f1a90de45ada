// WHAT A DISK ONCE HELD, remembered by the others (protocol 2.14): a disk that answered a sync and lost the
// write, or an old image of it that was put back, cannot be told by its own member. Every durable write of a
// disk counts; what a member says about itself carries the count; whoever is connected remembers the highest.
// A member that starts with less than it once said has forgotten promises or acceptances: nothing it says
// counts from then on, and it is told so.
//
// The memory is as good as whoever remembers: it is not written down (docs/protocol.md says what that means).
#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "paxos/replica_impl.h"

namespace decree {

// A connection came up; nothing was heard of its process before. Within one start the count cannot fall.
void Replica::Impl::judge_disk(Peer& p, const PeerLink& link) {
  const bool same_start = link.boot != 0 && link.boot == p.boot;
  p.boot = link.boot;
  if (same_start) return;
  p.outdated = link.disk_writes != 0 && link.disk_writes < p.disk_writes;
  if (planted(PlantedBug::old_image_votes)) p.outdated = false;
  DECREE_SOMETIMES("a peer comes back with less than it once said", p.outdated);
  if (p.outdated) turn_away(p);
}

// Of a start that no connection has named, nothing is remembered: named later, it would seem to have begun
// with less than it said since.
void Replica::Impl::hear_disk(NodeId from, uint64_t writes) {
  if (Peer* p = peer(from); p != nullptr && p->boot != 0) p->disk_writes = std::max(p->disk_writes, writes);
}

void Replica::Impl::turn_away(const Peer& p) {
  send(p.node, Nack{Ballot{}, acceptor.promised(), NackReason::old_disk, p.boot, p.disk_writes});
}

void Replica::Impl::on_old_disk(NodeId from, const Nack& m) {
  if (m.boot != boot || m.disk_writes <= disk_writes_found || disowned) return;
  DECREE_SOMETIMES("a member is told that its disk is an old one", true);
  disowned = true;
  voting = false;
  leave_role();
  if (!leader.is_none()) follow(Ballot{});
  out->jobs.push_back(DiskOutdated{from, m.disk_writes, disk_writes_found});
}

}  // namespace decree
