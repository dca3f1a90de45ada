#include "net/tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "net/connection.h"

namespace decree::net {

namespace {

constexpr int accepts_per_turn = 8;
constexpr auto accept_rest = std::chrono::milliseconds(100);

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::string address_text(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    return fmt::format("{}:{}", text, ntohs(in.sin_port));
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
  ::inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
  return fmt::format("[{}]:{}", text, ntohs(in6.sin6_port));
}

// IPv4 first: "localhost" then means what clients that do not try both mean by it.
Result<std::vector<Address>> resolve(const HostPort& target, bool numeric_only) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (numeric_only ? AI_NUMERICHOST : 0);
  addrinfo* list = nullptr;
  const int problem = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &list);
  if (problem != 0)
    return Error{ErrorCode::not_found,
                 fmt::format("the name {} has no address ({}); check its spelling, /etc/hosts and DNS",
                             target.host, ::gai_strerror(problem))};
  std::vector<Address> found;
  for (const int family : {AF_INET, AF_INET6})
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next)
      if (entry->ai_family == family) {
        Address address;
        std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
        address.length = entry->ai_addrlen;
        found.push_back(address);
      }
  ::freeaddrinfo(list);
  if (found.empty())
    return Error{ErrorCode::not_found,
                 fmt::format("the name {} has neither an IPv4 nor an IPv6 address", target.host)};
  return found;
}

