// How seeds are named on the command line.
#pragma once

#include <cstdint>
#include <string>

namespace decree::lab {

// "A..B" or "A". False, and nothing said about the outputs, for anything else and for ranges that are empty.
bool parse_range(const std::string& text, uint64_t* first, uint64_t* last);

}  // namespace decree::lab
