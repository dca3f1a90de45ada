// decree::Message <-> the payload of a `message` frame.
//
//   u32 little-endian  length of the protobuf part
//   decree.peer.PeerMessage
//   payloads of entries / snapshot chunk, raw, in order of their payload_bytes
//
// Decoding trusts nothing: every length is checked against what is there before it is used, numbers that
// would not fit their type are refused, and what remains unexplained refuses the whole message.
#pragma once

#include <string>
#include <string_view>

#include "decree/message.h"
#include "decree/result.h"

namespace decree::transport {

void encode_message(uint32_t epoch, const Message& message, std::string& out);

struct Decoded {
  uint32_t epoch = 0;
  Message message;
};
// Error code `invalid` (malformed) or `format` (a message this release does not know).
Result<Decoded> decode_message(std::string_view payload);

}  // namespace decree::transport
