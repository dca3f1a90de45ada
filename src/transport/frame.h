// The frame around everything on a peer connection.
//
//   0  u32  payload length in bytes
//   4  u8   frame version (1)
//   5  u8   kind (FrameKind)
//   6  u16  zero
//   8  u64  XXH3-64 of the payload, seeded with bytes 0..7, so that it covers the header as well
//   16      payload
//
// Little-endian. The length is bounded before anything is allocated: small until the handshake is through.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace decree::transport {

enum class FrameKind : uint8_t { hello = 1, welcome = 2, refusal = 3, message = 4 };

constexpr size_t kFrameHeaderBytes = 16;
constexpr uint8_t kFrameVersion = 1;
constexpr size_t kFramePayloadBytesMax = 64u << 20;
constexpr size_t kHandshakePayloadBytesMax = 32u << 10;

// Reserves a frame's header at the end of `out`; append the payload, then close the frame.
size_t open_frame(std::string& out);
void close_frame(std::string& out, size_t at, FrameKind kind);

struct Frame {
  FrameKind kind = FrameKind::message;
  std::string_view payload;  // valid until the next call of the reader
};

// Cuts a byte stream into frames. Holds at most one incomplete frame.
class FrameReader {
 public:
  enum class Status : uint8_t { frame, need_more, broken };

  explicit FrameReader(size_t payload_bytes_max) : payload_bytes_max_(payload_bytes_max) {}
  void set_payload_bytes_max(size_t bytes) { payload_bytes_max_ = bytes; }

  // Hands over the bytes that arrived; they must stay valid until next() said need_more.
  void feed(std::string_view bytes);
  // After `broken` the stream is beyond repair: problem() is a sentence, the connection has to go.
  Status next(Frame* frame);
  const std::string& problem() const { return problem_; }
  size_t buffered_bytes() const { return buffer_.size() - consumed_; }

 private:
  Status fail(std::string problem);
  // Parses a frame at the front of `bytes`; `used` is its whole length.
  Status parse(std::string_view bytes, Frame* frame, size_t* used);

  size_t payload_bytes_max_;
  std::string buffer_;  // what was left over from earlier calls
  size_t consumed_ = 0;
  std::string_view fresh_;  // of the present feed(), not in buffer_
  std::string problem_;
};

}  // namespace decree::transport
