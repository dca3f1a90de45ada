// One HTTP/2 connection seen from the client, without a socket: unary gRPC calls go in, bytes come
// out; bytes go in, replies come out. Cheap on purpose (the load generator lives on it): no
// allocation per call once warm, request bytes are read where the caller keeps them.
//
// Not for several threads. Callbacks come only from inside feed(), pull(), cancel() and end_all();
// a callback may start() and cancel() calls, but must not destroy the object.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "client/status.h"

namespace decree::client {

// Valid during the callback only.
struct Reply {
  CallEnd end = CallEnd::lost;
  Code code = Code::unknown;
  std::string_view message;  // why, when not ok
  std::string_view body;     // the response message without its gRPC prefix, when ok
};

class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual void on_reply(uint64_t token, const Reply& reply) = 0;
};

// Takes the messages of a server-streaming call one by one; on_reply() then comes with an empty body.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // `message` is valid during the call only.
  virtual void on_message(uint64_t token, std::string_view message) = 0;
};

class Http2Calls {
 public:
  // `authority` is the host:port of the requests' :authority field.
  Http2Calls(std::string authority, ReplySink& sink);
  ~Http2Calls();
  Http2Calls(const Http2Calls&) = delete;
  Http2Calls& operator=(const Http2Calls&) = delete;

  // `path` like "/etcdserverpb.KV/Put"; `framed` = 5-byte gRPC prefix + message (see frame_message).
  // Both must stay valid and unchanged until the call's reply or cancel(). The token is the caller's.
  // `timeout_ms` > 0 is sent as grpc-timeout. False: this connection takes no more calls.
  // With `messages`: a server-streaming call; without: unary.
  bool start(uint64_t token, std::string_view path, std::string_view framed, int64_t timeout_ms = 0,
             MessageSink* messages = nullptr);
  // The call ends without a reply; the server is told. Linear in the open calls: for deadlines only.
  void cancel(uint64_t token);

  // False: the other side broke the protocol, error() says how; close the connection.
  bool feed(std::string_view bytes);
  // Appends everything there is to send.
  void pull(std::string& out);
  // The connection is gone: every open call gets its reply now.
  void end_all(std::string_view reason);

  bool takes_calls() const;
  size_t open_calls() const;
  const std::string& error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The 5-byte gRPC prefix (not compressed) before `message`.
std::string frame_message(std::string_view message);

}  // namespace decree::client
