// DECREE_SOMETIMES("name", condition): a place that must be reached sometimes, or nobody can claim that it
// was searched.
//
// The laboratory lists the markers that a campaign never hit (docs/simulator.md). Decides nothing, and
// nothing in the product reads it. Cost where the condition is false: the condition; where it is true: one
// store (docs/decisions/0011-sometimes-markers.md). For .cc files only: not in inline functions or templates.
#pragma once

#include <atomic>

namespace decree {

struct SometimesMarker {
  const char* name;
  std::atomic<bool> hit;
};

}  // namespace decree

#define DECREE_SOMETIMES(text, condition)                                      \
  do {                                                                         \
    if (condition) {                                                           \
      static constinit ::decree::SometimesMarker decree_marker{text, false};   \
      static ::decree::SometimesMarker* const decree_marker_entry              \
          __attribute__((section("decree_sometimes"), used)) = &decree_marker; \
      decree_marker.hit.store(true, std::memory_order_relaxed);                \
    }                                                                          \
  } while (false)
