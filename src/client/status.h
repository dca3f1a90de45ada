// How a call ended: gRPC's code and text, and, for whoever changed something, its fate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/grpc_framing.h"

namespace decree::client {

using Code = http::GrpcCode;

Code code_from_wire(uint32_t number);  // numbers nobody defined become `unknown`
const char* code_name(Code code);      // "InvalidArgument"

// What happened to a change. A caller that repeats a change of unknown fate may do it twice.
enum class Fate : uint8_t {
  done,      // the server said so
  not_done,  // certain: it never left here, or the server refused it before proposing it
  unknown,   // it may have been done, or may still be done later
};

// How the answer ended below gRPC.
enum class CallEnd : uint8_t {
  answered,   // a grpc-status arrived
  not_taken,  // certain that the server never looked at it (not sent, REFUSED_STREAM, above GOAWAY's last
              // stream)
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
