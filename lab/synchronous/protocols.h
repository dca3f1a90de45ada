// How the experiments build the protocols of decree/synchronous.h.
#pragma once

#include "decree/synchronous.h"

namespace decree::lab {

inline auto make_flood(uint32_t rounds) {
  return [rounds](uint32_t, uint32_t input) { return synchronous::FloodSet<uint32_t>(input, rounds); };
}
inline auto make_relay(uint32_t rounds) {
  return [rounds](uint32_t, uint32_t input) { return synchronous::RelayOnce<uint32_t>(input, rounds); };
}
inline auto make_early(uint32_t processes, uint32_t rounds) {
  return [processes, rounds](uint32_t, uint32_t input) {
    return synchronous::EarlyDeciding<uint32_t>(input, processes, rounds);
  };
}

}  // namespace decree::lab
