// The program `decree` as a function, so that tests can call it.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace decree::cli {

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
};

// `arguments` without the program's name. Returns an ExitCode.
int run(const std::vector<std::string>& arguments, const Streams& streams);

}  // namespace decree::cli
