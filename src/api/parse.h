// A request's bytes into its message; false when they are none.
#pragma once

#include <string_view>

namespace decree::api {

template <class Message>
bool parse(Message* message, std::string_view bytes) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace decree::api
