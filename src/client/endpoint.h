// Endpoints as people write them: "127.0.0.1:2379", "http://db1:2379", "[::1]:2379", "db1".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "decree/result.h"
#include "net/tcp.h"

namespace decree::client {

constexpr uint16_t default_port = 2379;

Result<net::HostPort> parse_endpoint(std::string_view text);
// Separated by commas; at least one.
Result<std::vector<net::HostPort>> parse_endpoints(std::string_view text);

}  // namespace decree::client
