// Protobuf wire format written by hand: answers and hashes are built without message objects, and the bytes
// are fixed by this file rather than by a library's version (a digest never depends on re-serialised
// protobuf).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace decree::kv::wire {

inline constexpr uint32_t tag(uint32_t field, uint32_t type) { return field << 3 | type; }

inline size_t varint_bytes(uint64_t v) {
  size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    ++n;
  }
  return n;
}

inline void put_varint(std::string* out, uint64_t v) {
  char buffer[10];
  size_t n = 0;
  while (v >= 0x80) {
    buffer[n++] = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  buffer[n++] = static_cast<char>(v);
  out->append(buffer, n);
}

// Fields number below 16 only (one tag byte). Zero and empty values are left out, as proto3 does.
inline size_t int_field_bytes(uint64_t v) { return v == 0 ? 0 : 1 + varint_bytes(v); }
inline void put_int_field(std::string* out, uint32_t field, uint64_t v) {
  if (v == 0) return;
  out->push_back(static_cast<char>(tag(field, 0)));
  put_varint(out, v);
}

inline size_t length_field_bytes(size_t n) { return 1 + varint_bytes(n) + n; }
inline size_t bytes_field_bytes(size_t n) { return n == 0 ? 0 : length_field_bytes(n); }
inline void put_length_tag(std::string* out, uint32_t field, size_t n) {
  out->push_back(static_cast<char>(tag(field, 2)));
  put_varint(out, n);
}
inline void put_bytes_field(std::string* out, uint32_t field, std::string_view v) {
  if (v.empty()) return;
  put_length_tag(out, field, v.size());
  out->append(v);
}
// A sub-message is written even when empty: its presence is information.
inline void put_message_field(std::string* out, uint32_t field, std::string_view body) {
  put_length_tag(out, field, body.size());
  out->append(body);
}

}  // namespace decree::kv::wire
