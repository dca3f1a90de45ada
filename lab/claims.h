// Every claim is stated before it is checked; a false one makes the exit code 1.
#pragma once

#include <iostream>
#include <string>

namespace decree::lab {

class Claims {
 public:
  void claim(bool holds, const std::string& sentence) {
    std::cout << (holds ? "  holds:  " : "  BROKEN: ") << sentence << '\n';
    broken_ = broken_ || !holds;
  }
  int exit_code() const { return broken_ ? 1 : 0; }

 private:
  bool broken_ = false;
};

}  // namespace decree::lab
