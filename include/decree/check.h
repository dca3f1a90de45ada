// The three kinds of "no" that are a programmer's error, and the marker for rare branches.
//
// DECREE_CHECK stays on in every build: a consensus system that goes on after a broken invariant
// spreads the damage. DECREE_CHECK_SLOW is for O(n) checks (tests, lab, preset dev).
#pragma once

namespace decree {

// Prints file, line and message to stderr and aborts. Replaceable for tests that expect a breach.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);

}  // namespace decree

#define DECREE_CHECK(condition, message)                                 \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::decree::check_failed(__FILE__, __LINE__, #condition, (message)); \
  } while (false)

#ifdef DECREE_SLOW_CHECKS
#define DECREE_CHECK_SLOW(condition, message) DECREE_CHECK(condition, message)
#else
#define DECREE_CHECK_SLOW(condition, message) \
  do {                                        \
  } while (false)
#endif