// No waiting for more to send: a turn's output leaves in one write anyway. And a peer that vanished without a
// word (its machine is gone) is found out after about two minutes.
void set_options(int fd) {
  const int on = 1;
  const int idle_s = 60;
  const int interval_s = 15;
  const int probes = 4;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

Error bind_error(const HostPort& address, int error) {
  const std::string at = to_string(address);
  switch (error) {
    case EADDRINUSE:
      return {ErrorCode::io,
              fmt::format("port {} is in use ({} cannot be bound): stop the process that listens there "
                          "or choose another port",
                          address.port, at)};
    case EADDRNOTAVAIL:
      return {ErrorCode::invalid,
              fmt::format("{} is not an address of this machine: listen on one that `ip address` "
                          "shows, or on 127.0.0.1",
                          at)};
    case EACCES:
      return {ErrorCode::permission,
              fmt::format(
                  "no right to listen on {}: ports below 1024 need CAP_NET_BIND_SERVICE, choose a higher one",
                  at)};
    default:
      return {ErrorCode::io,
              fmt::format("cannot listen on {}: {}", at, std::generic_category().message(error))};
  }
}

class TcpListener final : public Listener, public FdOwner {
 public:
  TcpListener(EventLoop& loop, int fd, HostPort bound, AcceptFn on_accept)
      : loop_(loop),
        fd_(fd),
        bound_(std::move(bound)),
        on_accept_(std::make_shared<AcceptFn>(std::move(on_accept))) {}
  // Destroyed through the graveyard only: an event for it may still be queued in this turn.
  ~TcpListener() override {
    if (rest_timer_ != 0) loop_.cancel(rest_timer_);
    if (open_) loop_.impl().remove(fd_);
    ::close(fd_);
  }
  uint16_t port() const override { return bound_.port; }
  // Not before it listens: epoll calls a bound socket that does not listen hung up, for ever.
  Result<void> open() override {
    if (open_) return {};
    if (::listen(fd_, 1024) != 0) return bind_error(bound_, errno);
    loop_.impl().add(fd_, EPOLLIN, this);
    open_ = true;
    return {};
  }
  uint64_t accept_failures() const override { return failures_; }
  void pause_accepting(bool paused) override {
    paused_ = paused;
    update();
  }

  void on_ready(uint32_t /*events*/) override {
    const std::shared_ptr<AcceptFn> on_accept = on_accept_;
    for (int i = 0; i < accepts_per_turn && !paused_; ++i) {
      Address remote;
      remote.length = sizeof(remote.storage);
      const int fd = ::accept4(fd_, reinterpret_cast<sockaddr*>(&remote.storage), &remote.length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return on_accept_error(errno);
      set_options(fd);
      auto connection = std::make_shared<SocketConnection>(loop_, fd, address_text(remote.storage));
      loop_.impl().opened(connection);
      (*on_accept)(std::move(connection));
    }
  }

 private:
  void on_accept_error(int error) {
    // Out of descriptors or memory: the pending connection keeps the listener readable. Rest instead of
    // spinning.
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return;
    ++failures_;
    resting_ = true;
    update();
    rest_timer_ = loop_.at(std::chrono::steady_clock::now() + accept_rest, [this] {
      rest_timer_ = 0;
      resting_ = false;
      update();
    });
  }
  void update() {
    if (!open_) return;
    const uint32_t wanted = EPOLLIN;
    loop_.impl().change(fd_, (paused_ || resting_) ? 0 : wanted, this);
  }

  EventLoop& loop_;
  int fd_;
  HostPort bound_;
  std::shared_ptr<AcceptFn> on_accept_;
  bool open_ = false;
  uint64_t rest_timer_ = 0;
  uint64_t failures_ = 0;
  bool paused_ = false;
  bool resting_ = false;
};

// The handle that callers own. The listener itself may have an event queued in this turn, so it is buried.
class ListenerHandle final : public Listener {
 public:
  ListenerHandle(EventLoop& loop, std::shared_ptr<TcpListener> listener)
      : loop_(loop), listener_(std::move(listener)) {}
  ~ListenerHandle() override {
    listener_->pause_accepting(true);
    loop_.impl().bury(std::move(listener_));
  }
  uint16_t port() const override { return listener_->port(); }
  Result<void> open() override { return listener_->open(); }
  uint64_t accept_failures() const override { return listener_->accept_failures(); }
  void pause_accepting(bool paused) override { listener_->pause_accepting(paused); }

 private:
  EventLoop& loop_;
  std::shared_ptr<TcpListener> listener_;
};

// One call of connect_tcp: tries the addresses one after the other until the time is up. Keeps itself alive
// until `done_` was called.
class Connector final : public FdOwner, public std::enable_shared_from_this<Connector> {
 public:
  Connector(EventLoop& loop, HostPort target, ConnectFn done)
      : loop_(loop), target_(std::move(target)), done_(std::move(done)) {}
  ~Connector() override {
    if (fd_ >= 0) ::close(fd_);
  }

  void begin(std::chrono::milliseconds timeout) {
    timer_ = loop_.at(std::chrono::steady_clock::now() + timeout, [self = shared_from_this(), timeout] {
      self->timer_ = 0;
      self->fail(fmt::format("no answer from {} within {} ms", to_string(self->target_), timeout.count()));
    });
    Result<std::vector<Address>> numeric = resolve(target_, true);
    if (numeric.ok()) {
      loop_.post([self = shared_from_this(), found = std::move(*numeric)]() mutable {
        self->resolved(std::move(found));
      });
      return;
    }
    // getaddrinfo blocks, sometimes for many seconds. The thread holds the mailbox, not the loop.
    std::thread([mailbox = loop_.impl().mailbox, target = target_, weak = weak_from_this()] {
      Result<std::vector<Address>> found = resolve(target, false);
      mailbox->post([weak, found = std::move(found)]() mutable {
        const std::shared_ptr<Connector> self = weak.lock();
        if (!self) return;
        found.ok() ? self->resolved(std::move(*found)) : self->fail(found.error().message);
      });
    }).detach();
  }

  void on_ready(uint32_t /*events*/) override {
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      last_error_ = error;
      drop_socket();
      return try_next();
    }
    connected();
  }

 private:
  void resolved(std::vector<Address> addresses) {
    if (finished_) return;
    addresses_ = std::move(addresses);
    try_next();
  }

  void try_next() {
    while (next_ < addresses_.size()) {
      const Address& address = addresses_[next_++];
      fd_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (fd_ < 0) {
        last_error_ = errno;
        continue;
      }
      set_options(fd_);
      if (::connect(fd_, address.get(), address.length) == 0 || errno == EINPROGRESS) {
        loop_.impl().add(fd_, EPOLLOUT, this);
        return;
      }
      last_error_ = errno;
      ::close(fd_);
      fd_ = -1;
    }
    const char* hint = last_error_ == ECONNREFUSED ? "; nothing listens there" : "";
    fail(fmt::format("cannot connect to {}: {}{}", to_string(target_),
                     std::generic_category().message(last_error_), hint));
  }

  void drop_socket() {
    if (fd_ < 0) return;
    loop_.impl().remove(fd_);
    ::close(fd_);
    fd_ = -1;
    // An event for it may still be queued in this turn.
    loop_.impl().bury(shared_from_this());
  }

  void connected() {
    Address remote = addresses_[next_ - 1];
    loop_.impl().remove(fd_);
    const int fd = fd_;
    fd_ = -1;
    auto connection = std::make_shared<SocketConnection>(loop_, fd, address_text(remote.storage));
    loop_.impl().opened(connection);
    finish(std::shared_ptr<Connection>(std::move(connection)));
  }

  void fail(std::string sentence) { finish(Error{ErrorCode::unavailable, std::move(sentence)}); }

  void finish(Result<std::shared_ptr<Connection>> result) {
    if (finished_) return;
    finished_ = true;
    const std::shared_ptr<Connector> self = shared_from_this();  // the timer may hold the last reference
    loop_.impl().bury(self);
    drop_socket();
    if (timer_ != 0) loop_.cancel(timer_);
    timer_ = 0;
    const ConnectFn done = std::move(done_);
    done(std::move(result));
  }

  EventLoop& loop_;
  HostPort target_;
  ConnectFn done_;
  std::vector<Address> addresses_;
  size_t next_ = 0;
  int fd_ = -1;
  int last_error_ = EHOSTUNREACH;
  uint64_t timer_ = 0;
  bool finished_ = false;
};

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  const auto bad = [&](const char* why) {
    return Error{ErrorCode::invalid,
                 fmt::format("\"{}\" is not an address: {}; write it as 127.0.0.1:2379 or [::1]:2379",
                             text.substr(0, 256), why)};
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return bad("an IPv6 address needs brackets");
  if (host.empty()) return bad("the host is missing");
  unsigned port = 0;
  const auto [end, problem] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (problem != std::errc() || end != port_text.data() + port_text.size() || port > 65535)
    return bad("the port must be a number from 0 to 65535");
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

std::string to_string(const HostPort& address) {
  return address.host.find(':') == std::string::npos ? fmt::format("{}:{}", address.host, address.port)
                                                     : fmt::format("[{}]:{}", address.host, address.port);
}

Result<std::unique_ptr<Listener>> listen_tcp(EventLoop& loop, const HostPort& address, AcceptFn on_accept) {
  Result<std::unique_ptr<Listener>> listener = bind_tcp(loop, address, std::move(on_accept));
  if (!listener.ok()) return listener;
  Result<void> opened = (*listener)->open();
  if (!opened.ok()) return opened.error();
  return listener;
}

Result<std::unique_ptr<Listener>> bind_tcp(EventLoop& loop, const HostPort& address, AcceptFn on_accept) {
  Result<std::vector<Address>> found = resolve(address, false);
  if (!found.ok()) return found.error();
  const Address& first = found->front();
  const int fd = ::socket(first.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return bind_error(address, errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (first.storage.ss_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (::bind(fd, first.get(), first.length) != 0) {
    const int error = errno;
    ::close(fd);
    return bind_error(address, error);
  }
  Address bound;
  bound.length = sizeof(bound.storage);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.length);
  const uint16_t port = ntohs(bound.storage.ss_family == AF_INET
                                  ? reinterpret_cast<const sockaddr_in&>(bound.storage).sin_port
                                  : reinterpret_cast<const sockaddr_in6&>(bound.storage).sin6_port);
  return std::unique_ptr<Listener>(new ListenerHandle(
      loop, std::make_shared<TcpListener>(loop, fd, HostPort{address.host, port}, std::move(on_accept))));
}

void connect_tcp(EventLoop& loop, const HostPort& address, std::chrono::milliseconds timeout,
                 ConnectFn done) {
  std::make_shared<Connector>(loop, address, std::move(done))->begin(timeout);
}

}  // namespace decree::net
