#pragma once

namespace decree::server {

inline constexpr const char* kRelease = "0.1.0";
inline constexpr const char* kEtcdVersion = "3.6.14";  // whose API is spoken

}  // namespace decree::server
