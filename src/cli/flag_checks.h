// Checks of flag values that say in words what they want (CLI11's own print the limits of a double).
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>

#include "cli/text.h"

namespace decree::cli {

inline CLI::Validator whole_number(int64_t least, int64_t most = std::numeric_limits<int64_t>::max()) {
  return CLI::Validator(
      [least, most](std::string& text) -> std::string {
        Result<int64_t> number = parse_integer(text);
        if (number && *number >= least && *number <= most) return {};
        if (most == std::numeric_limits<int64_t>::max()) {
          return fmt::format("\"{}\" is not a whole number from {} up", printable(text), least);
        }
        return fmt::format("\"{}\" is not a whole number from {} to {}", printable(text), least, most);
      },
      "", "whole_number");
}

}  // namespace decree::cli
