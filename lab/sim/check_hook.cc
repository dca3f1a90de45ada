#include "lab/sim/check_hook.h"

#include <cstdio>
#include <cstdlib>

#include "decree/check.h"

namespace decree {

namespace {
thread_local int catching = 0;
}

// Takes the place of src/base/check.cc in programs that link the laboratory.
void check_failed(const char* file, int line, const char* condition, const char* message) {
  if (catching > 0)
    throw lab::CheckFailed{std::string(message) + " (" + condition + ", " + file + ":" +
                           std::to_string(line) + ")"};
  std::fprintf(stderr,
               "decree: broken invariant at %s:%d: %s (%s). Stopping, so that nothing wrong spreads.\n", file,
               line, message, condition);
  std::fflush(stderr);
  std::abort();
}

namespace lab {

CatchChecks::CatchChecks() { ++catching; }
CatchChecks::~CatchChecks() { --catching; }

}  // namespace lab
}  // namespace decree
