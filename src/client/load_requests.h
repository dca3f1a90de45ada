// The generator's requests and answers, encoded by hand: a general protobuf object per request would
// cost as much as all the rest of the generator.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/load.h"

namespace decree::client {

std::string_view load_path(LoadOp op);

class LoadRequests {
 public:
  LoadRequests(std::string key_prefix, size_t key_bytes, size_t value_bytes, bool serializable,
               uint64_t seed);

  // The key of this number: prefix, zeros, number; exactly key_bytes long.
  void append_key(std::string& out, uint64_t number) const;
  // Each replaces `out` by a framed message.
  void put(std::string& out, uint64_t key) const;
  void range(std::string& out, uint64_t key) const;
  // if mod(key) = mod_revision then put(key) else get(key)
  void compare_and_swap(std::string& out, uint64_t key, int64_t mod_revision) const;

  // Digits that the key has room for.
  static bool fits(std::string_view key_prefix, size_t key_bytes, uint64_t keys);

 private:
  void append_key_field(std::string& out, uint32_t field, uint64_t number) const;

  std::string key_prefix_;
  size_t key_bytes_;
  std::string value_;
  bool serializable_;
};

// What the generator wants to know from an answer.
struct LoadAnswer {
  int64_t header_revision = 0;
  bool succeeded = false;     // txn
  bool has_pairs = false;     // range
  int64_t mod_revision = -1;  // of the pair that a failed txn has read; 0: no such key; -1: not told
};

LoadAnswer read_answer(LoadOp op, std::string_view body);

}  // namespace decree::client
