// Little-endian numbers in buffers, for the formats of this folder.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "decree/types.h"

namespace decree::storage {

template <class Number>
inline void store_le(char* to, Number value) {
  for (size_t i = 0; i < sizeof(Number); ++i)
    to[i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
}

template <class Number>
inline Number load_le(const char* from) {
  Number value = 0;
  for (size_t i = 0; i < sizeof(Number); ++i)
    value = static_cast<Number>(
        value | static_cast<Number>(static_cast<Number>(static_cast<uint8_t>(from[i])) << (8 * i)));
  return value;
}

constexpr size_t kBallotBytes = 16;

inline void store_ballot(char* to, const Ballot& ballot) {
  store_le<uint32_t>(to, ballot.epoch);
  store_le<uint32_t>(to + 4, ballot.round);
  store_le<uint32_t>(to + 8, ballot.priority);
  store_le<uint32_t>(to + 12, ballot.node.value);
}

inline Ballot load_ballot(const char* from) {
  Ballot ballot;
  ballot.epoch = load_le<uint32_t>(from);
  ballot.round = load_le<uint32_t>(from + 4);
  ballot.priority = static_cast<uint16_t>(load_le<uint32_t>(from + 8));
  ballot.node = NodeId(load_le<uint32_t>(from + 12));
  return ballot;
}

}  // namespace decree::storage
