// Every claim is stated before it is checked; a false one makes the exit code 1.
#pragma once

#include <ostream>
#include <string>

namespace decree::lab {

class Claims {
 public:
  explicit Claims(std::ostream& out) : out_(out) {}
  // Where the experiment tells what it does; outlives it.
  std::ostream& out() { return out_; }
  void claim(bool holds, const std::string& sentence) {
    out_ << (holds ? "  holds:  " : "  BROKEN: ") << sentence << '\n';
    broken_ = broken_ || !holds;
  }
  int exit_code() const { return broken_ ? 1 : 0; }

 private:
  std::ostream& out_;
  bool broken_ = false;
};

}  // namespace decree::lab
