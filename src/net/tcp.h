// TCP below both peers and clients. Output collects in a buffer and leaves once per loop turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "decree/result.h"
#include "net/event_loop.h"

namespace decree::net {

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  // All bytes that arrived (at most 128 KiB at a time); the handler consumes them. It may close() the
  // connection from inside.
  virtual void on_bytes(std::string_view bytes) = 0;
  // Once, also after a local close(); no call follows. Never from inside another call into the connection:
  // it comes at the end of the loop's wait() or flush(). `reason` is for logs.
  virtual void on_closed(const std::string& reason) = 0;
  // Pending output fell below the low-water mark (64 KiB) after having been above it.
  virtual void on_drained() {}
  // From EventLoop::flush(), before the write, for a connection that wanted it: the last moment to append to
  // out(). Output that is made once per turn (HTTP/2 frames of all answers) is made here.
  virtual void on_flush() {}
};

// Owned by shared_ptr; the loop keeps one while the socket is open.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  virtual ~Connection() = default;
  // Starts reading. The handler must outlive the connection or detach itself by start(nullptr), after which
  // nothing is called; another handler may take over by start(other).
  virtual void start(ConnectionHandler* handler) = 0;
  // Append output here, then want_flush(). Bytes already given to the kernel are not in it.
  virtual std::string& out() = 0;
  virtual void want_flush() = 0;
  // Output not yet taken by the kernel: out() and what an earlier write left over.
  virtual size_t pending_bytes() const = 0;
  // Back-pressure: no more on_bytes until resumed.
  virtual void pause_reading(bool paused) = 0;
  virtual void close(const std::string& reason) = 0;
  // No more on_bytes; writes what is pending (for at most 5 s), then closes.
  virtual void close_after_flush(const std::string& reason) = 0;
  virtual std::string remote_address() const = 0;  // "127.0.0.1:4711"
};

struct HostPort {
  std::string host;  // name or numeric address, IPv6 without brackets
  uint16_t port = 0;
};

// "127.0.0.1:2379", "[::1]:2379", "localhost:2379". Error: a sentence.
Result<HostPort> parse_host_port(std::string_view text);
std::string to_string(const HostPort& address);

class Listener {
 public:
  virtual ~Listener() = default;  // stops accepting
  virtual uint16_t port() const = 0;
  // Only after bind_tcp(): takes connections from now on. Error: another process listens there meanwhile.
  virtual Result<void> open() = 0;
  // Accepts that failed for want of descriptors or memory; the listener rests 100 ms after each.
  virtual uint64_t accept_failures() const = 0;
  virtual void pause_accepting(bool paused) = 0;
};

using AcceptFn = std::function<void(std::shared_ptr<Connection>)>;
using ConnectFn = std::function<void(Result<std::shared_ptr<Connection>>)>;

// At most 8 accepts per turn. SO_REUSEADDR, TCP_NODELAY. The error names address and cause ("port 2379 is in
// use ..."). Port 0 picks a free one. Resolves names on the caller's thread (start-up only). The loop must
// outlive the listener.
Result<std::unique_ptr<Listener>> listen_tcp(EventLoop& loop, const HostPort& address, AcceptFn on_accept);
// As listen_tcp(), but whoever connects is refused until Listener::open().
Result<std::unique_ptr<Listener>> bind_tcp(EventLoop& loop, const HostPort& address, AcceptFn on_accept);
// Name resolution runs off the loop's thread. The callback comes once, from the loop, never from inside this
// call.
void connect_tcp(EventLoop& loop, const HostPort& address, std::chrono::milliseconds timeout, ConnectFn done);

}  // namespace decree::net
