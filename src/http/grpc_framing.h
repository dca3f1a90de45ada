// gRPC's own layer on top of HTTP/2 bodies: five bytes before each message, status texts, timeouts.
// Used by both ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace decree::http {

enum class GrpcCode : int {
  ok = 0,
  canceled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};
constexpr int grpc_codes = 17;
const char* grpc_code_name(int code);  // "OK", "InvalidArgument", ... as etcd's metrics spell them

constexpr size_t grpc_prefix_bytes = 5;
void append_grpc_prefix(std::string* out, size_t message_bytes);

// Cuts the body bytes of one direction of one call into messages. Holds at most one message.
class MessageReader {
 public:
  explicit MessageReader(size_t message_bytes_max = 2 * 1024 * 1024)
      : message_bytes_max_(message_bytes_max) {}

  enum class Outcome : uint8_t {
    need_more,   // `bytes` used up
    message,     // message() is whole; call again for the rest of `bytes`
    too_large,   // announced length above the limit; nothing of it is kept
    compressed,  // flagged as compressed: we never announce an encoding
    malformed,   // a flag byte that gRPC does not know
  };
  // Takes from the front of `bytes`. After too_large, compressed or malformed the reader is spent until
  // reset().
  Outcome feed(std::string_view* bytes);
  std::string& message() { return message_; }
  bool between_messages() const { return done_ || prefix_size_ == 0; }
  size_t announced_bytes() const { return announced_; }
  // Bytes held for a message that is not whole yet.
  size_t buffered_bytes() const { return done_ ? 0 : message_.size(); }
  // Ready for another call; may keep a small buffer for it.
  void reset(bool keep = true);

 private:
  size_t message_bytes_max_;
  std::string message_;
  size_t announced_ = 0;
  unsigned char prefix_[grpc_prefix_bytes] = {};
  uint8_t prefix_size_ = 0;
  bool done_ = false;
};

// grpc-message: bytes outside printable ASCII, and '%', as %XX.
std::string percent_encode(std::string_view text);
// Tolerant, as the specification asks: what is not a valid escape stays as it is.
std::string percent_decode(std::string_view text);

// "100m", "5S": at most eight digits and a unit of H M S m u n. Nothing when malformed.
std::optional<std::chrono::nanoseconds> parse_grpc_timeout(std::string_view text);
std::string format_grpc_timeout(std::chrono::nanoseconds timeout);

}  // namespace decree::http
