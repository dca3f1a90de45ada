// Seconds of processor time this process has used.
#pragma once

#include <ctime>

namespace decree::lab {

inline double cpu_now() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace decree::lab
