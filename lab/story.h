// A schedule told in sentences: every step, and below it what it brought about.
#pragma once

#include <ostream>

#include "lab/sim/script.h"

namespace decree::lab {

ScriptResult tell_story(const Schedule& schedule, std::ostream& out);

}  // namespace decree::lab
