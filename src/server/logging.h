// Lines for an operator: time (UTC), level, message, key=value. Written by a thread of their own from a
// bounded queue: when the output cannot keep up the oldest lines are dropped, the server never waits.
#pragma once

#include <string>
#include <vector>

#include "decree/result.h"

namespace decree::server {

enum class Level : unsigned char { debug, info, warn, error };

// Error: an output that cannot be opened.
Result<void> start_logging(const std::string& level, const std::vector<std::string>& outputs);
void log_line(Level level, const std::string& sentence);
// Writes out what is queued.
void stop_logging();

}  // namespace decree::server
