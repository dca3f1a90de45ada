// The story of a run: one JSON line per step when somebody listens, and always a hash, which is equal for
// equal runs.
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <string>

#include "decree/message.h"
#include "decree/record.h"

namespace decree::lab {

class Trace {
 public:
  explicit Trace(std::ostream* out) : out_(out) {}
  bool wanted() const { return out_ != nullptr; }
  void fold(uint64_t v) {
    hash_ = (hash_ ^ v) * 0x9e3779b97f4a7c15ULL;
    hash_ ^= hash_ >> 29;
  }
  // `step` numbers the events of the run; all lines of one event carry its number. `fields` is the inside of
  // a JSON object without braces, or empty.
  void line(uint64_t step, int64_t at_us, uint32_t member, const char* what, const std::string& fields);
  uint64_t hash() const { return hash_; }

 private:
  std::ostream* out_;
  uint64_t hash_ = 0x5851f42d4c957f2dULL;
};

// The fields that matter, as the inside of a JSON object.
std::string trace_fields(const Message& message);
// What a batch makes durable, as a JSON array of short texts.
std::string trace_records(std::span<const PersistedRecord> records);
// A few words of it, for the hash.
uint64_t message_fingerprint(const Message& message);
std::string json_string(const std::string& text);

}  // namespace decree::lab
