// Which DECREE_SOMETIMES markers of the linked object files were hit. Process-wide, like the flags
// themselves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace decree::lab {

constexpr size_t kMarkersMax = 256;

// One bit per marker, in the order of marker_names().
struct MarkerSet {
  std::array<uint64_t, kMarkersMax / 64> words{};
  bool has(size_t marker) const { return (words[marker / 64] >> (marker % 64) & 1) != 0; }
};

// All that are linked, hit or not. The order is that of one build of one program.
const std::vector<const char*>& marker_names();
// Those hit since the last call; clears them.
MarkerSet take_markers();

}  // namespace decree::lab
