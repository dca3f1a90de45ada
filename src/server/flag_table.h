// Every flag there is: those we know what to do with, and etcd's others with the reason why not.
#pragma once

#include <span>
#include <string>

namespace decree::server {

enum class FlagSupport : unsigned char {
  yes,
  fixed,  // accepted with the one value that is true here, refused with any other
  no,     // refused by name
};

struct FlagSpec {
  const char* name;      // without dashes
  const char* standard;  // default, or for `fixed` the value that is accepted ("a|b": either)
  bool is_switch;        // may stand without a value
  FlagSupport support;
  const char* text;  // help, or the reason for the refusal
};

std::span<const FlagSpec> flag_table();
const FlagSpec* find_flag(const std::string& name);

}  // namespace decree::server
