// Entry bytes of the key-value state machine: a fixed header and the client's request exactly as it arrived.
//
//   offset 0  u8   format version (1)
//          1  u8   CommandType
//          2  u16  flags, 0 (a reader refuses flags it does not know)
//          4  u32  reserved, 0
//          8  u64  quota_bytes: the proposer's quota, 0 = none. In the entry, because --quota-backend-bytes
//          may
//                  differ between members and applying may depend on nothing but state and entry
//         16  the serialized protobuf request (or, for cluster_version, plain text)
// Little-endian. Formats only grow: an unknown version or type in a decided entry stops the member with a
// sentence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "decree/result.h"

namespace decree::kv {

enum class CommandType : uint8_t {
  put = 1,                // etcdserverpb.PutRequest
  delete_range = 2,       // etcdserverpb.DeleteRangeRequest
  txn = 3,                // etcdserverpb.TxnRequest
  compact = 4,            // etcdserverpb.CompactionRequest
  alarm = 5,              // etcdserverpb.AlarmRequest
  member_attributes = 6,  // etcdserverpb.Member: ID, name, clientURLs (peerURLs ignored)
  cluster_version = 7,    // text "3.6.0"
};

inline constexpr size_t kCommandHeaderBytes = 16;

struct Command {
  CommandType type = CommandType::put;
  uint64_t quota_bytes = 0;
  std::string_view request;  // points into the entry
};

std::string encode_command(CommandType type, std::string_view request, uint64_t quota_bytes = 0);
Result<Command> parse_command(std::string_view entry);

}  // namespace decree::kv
