// Inside of the client port: calls, the table they live in, and what a protocol does for a connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace decree::http {

// One call of a client. Lives in Server's table at a fixed address and is used again with a new generation.
struct Call {
  uint32_t index = 0;
  uint32_t generation = 0;  // odd while open
  Session* session = nullptr;
  uint32_t session_index = 0;  // place in Session::calls_
  int32_t stream = 0;
  GrpcRoute* route = nullptr;      // gRPC, else
  HttpHandler* handler = nullptr;  // plain HTTP
  bool grpc = false;
  bool method_post = false;

  // ---- request
  std::string path;
  std::string http_method;
  std::string metadata;  // name \0 value \0 ...
  MessageReader reader;
  std::string body;  // plain HTTP
  uint32_t header_bytes = 0;
  bool message_whole = false;  // unary: the reader holds the request
  bool dispatched = false;     // the service knows it
  bool refused = false;        // answered by us in the service's place
  bool request_over = false;   // END_STREAM seen
  net::SteadyTime opened{};
  net::SteadyTime deadline = net::SteadyTime::max();

  // ---- answer
  std::vector<std::string> chunks;  // DATA bytes still to send, from chunks[first_chunk][chunk_offset]
  size_t first_chunk = 0;
  size_t chunk_offset = 0;
  size_t unsent = 0;
  uint64_t reply_left = 0;  // begin_reply(): message bytes still to be appended
  bool in_pieces = false;
  bool answered = false;  // final status known
  bool headers_out = false;
  bool deferred = false;
  GrpcCode code = GrpcCode::ok;
  std::string text;
  size_t request_held = 0;  // bytes counted for the request, in Session and Server
  size_t held = 0;          // its part of Server's bytes_held, request and answer

  CallId id() const { return {index, generation}; }
  bool is_open() const { return (generation & 1) != 0; }
  // Moves the next `bytes` (<= unsent) to `out`.
  void take(size_t bytes, std::string* out);
  // Ready for the next call; `keep` small buffers for it.
  void clear(bool keep);
};

// One protocol on one connection.
class Session {
 public:
  Session(Server& server, ClientConnection& connection) : server_(server), connection_(connection) {}
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  virtual void on_bytes(std::string_view bytes) = 0;
  virtual void on_flush() = 0;
  // The call's answer grew or was completed.
  virtual void answer_changed(Call& call) = 0;
  virtual void answer_http(Call& call, HttpAnswer answer) = 0;
  virtual void shut_down() = 0;
  // Nothing, or why the connection must be closed now.
  virtual std::string overdue(net::SteadyTime now) = 0;

  // Ends every open call; services are told.
  void end_calls();
  // Appends to the answer, or moves its next bytes (<= unsent) to `out`; both keep the accounts.
  void push_answer(Call& call, std::string chunk);
  void take_answer(Call& call, size_t bytes, std::string* out);
  size_t open_calls() const { return calls_.size(); }
  bool had_request() const { return had_request_; }

 protected:
  friend class Server;
  void hold_request(Call& call, size_t bytes);
  void release_request(Call& call);

  Server& server_;
  ClientConnection& connection_;
  std::vector<Call*> calls_;
  size_t request_bytes_ = 0;  // of incomplete requests
  size_t answer_bytes_ = 0;   // of answers not yet in frames
  bool had_request_ = false;
};

// Tells the protocols apart and owns both the session and the connection.
class ClientConnection final : public net::ConnectionHandler {
 public:
  ClientConnection(Server& server, std::shared_ptr<net::Connection> connection);
  ~ClientConnection() override;

  void on_bytes(std::string_view bytes) override;
  void on_closed(const std::string& reason) override;
  void on_drained() override;
  void on_flush() override;

  net::Connection& net() { return *connection_; }
  const std::shared_ptr<const std::string>& remote() const { return remote_; }
  // Closes for a reason that the operator should see.
  void drop(const std::string& reason);
  void shut_down();
  void sweep(net::SteadyTime now);
  bool fresh() const { return !session_ || !session_->had_request(); }

  size_t index = 0;  // place in Server's list

 private:
  void sniff(std::string_view bytes);

  Server& server_;
  std::shared_ptr<net::Connection> connection_;
  std::shared_ptr<const std::string> remote_;
  std::unique_ptr<Session> session_;
  std::string first_bytes_;
  net::SteadyTime opened_;
  net::SteadyTime stuck_since_{};
  size_t last_pending_ = 0;
  bool shutting_down_ = false;
};

std::unique_ptr<Session> make_http2_session(Server& server, ClientConnection& connection);
std::unique_ptr<Session> make_http1_session(Server& server, ClientConnection& connection);
const char* http_status_text(int status);

}  // namespace decree::http
