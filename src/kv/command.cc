#include "kv/command.h"

#include <cstring>

namespace decree::kv {

namespace {
constexpr uint8_t kFormatVersion = 1;
}

std::string encode_command(CommandType type, std::string_view request, uint64_t quota_bytes) {
  std::string entry;
  entry.reserve(kCommandHeaderBytes + request.size());
  entry.push_back(static_cast<char>(kFormatVersion));
  entry.push_back(static_cast<char>(type));
  entry.append(6, '\0');
  for (int shift = 0; shift < 64; shift += 8) entry.push_back(static_cast<char>(quota_bytes >> shift));
  entry.append(request);
  return entry;
}

Result<Command> parse_command(std::string_view entry) {
  if (entry.size() < kCommandHeaderBytes) {
    return Error{ErrorCode::corrupt,
                 "a command of " + std::to_string(entry.size()) + " bytes is shorter than its header"};
  }
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(entry[i]); };
  if (byte(0) != kFormatVersion) {
    return Error{ErrorCode::format, "command format " + std::to_string(byte(0)) +
                                        " is newer than this release knows; upgrade this member"};
  }
  if (byte(1) < static_cast<uint8_t>(CommandType::put) ||
      byte(1) > static_cast<uint8_t>(CommandType::cluster_version)) {
    return Error{ErrorCode::format, "command type " + std::to_string(byte(1)) +
                                        " is unknown to this release; upgrade this member"};
  }
  for (size_t i = 2; i < 8; ++i) {
    if (byte(i) != 0) {
      return Error{ErrorCode::format, "a command's flags are unknown to this release; upgrade this member"};
    }
  }
  Command command;
  command.type = static_cast<CommandType>(byte(1));
  for (size_t i = 0; i < 8; ++i) command.quota_bytes |= static_cast<uint64_t>(byte(8 + i)) << (8 * i);
  command.request = entry.substr(kCommandHeaderBytes);
  return command;
}

}  // namespace decree::kv
