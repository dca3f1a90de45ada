// Small conversions between what people type and read and what the API carries.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "decree/result.h"

namespace decree::cli {

// "500ms", "5s", "1.5s", "2m"; a plain number means seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
Result<int64_t> parse_integer(std::string_view text);
// Lease ids are written in hexadecimal, as etcdctl does.
Result<int64_t> parse_lease(std::string_view text);

// The smallest key above every key with this prefix; "\0" (everything) for an empty or all-0xff prefix.
std::string prefix_end(std::string_view prefix);

// One line, whatever the bytes: control characters, broken UTF-8 and the backslash as \n, \t, \\, \xNN.
std::string printable(std::string_view bytes);
std::string human_bytes(int64_t bytes);
std::string hex(uint64_t id);

// Columns padded to their widest cell; the first row is the head.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace decree::cli
