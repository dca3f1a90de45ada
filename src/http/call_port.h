// What a gRPC service sees of the port its calls come from. Implemented by http::Server, and by the
// laboratory's simulated port, on which the same services run without sockets.
//
// A call is named by a CallId (place in a table and generation), never by a pointer: services answer
// later, or not at all when the client has gone; an answer to a call that is over is dropped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/grpc_framing.h"
#include "net/event_loop.h"

namespace decree::http {

struct CallId {
  uint32_t index = 0;
  uint32_t generation = 0;  // 0: no call
  friend bool operator==(const CallId&, const CallId&) = default;
};

// Serves the methods it was registered for. `method` is the number given at registration.
class GrpcService {
 public:
  virtual ~GrpcService() = default;
  // A whole unary request. Answer now or later with Server::reply() or fail(). `message` is valid during the
  // call only.
  virtual void on_unary(CallId call, uint32_t method, std::string_view message) = 0;
  // Streaming methods: every message of the client, then its half-close. Answer with send() and finish().
  virtual void on_message(CallId /*call*/, uint32_t /*method*/, std::string_view /*message*/) {}
  virtual void on_half_closed(CallId /*call*/, uint32_t /*method*/) {}
  // The client or its connection went away before the answer; the id is already void.
  virtual void on_cancelled(CallId /*call*/, uint32_t /*method*/) {}
  // What append_reply() or send() had left waiting has gone out; more may be appended.
  virtual void on_writable(CallId /*call*/, uint32_t /*method*/) {}
};

class CallPort {
 public:
  virtual ~CallPort() = default;

  // Before the first call. Services must outlive the port.
  virtual void add_unary(std::string path, GrpcService* service, uint32_t method) = 0;
  virtual void add_streaming(std::string path, GrpcService* service, uint32_t method) = 0;

  // ---- answering; void ids are ignored ----
  virtual bool open(CallId call) const = 0;
  virtual void reply(CallId call, std::string message) = 0;                  // unary, OK
  virtual void fail(CallId call, GrpcCode code, std::string_view text) = 0;  // unary and streaming
  // Unary, OK, in pieces: `total_bytes` is the whole message, the call ends with its last byte. The caller
  // keeps unsent_bytes() small and goes on when on_writable() tells.
  virtual void begin_reply(CallId call, uint64_t total_bytes) = 0;
  virtual void append_reply(CallId call, std::string piece) = 0;
  virtual void send(CallId call, std::string message) = 0;                          // streaming
  virtual void finish(CallId call, GrpcCode code, std::string_view text = {}) = 0;  // streaming
  virtual size_t unsent_bytes(CallId call) const = 0;

  // ---- what the client said; empty when void ----
  // time_point::max(): no deadline.
  virtual net::SteadyTime deadline(CallId call) const = 0;
  // First value of that name, lower case.
  virtual std::string_view metadata(CallId call, std::string_view name) const = 0;
  // "127.0.0.1:4711", made once for a connection; null when void or without sockets.
  virtual std::shared_ptr<const std::string> remote(CallId /*call*/) const { return nullptr; }
};

}  // namespace decree::http
