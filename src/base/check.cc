#include "decree/check.h"

#include <cstdio>
#include <cstdlib>

namespace decree {

void check_failed(const char* file, int line, const char* condition, const char* message) {
  std::fprintf(stderr,
               "decree: broken invariant at %s:%d: %s (%s). Stopping, so that nothing wrong spreads; please "
               "report this line.\n",
               file, line, message, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace decree
