// The first frame of either side of a peer connection: who it is, whom it wants, and whether they understand
// one another. Nothing else is parsed before. A refusal carries a sentence for the other side's log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decree/membership.h"
#include "decree/result.h"

namespace decree::transport {

// 2: knows epochs. The disks of members that speak less are not told to the core, which then begins no epoch
// by itself: an older member could not follow.
constexpr uint32_t kMessageFormat = 2;     // newest this release speaks
constexpr uint32_t kMessageFormatMin = 1;  // oldest it understands

enum class Purpose : uint8_t { main = 1, beats = 2, knock = 3, join = 4 };

enum class RefusalCode : uint8_t {
  malformed = 1,
  newer_format = 2,
  other_cluster = 3,
  unknown_member = 4,
  wrong_member = 5,       // the address belongs to another member
  wrong_incarnation = 6,  // the disk was replaced
  busy = 7,
};

struct Refusal {
  RefusalCode code = RefusalCode::malformed;
  std::string reason;
};

// Who this process is.
struct Self {
  ClusterId cluster;
  NodeId node;
  uint64_t member_id = 0;
  Incarnation incarnation;
  uint64_t boot = 0;
  std::string name;
  std::string release;
  uint32_t epoch = 0;
  uint64_t disk_writes = 0;  // RecoveredState::disk_writes of this start
};

struct Hello {
  uint32_t format = kMessageFormat;
  uint32_t format_min = kMessageFormatMin;
  ClusterId cluster;
  NodeId from;
  uint64_t from_member_id = 0;
  Incarnation from_incarnation;
  NodeId to;
  uint64_t to_member_id = 0;
  Incarnation to_incarnation;  // 0: not known yet
  Purpose purpose = Purpose::main;
  std::string name;
  std::string release;
  uint64_t boot = 0;
  uint64_t disk_writes = 0;  // what its disk held when its process started; 0: not counted
  // Purpose join, by a process that has no data yet: its peer URLs; in the answer the members as they are
  // now.
  std::vector<std::string> peer_urls;
  std::string membership;
  uint32_t epoch = 0;  // the sender's
  friend bool operator==(const Hello&, const Hello&) = default;
};

Hello make_hello(const Self& self, const Member& to, Purpose purpose);

std::string encode_hello(const Hello& hello);
std::optional<Hello> decode_hello(std::string_view bytes);
std::string encode_refusal(const Refusal& refusal);
// Printable, at most a few hundred characters, whatever was sent.
Refusal decode_refusal(std::string_view bytes);

// Whether a question of a process without data can be answered: its addresses must belong to a member.
std::optional<Refusal> check_join(const Self& self, const std::vector<Member>& members, const Hello& hello);

// Whether `hello` may be answered. Whose disk is whose is told by the later epoch of the two. `members` are
// all of this member's cluster; an incarnation of 0 there means "to be learned". The reason is worded for the
// other side.
std::optional<Refusal> check_hello(const Self& self, const std::vector<Member>& members, const Hello& hello);

}  // namespace decree::transport
