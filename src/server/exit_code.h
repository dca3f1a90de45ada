// How decreed ends; docs/operations.md has the table for operators.
#pragma once

#include "decree/result.h"

namespace decree::server {

enum class ExitCode : int {
  ok = 0,
  failure = 1,        // anything not below; the message says what
  usage = 2,          // flags, environment or configuration file
  address = 3,        // a port is in use, or an address is not of this machine
  locked = 4,         // another process uses the data directory
  identity = 5,       // data directory of another cluster or member
  permission = 6,     // no right to read or write the data directory
  corrupt = 7,        // damaged data
  no_space = 8,       // the disk is full at start
  format = 9,         // written by a newer release
  log_failed = 10,    // a write or sync of the log failed while running: stopped at once, on purpose
  removed = 12,       // this member was removed from the cluster
  diverged = 13,      // a majority has another state, and starting anew with theirs did not help
  start_again = 64,   // inside the process only: the disk was given up, start anew with another
  stop_timeout = 11,  // stopping took too long (a hanging disk); nothing acknowledged is lost
};

ExitCode exit_code_of(const Error& error);

}  // namespace decree::server
