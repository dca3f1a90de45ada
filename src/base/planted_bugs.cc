#include "base/planted_bugs.h"

namespace decree {

#ifdef DECREE_PLANTED_BUGS
PlantedBug planted_bug = PlantedBug::none;
#endif

}  // namespace decree
