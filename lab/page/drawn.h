// Experiments that have a space-time diagram of their own, run and written down line by line.
#pragma once

#include <cstdint>

#include "lab/page/trace_lines.h"

namespace decree::lab {

// FloodSet with too few rounds (the first disagreement that exhaustive search finds) and the same crashes
// with one round more; early decision without any crash; FloodSet under omissions. Times are half rounds:
// sent, received.
void draw_flood(uint32_t processes, uint32_t faults, uint32_t more_rounds, TraceLines* lines);
void draw_early(uint32_t processes, uint32_t faults, TraceLines* lines);
void draw_omission(TraceLines* lines);

// The adversary that only delays, for so many rounds: against the kernel, with the valence of each round, and
// against whole replicas. Times are steps.
void draw_siege(uint32_t processes, uint64_t rounds, TraceLines* lines);
void draw_replica_siege(uint32_t processes, uint64_t rounds, TraceLines* lines);

// Bully with one message of ten times the bound: the first run in which two are coordinator at once. Times
// are milliseconds.
void draw_bully(TraceLines* lines);

}  // namespace decree::lab
