#pragma once

namespace decree::server {

inline constexpr const char* kRelease = "0.1.0";
inline constexpr const char* kEtcdVersion = "3.6.0";         // the API that is spoken
inline constexpr const char* kEtcdClusterVersion = "3.6.0";

}  // namespace decree::server
