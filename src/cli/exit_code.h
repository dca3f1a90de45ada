// What `decree` returns to the shell. Part of the interface: scripts depend on it.
#pragma once

namespace decree::cli {

enum ExitCode : int {
  exit_ok = 0,
  exit_negative =
      1,           // served, and the answer is no: key not found, nothing deleted, condition of a txn false
  exit_usage = 2,  // wrong flags, arguments, addresses
  exit_unavailable = 3,  // nobody could serve it, and it is certain that nothing was changed
  exit_unknown = 4,      // a change was sent and no answer came: it may or may not have been done
  exit_refused = 5,      // the server refused it: compacted revision, quota, rights, ...
  exit_local = 6,        // something here failed: unreadable input, broken output
};

}  // namespace decree::cli
