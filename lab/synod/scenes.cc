// Prepared runs: one for each thing the notes say can happen. Tests check that they show what they promise.
#include "lab/synod/schedule.h"

namespace decree::lab {

const std::vector<SynodScene>& synod_scenes() {
  static const std::vector<SynodScene> scenes = {
      {"calm", "M1", "Nothing goes wrong: one ELECTION, one BILL, one LAW; everybody writes its output once.",
       3, 1, "0,1,1", "calm 1000\n"},
      {"no-majority", "M12",
       "Every Promise is lost for three seconds: candidates never reach a quorum of votes, and round follows "
       "round; when "
       "the network heals, one of them wins.",
       3, 2, "0,1,1", "lose Promise\ncalm 3000\n"},
      {"two-leaders", "M12",
       "While one process leads, another becomes a would-be leader: for some time both believe they lead. "
       "The higher "
       "round wins, and it has to take over the value of the lower one.",
       3, 5, "0,1,1", "delay 60\nat 130 rival 2\nat 300 rival 3\nat 500 rival 1\ncalm 1500\n"},
      {"lost-laws", "M14",
       "Every Law message is lost for two seconds: the others learn what is decided from beats and from one "
       "another.",
       3, 3, "1,0,0", "lose Law\ncalm 2000\n"},
      {"abort", "M11",
       "A candidate hears of a higher round while it waits for its votes: it aborts everything and moves to "
       "it.",
       5, 4, "0,1,0,1,1", "delay 120\nsync 60\ncalm 2500\n"},
      {"restart", "M17",
       "Processes crash in the middle of rounds and look at their logs when they return: promises and "
       "accepted values "
       "are still there.",
       3, 8, "0,1,1",
       "delay 40\nsync 30\nat 90 crash 1\nat 200 restart 1\nat 260 crash 2\nat 420 restart 2\nat 430 crash "
       "3\n"
       "at 600 restart 3\ncalm 1500\n"},
  };
  return scenes;
}

}  // namespace decree::lab
