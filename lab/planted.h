// The bugs that decree-lab-planted has inside (base/planted_bugs.h). In decree-lab there are none.
#pragma once

#include <string>
#include <vector>

namespace decree::lab {

struct PlantedInfo {
  const char* name = "";      // number of the real bug, and a word for it
  const char* where = "";     // folder/file
  const char* sentence = "";  // what is wrong
};

std::vector<PlantedInfo> planted_bugs();
// False: no bug of that name in this program.
bool plant(const std::string& name);
void unplant();

}  // namespace decree::lab
