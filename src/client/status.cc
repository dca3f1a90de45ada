#include "client/status.h"

namespace decree::client {

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Answers that a server gives before it proposes anything.
bool said_before_proposing(std::string_view message) {
  return contains(message, "no leader") || contains(message, "not leader") ||
         contains(message, "too many requests") || contains(message, "not capable") ||
         contains(message, "the disk of this member is full") || contains(message, "has not caught up yet") ||
         contains(message, "rpc not supported for learner");
}

}  // namespace

Code code_from_wire(uint32_t number) {
  return number < static_cast<uint32_t>(http::grpc_codes) ? static_cast<Code>(number) : Code::unknown;
}

const char* code_name(Code code) { return http::grpc_code_name(static_cast<int>(code)); }

Fate fate_of(CallEnd end, Code code, std::string_view message) {
  if (end == CallEnd::not_taken) return Fate::not_done;
  if (end == CallEnd::lost) return Fate::unknown;
  switch (code) {
    case Code::ok:
      return Fate::done;
    case Code::invalid_argument:
    case Code::not_found:
    case Code::already_exists:
    case Code::permission_denied:
    case Code::resource_exhausted:
    case Code::failed_precondition:
    case Code::out_of_range:
    case Code::unimplemented:
    case Code::data_loss:
    case Code::unauthenticated:
      return Fate::not_done;
    default:
      return said_before_proposing(message) ? Fate::not_done : Fate::unknown;
  }
}

bool worth_another_endpoint(CallEnd end, Code code, std::string_view message) {
  if (end != CallEnd::answered || code == Code::unavailable) return true;
  return contains(message, "rpc not supported for learner") || contains(message, "too many requests");
}

}  // namespace decree::client
