// Refusals of the server itself (the store's are in kv/status.h). Clients match code and text; never reword
// one.
#pragma once

#include <string_view>

#include "http/grpc_framing.h"

namespace decree::api {

struct EtcdError {
  http::GrpcCode code;
  std::string_view text;
};

inline constexpr EtcdError kNoLeader{http::GrpcCode::unavailable, "etcdserver: no leader"};
inline constexpr EtcdError kLeaderChanged{http::GrpcCode::unavailable, "etcdserver: leader changed"};
inline constexpr EtcdError kStopped{http::GrpcCode::unavailable, "etcdserver: server stopped"};
inline constexpr EtcdError kTimeout{http::GrpcCode::unavailable, "etcdserver: request timed out"};
inline constexpr EtcdError kTimeoutLeaderFail{
    http::GrpcCode::unavailable, "etcdserver: request timed out, possibly due to previous leader failure"};
inline constexpr EtcdError kTransferTimeout{http::GrpcCode::unknown,
                                            "etcdserver: request timed out, leader transfer took too long"};
inline constexpr EtcdError kTooManyRequests{http::GrpcCode::resource_exhausted,
                                            "etcdserver: too many requests"};
inline constexpr EtcdError kNotLeader{http::GrpcCode::failed_precondition, "etcdserver: not leader"};
inline constexpr EtcdError kBadTransferee{http::GrpcCode::failed_precondition,
                                          "etcdserver: bad leader transferee"};
inline constexpr EtcdError kDeadline{http::GrpcCode::deadline_exceeded, "context deadline exceeded"};
inline constexpr EtcdError kMalformedRequest{
    http::GrpcCode::internal,
    "grpc: error unmarshalling request: the bytes are not the message that this method takes"};
// Ours; etcd has no text for it.
inline constexpr EtcdError kDiskFull{
    http::GrpcCode::unavailable,
    "etcdserver: the disk of this member is full: free space on it, or write through another member"};
// What waited for a member that had not caught up with the log since its start; nothing was proposed.
inline constexpr EtcdError kNotCaughtUp{http::GrpcCode::unavailable,
                                        "etcdserver: this member has not caught up yet: use another one"};

}  // namespace decree::api
