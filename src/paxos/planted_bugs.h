// Deliberate faults for testing the tests. Compiled in only with DECREE_PLANTED_BUGS (a second build
// of this folder that the laboratory links); in shipped binaries `planted()` is the constant false.
#pragma once

namespace decree::paxos {

enum class PlantedBug {
  none,
  forgotten_promise,   // a restart forgets what was promised
  ack_before_durable,  // Accepted and Promise leave before the disk has them
  lowest_ballot,       // Election adopts the value of the lowest ballot instead of the highest
  stale_accept,        // an acceptor takes Accepts below its promise
  small_quorum,        // Bills are decided by one vote less
  read_without_round,  // a leader answers reads without asking anyone
  trust_old_ballot,    // a follower applies a stale accepted value under a new decided index
};

#ifdef DECREE_PLANTED_BUGS
extern PlantedBug planted_bug;
inline bool planted(PlantedBug bug) { return planted_bug == bug; }
#else
constexpr bool planted(PlantedBug) { return false; }
#endif

}  // namespace decree::paxos
