// Refusals of the store: gRPC code and etcd's exact text. Clients match the texts; never reword one.
#pragma once

#include <string>
#include <string_view>

#include "decree/state_machine.h"

namespace decree::kv {

// gRPC's numbers, as far as the store uses them.
enum class GrpcCode : int {
  ok = 0,
  invalid_argument = 3,
  not_found = 5,
  resource_exhausted = 8,
  out_of_range = 11,
  internal = 13,
  data_loss = 15,
};

struct Refusal {
  GrpcCode code = GrpcCode::ok;
  std::string_view text;  // static storage
  constexpr bool ok() const { return code == GrpcCode::ok; }
  Reply reply() const { return Reply{static_cast<int>(code), std::string(text)}; }
  friend constexpr bool operator==(const Refusal&, const Refusal&) = default;
};

inline constexpr Refusal kAccepted{};
inline constexpr Refusal kEmptyKey{GrpcCode::invalid_argument, "etcdserver: key is not provided"};
inline constexpr Refusal kKeyNotFound{GrpcCode::invalid_argument, "etcdserver: key not found"};
inline constexpr Refusal kValueProvided{GrpcCode::invalid_argument, "etcdserver: value is provided"};
inline constexpr Refusal kLeaseProvided{GrpcCode::invalid_argument, "etcdserver: lease is provided"};
inline constexpr Refusal kTooManyOps{GrpcCode::invalid_argument,
                                     "etcdserver: too many operations in txn request"};
inline constexpr Refusal kDuplicateKey{GrpcCode::invalid_argument,
                                       "etcdserver: duplicate key given in txn request"};
inline constexpr Refusal kInvalidSortOption{GrpcCode::invalid_argument, "etcdserver: invalid sort option"};
inline constexpr Refusal kTooLarge{GrpcCode::invalid_argument, "etcdserver: request is too large"};
inline constexpr Refusal kLeaseNotFound{GrpcCode::not_found, "etcdserver: requested lease not found"};
inline constexpr Refusal kCompacted{GrpcCode::out_of_range,
                                    "etcdserver: mvcc: required revision has been compacted"};
inline constexpr Refusal kFutureRevision{GrpcCode::out_of_range,
                                         "etcdserver: mvcc: required revision is a future revision"};
inline constexpr Refusal kNoSpace{GrpcCode::resource_exhausted, "etcdserver: mvcc: database space exceeded"};
inline constexpr Refusal kCorrupt{GrpcCode::data_loss, "etcdserver: corrupt cluster"};
// Ours: a nesting that etcd's own budget of operations would allow but no client needs.
inline constexpr Refusal kNestedTooDeep{GrpcCode::invalid_argument,
                                        "etcdserver: too many operations in txn request"};
inline constexpr Refusal kMalformed{GrpcCode::internal, "decree: the entry's request cannot be parsed"};

}  // namespace decree::kv
