#include "client/load_requests.h"

#include <array>
#include <charconv>

#include "http/grpc_framing.h"

namespace decree::client {

namespace {

constexpr uint32_t wire_varint = 0;
constexpr uint32_t wire_bytes = 2;

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

size_t varint_bytes(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

void append_tag(std::string& out, uint32_t field, uint32_t wire) { append_varint(out, field << 3 | wire); }

void append_integer(std::string& out, uint32_t field, int64_t value) {
  append_tag(out, field, wire_varint);
  append_varint(out, static_cast<uint64_t>(value));
}

size_t bytes_field_size(size_t content) { return 1 + varint_bytes(content) + content; }

void begin_frame(std::string& out) { out.assign(http::grpc_prefix_bytes, '\0'); }

void end_frame(std::string& out) {
  const size_t size = out.size() - http::grpc_prefix_bytes;
  for (size_t i = 0; i < 4; ++i) out[1 + i] = static_cast<char>(size >> (24 - 8 * i));
}

// Reads one message's fields in their order; stops at the first thing that is not well-formed.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool next() {
    uint64_t tag = 0;
    if (bytes_.empty() || !varint(tag)) return false;
    field_ = static_cast<uint32_t>(tag >> 3);
    content_ = {};
    number_ = 0;
    switch (tag & 7) {
      case 0:
        return varint(number_);
      case 1:
        return skip(8);
      case 5:
        return skip(4);
      case 2: {
        uint64_t size = 0;
        if (!varint(size) || size > bytes_.size()) return false;
        content_ = bytes_.substr(0, static_cast<size_t>(size));
        return skip(static_cast<size_t>(size));
      }
      default:
        return false;
    }
  }
  uint32_t field() const { return field_; }
  uint64_t number() const { return number_; }
  std::string_view content() const { return content_; }

 private:
  bool skip(size_t size) {
    if (size > bytes_.size()) return false;
    bytes_.remove_prefix(size);
    return true;
  }
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  std::string_view bytes_;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view content_;
};

int64_t revision_of_header(std::string_view header) {
  Reader reader(header);
  while (reader.next()) {
    if (reader.field() == 3) return static_cast<int64_t>(reader.number());
  }
  return 0;
}

// Of a ResponseOp that holds a RangeResponse: the first pair's mod_revision, 0 without pairs.
int64_t mod_revision_read(std::string_view response_op) {
  Reader op(response_op);
  if (!op.next() || op.field() != 1) return -1;
  Reader range(op.content());
  while (range.next()) {
    if (range.field() != 2) continue;
    Reader pair(range.content());
    while (pair.next()) {
      if (pair.field() == 3) return static_cast<int64_t>(pair.number());
    }
  }
  return 0;
}

}  // namespace

const char* load_op_name(LoadOp op) {
  switch (op) {
    case LoadOp::put:
      return "put";
    case LoadOp::range:
      return "range";
    case LoadOp::txn:
      return "txn";
  }
  return "";
}

std::string_view load_path(LoadOp op) {
  switch (op) {
    case LoadOp::put:
      return "/etcdserverpb.KV/Put";
    case LoadOp::range:
      return "/etcdserverpb.KV/Range";
    case LoadOp::txn:
      return "/etcdserverpb.KV/Txn";
  }
  return {};
}

LoadRequests::LoadRequests(std::string key_prefix, size_t key_bytes, size_t value_bytes, bool serializable,
                           uint64_t seed)
    : key_prefix_(std::move(key_prefix)), key_bytes_(key_bytes), serializable_(serializable) {
  // Bytes that no server can make smaller by compressing them.
  uint64_t state = seed + 0x9e3779b97f4a7c15ULL;
  value_.reserve(value_bytes);
  for (size_t i = 0; i < value_bytes; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value_ += static_cast<char>('!' + (state >> 40) % 94);
  }
}

bool LoadRequests::fits(std::string_view key_prefix, size_t key_bytes, uint64_t keys) {
  const size_t digits = std::to_string(keys == 0 ? 0 : keys - 1).size();
  return key_prefix.size() + digits <= key_bytes;
}

void LoadRequests::append_key(std::string& out, uint64_t number) const {
  std::array<char, 20> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const auto size = static_cast<size_t>(end - digits.data());
  out += key_prefix_;
  out.append(key_bytes_ - key_prefix_.size() - size, '0');
  out.append(digits.data(), size);
}

void LoadRequests::append_key_field(std::string& out, uint32_t field, uint64_t number) const {
  append_tag(out, field, wire_bytes);
  append_varint(out, key_bytes_);
  append_key(out, number);
}

void LoadRequests::put(std::string& out, uint64_t key) const {
  begin_frame(out);
  append_key_field(out, 1, key);
  append_tag(out, 2, wire_bytes);
  append_varint(out, value_.size());
  out += value_;
  end_frame(out);
}

void LoadRequests::range(std::string& out, uint64_t key) const {
  begin_frame(out);
  append_key_field(out, 1, key);
  if (serializable_) append_integer(out, 7, 1);
  end_frame(out);
}

void LoadRequests::compare_and_swap(std::string& out, uint64_t key, int64_t mod_revision) const {
  const size_t key_size = bytes_field_size(key_bytes_);
  const size_t put_size = key_size + bytes_field_size(value_.size());
  // target and the union's mod_revision are written even when 0: an absent union means something else.
  const size_t compare_size = 2 + key_size + 1 + varint_bytes(static_cast<uint64_t>(mod_revision));
  begin_frame(out);
  append_tag(out, 1, wire_bytes);  // compare
  append_varint(out, compare_size);
  append_integer(out, 2, 2);  // target MOD; result EQUAL is 0
  append_key_field(out, 3, key);
  append_integer(out, 6, mod_revision);
  append_tag(out, 2, wire_bytes);  // success
  append_varint(out, bytes_field_size(put_size));
  append_tag(out, 2, wire_bytes);  // request_put
  append_varint(out, put_size);
  append_key_field(out, 1, key);
  append_tag(out, 2, wire_bytes);
  append_varint(out, value_.size());
  out += value_;
  append_tag(out, 3, wire_bytes);  // failure
  append_varint(out, bytes_field_size(key_size));
  append_tag(out, 1, wire_bytes);  // request_range
  append_varint(out, key_size);
  append_key_field(out, 1, key);
  end_frame(out);
}

LoadAnswer read_answer(LoadOp op, std::string_view body) {
  LoadAnswer answer;
  Reader reader(body);
  while (reader.next()) {
    if (reader.field() == 1) answer.header_revision = revision_of_header(reader.content());
    if (op == LoadOp::range && reader.field() == 2) {
      answer.has_pairs = true;
      return answer;
    }
    if (op == LoadOp::txn && reader.field() == 2) answer.succeeded = reader.number() != 0;
    if (op == LoadOp::txn && reader.field() == 3 && !answer.succeeded)
      answer.mod_revision = mod_revision_read(reader.content());
  }
  return answer;
}

}  // namespace decree::client
