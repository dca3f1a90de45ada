#include "client/endpoint.h"

#include <charconv>

namespace decree::client {

namespace {

Error bad(std::string_view text, std::string_view why) {
  return Error{ErrorCode::invalid,
               "\"" + std::string(text) + "\" is not an endpoint: " + std::string(why) +
                   "; write host:port, for example 127.0.0.1:2379 or http://127.0.0.1:2379"};
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool host_is_plain(std::string_view host) {
  for (const char c : host) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
    if (!fine) return false;
  }
  return !host.empty();
}

}  // namespace

Result<net::HostPort> parse_endpoint(std::string_view original) {
  std::string_view text = trimmed(original);
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    const std::string_view name = text.substr(0, scheme);
    if (name == "https") return bad(original, "TLS (https) is not supported yet");
    if (name != "http") return bad(original, "the scheme must be http");
    text.remove_prefix(scheme + 3);
    if (!text.empty() && text.back() == '/') text.remove_suffix(1);
  }
  if (text.empty()) return bad(original, "the host is missing");
  net::HostPort endpoint{"", default_port};
  std::string_view port;
  bool has_port = false;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return bad(original, "the ] of the IPv6 address is missing");
    endpoint.host = std::string(text.substr(1, close - 1));
    const std::string_view rest = text.substr(close + 1);
    has_port = !rest.empty();
    if (has_port && rest.front() != ':') return bad(original, "only :port may follow the ]");
    if (has_port) port = rest.substr(1);
  } else {
    const size_t colon = text.find(':');
    if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
      return bad(original, "an IPv6 address needs brackets, as in [::1]:2379");
    }
    has_port = colon != std::string_view::npos;
    endpoint.host = std::string(text.substr(0, colon));
    if (has_port) port = text.substr(colon + 1);
  }
  if (!host_is_plain(endpoint.host))
    return bad(original, "the host is empty or holds characters no host name has");
  if (has_port) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
      return bad(original, "the port must be a number from 1 to 65535");
    }
    endpoint.port = static_cast<uint16_t>(number);
  }
  return endpoint;
}

Result<std::vector<net::HostPort>> parse_endpoints(std::string_view text) {
  std::vector<net::HostPort> endpoints;
  while (true) {
    const size_t comma = text.find(',');
    Result<net::HostPort> one = parse_endpoint(text.substr(0, comma));
    if (!one) return one.error();
    endpoints.push_back(std::move(one).value());
    if (comma == std::string_view::npos) return endpoints;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace decree::client
