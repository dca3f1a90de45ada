// One decreed: everything wired together, from an opened data directory to the last byte written.
#pragma once

#include "server/config.h"
#include "server/exit_code.h"

namespace decree::server {

// Runs until SIGTERM or SIGINT, or until the log fails. Errors are told on stderr, one sentence, and in the
// log.
ExitCode run_process(const Config& config);

}  // namespace decree::server
