// Switches planted bugs on. Compiled twice: in decree-lab-planted the core was built with its faults inside.
#include "lab/commands.h"
#include "paxos/planted_bugs.h"

namespace decree::lab {

#ifdef DECREE_PLANTED_BUGS

namespace {

struct Named {
  const char* name;
  paxos::PlantedBug bug;
};
constexpr Named kBugs[] = {
    {"forgotten_promise", paxos::PlantedBug::forgotten_promise},
    {"ack_before_durable", paxos::PlantedBug::ack_before_durable},
    {"lowest_ballot", paxos::PlantedBug::lowest_ballot},
    {"stale_accept", paxos::PlantedBug::stale_accept},
    {"small_quorum", paxos::PlantedBug::small_quorum},
    {"read_without_round", paxos::PlantedBug::read_without_round},
    {"trust_old_ballot", paxos::PlantedBug::trust_old_ballot},
};

}  // namespace

std::string planted_names() {
  std::string names = "early_persisted";
  for (const Named& b : kBugs) names += std::string(" ") + b.name;
  return names;
}

bool plant(const std::string& name, bool* early_persisted) {
  *early_persisted = name == "early_persisted";
  if (*early_persisted) return true;
  for (const Named& b : kBugs)
    if (name == b.name) {
      paxos::planted_bug = b.bug;
      return true;
    }
  return false;
}

#else

std::string planted_names() { return ""; }
bool plant(const std::string&, bool*) { return false; }

#endif

}  // namespace decree::lab
