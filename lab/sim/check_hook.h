// In the laboratory a failed DECREE_CHECK is a finding, not the end of the process: it is thrown, with its
// sentence.
#pragma once

#include <string>

namespace decree::lab {

struct CheckFailed {
  std::string sentence;
};

// While one lives, check_failed() throws CheckFailed on this thread; else it prints and aborts as everywhere.
class CatchChecks {
 public:
  CatchChecks();
  ~CatchChecks();
  CatchChecks(const CatchChecks&) = delete;
  CatchChecks& operator=(const CatchChecks&) = delete;
};

}  // namespace decree::lab
