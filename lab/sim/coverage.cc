#include "lab/sim/coverage.h"

#include "decree/check.h"
#include "decree/sometimes.h"

// Made by the linker: the ends of the section that every marker puts a pointer into.
extern "C" {
extern decree::SometimesMarker* const __start_decree_sometimes[];
extern decree::SometimesMarker* const __stop_decree_sometimes[];
}

namespace decree::lab {

const std::vector<const char*>& marker_names() {
  static const std::vector<const char*> names = [] {
    std::vector<const char*> found;
    for (auto* const* at = __start_decree_sometimes; at != __stop_decree_sometimes; ++at)
      found.push_back((*at)->name);
    DECREE_CHECK(found.size() <= kMarkersMax, "raise kMarkersMax");
    return found;
  }();
  return names;
}

MarkerSet take_markers() {
  MarkerSet set;
  size_t i = 0;
  for (auto* const* at = __start_decree_sometimes; at != __stop_decree_sometimes; ++at, ++i)
    if ((*at)->hit.exchange(false, std::memory_order_relaxed)) set.words[i / 64] |= 1ULL << (i % 64);
  return set;
}

}  // namespace decree::lab
