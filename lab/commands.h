// The subcommands of decree-lab.
#pragma once

#include <cstdint>
#include <string>

namespace decree::lab {

// Exit codes: 0 clean, 1 something was found, 2 the command could not be carried out.
int check_history_command(const std::string& file, bool also_keys);

}  // namespace decree::lab
