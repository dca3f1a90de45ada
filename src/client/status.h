// How a call ended: gRPC's code and text, and, for whoever changed something, its fate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace decree::client {

// gRPC's status codes, the numbers of the wire.
enum class Code : uint8_t {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

Code code_from_wire(uint32_t number);  // numbers nobody defined become `unknown`
std::string_view code_name(Code code);

// What happened to a change. A caller that repeats a change of unknown fate may do it twice.
enum class Fate : uint8_t {
  done,      // the server said so
  not_done,  // certain: it never left here, or the server refused it before proposing it
  unknown,   // it may have been done, or may still be done later
};

// How the answer ended below gRPC.
enum class CallEnd : uint8_t {
  answered,   // a grpc-status arrived
  not_taken,  // certain that the server never looked at it (not sent, REFUSED_STREAM, above GOAWAY's last stream)
  lost,       // sent, at least in part, and no answer: closed connection, reset, deadline
};

struct Status {
  Code code = Code::ok;
  std::string message;
  Fate fate = Fate::done;
  std::string endpoint;  // who answered, or was asked last

  bool ok() const { return code == Code::ok; }
};

// The fate of a change from the way its call ended. Texts matter: etcd sends `Unavailable` both for
// "no leader" (nothing was proposed) and for "request timed out" (it was, and nobody knows).
Fate fate_of(CallEnd end, Code code, std::string_view message);

// The server (or this connection) cannot serve now; another endpoint perhaps can.
bool worth_another_endpoint(CallEnd end, Code code, std::string_view message);

}  // namespace decree::client
