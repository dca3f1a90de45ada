// What we say we are. Clients parse these as plain dotted integers and switch features on by them.
#pragma once

namespace decree::api {

inline constexpr char kServerVersion[] = "3.6.14";  // the etcd release whose surface we follow
inline constexpr char kClusterVersion[] = "3.6.0";
inline constexpr char kStorageVersion[] = "3.6.0";
inline constexpr char kDecreeVersion[] = "0.1.0";

}  // namespace decree::api
