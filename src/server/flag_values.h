// Where the values of flags come from: the command line, the environment, a file. Nothing is interpreted
// here.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/config.h"

namespace decree::server {

struct FlagValues {
  std::map<std::string, std::string> values;  // every supported flag, defaults filled in
  std::set<std::string> given;                // those not left at their default
  std::vector<std::string> notes;
  std::string print;  // --help, --version
};

// A flag that is refused; the sentence says which and what to do.
Error invalid(std::string sentence);

Result<FlagValues> collect_flags(const std::vector<std::string>& arguments, const Environment& environment);

// Empty when the value is what it is called, else a sentence.
Result<std::map<std::string, std::string>> parse_config_file(const std::string& text,
                                                             const std::string& path);

}  // namespace decree::server
