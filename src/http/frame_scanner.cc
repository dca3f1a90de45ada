#include "http/frame_scanner.h"

#include <algorithm>
#include <cstring>

namespace decree::http {

namespace {

enum FrameType : uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  rst_stream = 3,
  settings = 4,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9
};
constexpr uint8_t end_stream = 0x1;
constexpr uint8_t end_headers = 0x4;

}  // namespace

void FrameScanner::scan(std::string_view bytes) {
  while (!bytes.empty()) {
    if (payload_left_ != 0) {
      const size_t n = std::min<size_t>(bytes.size(), payload_left_);
      payload_left_ -= static_cast<uint32_t>(n);
      bytes.remove_prefix(n);
      continue;
    }
    const size_t n = std::min(bytes.size(), sizeof(header_) - header_size_);
    std::memcpy(header_ + header_size_, bytes.data(), n);
    header_size_ = static_cast<uint8_t>(header_size_ + n);
    bytes.remove_prefix(n);
    if (header_size_ == sizeof(header_)) on_header();
  }
}

void FrameScanner::on_header() {
  header_size_ = 0;
  payload_left_ =
      (static_cast<uint32_t>(header_[0]) << 16) | (static_cast<uint32_t>(header_[1]) << 8) | header_[2];
  const uint8_t type = header_[3];
  const uint8_t flags = header_[4];
  if (type == headers || type == continuation) {
    if (type == headers) ++frames_;
    header_block_open_ = (flags & end_headers) == 0;
    return;
  }
  ++frames_;
  switch (type) {
    case data:
      // The empty frame that ends a stream is what every client sends.
      if (payload_left_ == 0 && (flags & end_stream) == 0) ++control_frames_;
      break;
    case rst_stream:  // has a budget of its own
    case window_update:
      break;
    default:
      ++control_frames_;
  }
}

}  // namespace decree::http
