#include "transport/frame.h"

#include <algorithm>
#include <cstring>

#include <xxhash.h>

#include "decree/check.h"

namespace decree::transport {
namespace {

constexpr size_t kKeptBufferBytes = 256u << 10;

void put_u32(char* out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(v >> (8 * i));
}
void put_u64(char* out, uint64_t v) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<char>(v >> (8 * i));
}
uint64_t get_u64(const char* in) {
  uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v |= static_cast<uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  return v;
}

}  // namespace

size_t open_frame(std::string& out) {
  const size_t at = out.size();
  out.append(kFrameHeaderBytes, '\0');
  return at;
}

void close_frame(std::string& out, size_t at, FrameKind kind) {
  const size_t payload = out.size() - at - kFrameHeaderBytes;
  DECREE_CHECK(payload <= kFramePayloadBytesMax, "a frame of more than 64 MiB was built");
  char* head = out.data() + at;
  put_u32(head, static_cast<uint32_t>(payload));
  head[4] = static_cast<char>(kFrameVersion);
  head[5] = static_cast<char>(kind);
  put_u64(head + 8, XXH3_64bits_withSeed(head + kFrameHeaderBytes, payload, get_u64(head)));
}

void FrameReader::feed(std::string_view bytes) {
  DECREE_CHECK(fresh_.empty(), "feed() before next() said need_more");
  fresh_ = bytes;
}

FrameReader::Status FrameReader::fail(std::string problem) {
  problem_ = std::move(problem);
  fresh_ = {};
  return Status::broken;
}

FrameReader::Status FrameReader::parse(std::string_view bytes, Frame* frame, size_t* used) {
  if (bytes.size() < kFrameHeaderBytes) return Status::need_more;
  const uint64_t head = get_u64(bytes.data());
  const auto length = static_cast<uint32_t>(head);
  const auto version = static_cast<uint8_t>(head >> 32);
  const auto kind = static_cast<uint8_t>(head >> 40);
  if (version != kFrameVersion || (head >> 48) != 0)
    return fail("these are not the frames of a Decree member (or of one that speaks another frame version)");
  if (kind < static_cast<uint8_t>(FrameKind::hello) || kind > static_cast<uint8_t>(FrameKind::message))
    return fail("unknown frame kind " + std::to_string(kind));
  if (length > payload_bytes_max_)
    return fail("a frame of " + std::to_string(length) + " bytes, at most " +
                std::to_string(payload_bytes_max_) + " are taken here");
  *used = kFrameHeaderBytes + length;
  if (bytes.size() < *used) return Status::need_more;
  const std::string_view payload = bytes.substr(kFrameHeaderBytes, length);
  if (XXH3_64bits_withSeed(payload.data(), payload.size(), head) != get_u64(bytes.data() + 8))
    return fail("checksum of a frame does not hold: bytes were changed on the way");
  frame->kind = static_cast<FrameKind>(kind);
  frame->payload = payload;
  return Status::frame;
}

FrameReader::Status FrameReader::next(Frame* frame) {
  if (!problem_.empty()) return Status::broken;
  size_t used = 0;
  // Most frames arrive whole and are parsed where they lie.
  if (consumed_ == buffer_.size()) {
    if (buffer_.capacity() > kKeptBufferBytes) std::string().swap(buffer_);
    buffer_.clear();
    consumed_ = 0;
    const Status status = parse(fresh_, frame, &used);
    if (status == Status::frame) {
      fresh_.remove_prefix(used);
      return status;
    }
    if (status == Status::need_more) {
      if (used > fresh_.size()) buffer_.reserve(std::min(used, fresh_.size() + kKeptBufferBytes));
      buffer_.assign(fresh_);
      fresh_ = {};
    }
    return status;
  }
  // The rest of one begun earlier: take only what belongs to it, the next frame is parsed where it lies
  // again.
  for (;;) {
    const std::string_view held = std::string_view(buffer_).substr(consumed_);
    used = 0;
    const Status status = parse(held, frame, &used);
    if (status == Status::frame) {
      consumed_ += used;
      return status;
    }
    if (status == Status::broken) return status;
    const size_t wanted = (used == 0 ? kFrameHeaderBytes : used) - held.size();
    const size_t taken = std::min(wanted, fresh_.size());
    if (taken == 0) return Status::need_more;
    buffer_.append(fresh_.substr(0, taken));
    fresh_.remove_prefix(taken);
    if (taken < wanted) return Status::need_more;
  }
}

}  // namespace decree::transport
