#include "http/grpc_framing.h"

#include <algorithm>

namespace decree::http {

namespace {

constexpr size_t kept_bytes = 16 * 1024;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

const char* grpc_code_name(int code) {
  static const char* const names[grpc_codes] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  return code >= 0 && code < grpc_codes ? names[code] : "Unknown";
}

void append_grpc_prefix(std::string* out, size_t message_bytes) {
  const char prefix[grpc_prefix_bytes] = {
      0, static_cast<char>(message_bytes >> 24), static_cast<char>(message_bytes >> 16),
      static_cast<char>(message_bytes >> 8), static_cast<char>(message_bytes)};
  out->append(prefix, sizeof(prefix));
}

MessageReader::Outcome MessageReader::feed(std::string_view* bytes) {
  if (done_) {
    if (bytes->empty()) return Outcome::need_more;  // the message stays readable
    message_.clear();
    prefix_size_ = 0;
    done_ = false;
  }
  while (prefix_size_ < grpc_prefix_bytes) {
    if (bytes->empty()) return Outcome::need_more;
    prefix_[prefix_size_++] = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    if (prefix_size_ < grpc_prefix_bytes) continue;
    announced_ = (static_cast<size_t>(prefix_[1]) << 24) | (static_cast<size_t>(prefix_[2]) << 16) |
                 (static_cast<size_t>(prefix_[3]) << 8) | prefix_[4];
    if (prefix_[0] > 1) return Outcome::malformed;
    if (announced_ > message_bytes_max_) return Outcome::too_large;
    if (prefix_[0] == 1) return Outcome::compressed;
  }
  // Not reserved up front: an announced length costs the sender nothing, memory costs us.
  const size_t take = std::min(bytes->size(), announced_ - message_.size());
  message_.append(bytes->data(), take);
  bytes->remove_prefix(take);
  if (message_.size() < announced_) return Outcome::need_more;
  done_ = true;
  return Outcome::message;
}

void MessageReader::reset(bool keep) {
  if (!keep || message_.capacity() > kept_bytes)
    std::string().swap(message_);
  else
    message_.clear();
  prefix_size_ = 0;
  announced_ = 0;
  done_ = false;
}

std::string percent_encode(std::string_view text) {
  static const char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u <= 0x7e && c != '%') {
      out += c;
    } else {
      out += '%';
      out += digits[u >> 4];
      out += digits[u & 15];
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<std::chrono::nanoseconds> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t number = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  int64_t unit = 0;
  switch (text.back()) {
    case 'H':
      unit = 3600000000000;
      break;
    case 'M':
      unit = 60000000000;
      break;
    case 'S':
      unit = 1000000000;
      break;
    case 'm':
      unit = 1000000;
      break;
    case 'u':
      unit = 1000;
      break;
    case 'n':
      unit = 1;
      break;
    default:
      return std::nullopt;
  }
  // 99999999 hours do not fit into 64 bits of nanoseconds; a century is as good as for ever.
  constexpr int64_t century = 100ll * 366 * 86400 * 1000000000;
  if (number > century / unit) return std::chrono::nanoseconds(century);
  return std::chrono::nanoseconds(number * unit);
}

std::string format_grpc_timeout(std::chrono::nanoseconds timeout) {
  int64_t number = std::max<int64_t>(timeout.count(), 1);
  static const struct {
    int64_t factor;
    char unit;
  } steps[] = {{1000, 'n'}, {1000, 'u'}, {1000, 'm'}, {60, 'S'}, {60, 'M'}, {1, 'H'}};
  for (const auto& step : steps) {
    if (number <= 99999999) return std::to_string(number) + step.unit;
    number = (number + step.factor - 1) / step.factor;
  }
  return "99999999H";
}

}  // namespace decree::http
