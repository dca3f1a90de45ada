// Calls to a cluster: several endpoints, a deadline per call, and an honest answer about its fate.
//
// What is retried: a read, at another endpoint, until its deadline; a change only when it is certain
// that it was not done (never sent, refused before it was proposed). A change whose fate is unknown
// is never sent twice: the caller gets Fate::unknown and decides.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/status.h"
#include "net/event_loop.h"
#include "net/tcp.h"

namespace decree::client {

enum class CallKind : uint8_t { read, change };

struct CallSpec {
  std::string_view path;  // "/etcdserverpb.KV/Put", static
  std::string message;    // serialised request
  CallKind kind = CallKind::change;
  std::chrono::milliseconds timeout{5000};
  std::optional<size_t> endpoint;  // only this one; otherwise whichever serves
};

struct CallResult {
  Status status;
  std::string body;  // serialised response, when status.ok()
};

// On the loop's thread. The loop must outlive it; open calls are dropped without an answer when it goes.
class Client {
 public:
  using Done = std::function<void(CallResult)>;

  Client(net::EventLoop& loop, std::vector<net::HostPort> endpoints);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `done` runs once, from the loop, never from inside call().
  void call(CallSpec spec, Done done);
  size_t endpoint_count() const;
  std::string endpoint_name(size_t index) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::client
