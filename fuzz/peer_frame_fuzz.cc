// Bytes from the peer port: frames cut anywhere, then the codec. What is accepted must survive a round trip.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "decree/check.h"
#include "transport/codec.h"
#include "transport/frame.h"
#include "transport/handshake.h"

namespace {

using namespace decree::transport;

void check_message(std::string_view payload) {
  decree::Result<Decoded> decoded = decode_message(payload);
  if (!decoded) return;
  std::string again;
  encode_message(decoded->epoch, decoded->message, again);
  decree::Result<Decoded> twice = decode_message(again);
  DECREE_CHECK(twice.ok(), "an accepted message can be sent on");
  std::string third;
  encode_message(twice->epoch, twice->message, third);
  DECREE_CHECK(again == third, "a round trip changes nothing");
}

void read_stream(std::string_view bytes, size_t piece) {
  FrameReader reader(1u << 20);
  while (!bytes.empty()) {
    const size_t n = std::min(piece, bytes.size());
    reader.feed(bytes.substr(0, n));
    bytes.remove_prefix(n);
    Frame frame;
    for (;;) {
      const FrameReader::Status status = reader.next(&frame);
      if (status == FrameReader::Status::broken) return;
      if (status == FrameReader::Status::need_more) break;
      if (frame.kind == FrameKind::message) check_message(frame.payload);
      if (frame.kind == FrameKind::hello || frame.kind == FrameKind::welcome)
        (void)decode_hello(frame.payload);
      if (frame.kind == FrameKind::refusal) (void)decode_refusal(frame.payload);
    }
    DECREE_CHECK(reader.buffered_bytes() <= (1u << 20) + kFrameHeaderBytes, "at most one frame is held");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t piece = 1 + data[1];
  switch (data[0] % 4) {
    case 0:
      read_stream(bytes, piece);
      break;
    case 1:
      check_message(bytes);
      break;
    case 2: {
      // A right frame around arbitrary bytes: the checksum would keep the fuzzer out otherwise.
      std::string framed;
      const size_t at = open_frame(framed);
      framed += bytes;
      close_frame(framed, at, static_cast<FrameKind>(1 + data[1] % 4));
      read_stream(framed, piece);
      break;
    }
    default:
      (void)decode_hello(bytes);
      (void)decode_refusal(bytes);
      break;
  }
  return 0;
}
