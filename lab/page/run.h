// A run that a person builds on the page: what the page asks for, and what it is told. Nothing is kept
// between two requests: each one carries the whole run and is played from the beginning on the shipped
// replicas.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "decree/result.h"
#include "lab/synod/run.h"

namespace decree::lab {

// How far to play on behind `to`; at most PageLimits::patience_ms of virtual time.
enum class PageUntil : uint8_t {
  here,
  message,  // something that the page draws: not a beat, not a tick
  note,     // the next line of the story
  point,    // the point of no return
  end,      // everybody who is up has written; from there, half a second
};

struct PageRequest {
  SynodOptions options;
  uint64_t to = 0;  // steps
  PageUntil until = PageUntil::here;
  bool beats = false;  // heartbeats in the trace
};

struct PageLimits {
  static constexpr uint32_t processes = 7;
  static constexpr size_t input_bytes = 12;
  static constexpr size_t actions = 500;     // of the schedule and by hand together
  static constexpr uint64_t steps = 100000;  // of a run
  static constexpr size_t lines = 20000;     // of a trace
  static constexpr uint64_t patience_ms = 10000;
  static constexpr size_t request_bytes = 32 * 1024;
};

// One statement a line: those of lab/synod/schedule.h, and
//   processes 3 | inputs 0,1,1 | seed 5 | to 57 | until message | beats
// The error is a sentence for the person.
Result<PageRequest> parse_page_request(std::string_view text);

// A JSON object: the trace's lines as `synod --json` writes them, what is to be seen now, the invariants.
std::string play_page_run(const PageRequest& request);

}  // namespace decree::lab
