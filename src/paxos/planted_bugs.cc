#include "paxos/planted_bugs.h"

namespace decree::paxos {

#ifdef DECREE_PLANTED_BUGS
PlantedBug planted_bug = PlantedBug::none;
#endif

}  // namespace decree::paxos
