// Follows the frame boundaries of what an HTTP/2 client sends, beside nghttp2: it says where the peer is in
// the middle of something, and counts frames that cost work but carry none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace decree::http {

class FrameScanner {
 public:
  // Bytes after the connection preface.
  void scan(std::string_view bytes);

  // A frame or a header block has begun and is not complete.
  bool in_the_middle() const { return header_size_ != 0 || payload_left_ != 0 || header_block_open_; }
  // Grows with every frame that begins outside a header block: tells two middles apart.
  uint64_t frames() const { return frames_; }
  // PING, SETTINGS, PRIORITY, empty DATA, and types we do not know, since take_control_frames().
  uint32_t take_control_frames() {
    const uint32_t n = control_frames_;
    control_frames_ = 0;
    return n;
  }

 private:
  void on_header();

  unsigned char header_[9] = {};
  uint8_t header_size_ = 0;
  uint32_t payload_left_ = 0;
  bool header_block_open_ = false;
  uint32_t control_frames_ = 0;
  uint64_t frames_ = 0;
};

}  // namespace decree::http
