// Everything between the client port and consensus: the etcd v3 services, /health, /version, /metrics.
//
// The host constructs one, calls bind() at its start and open() when the member may answer, tick() about
// every 10 ms, slice() once per turn, and flushes the loop. All on the loop's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/metrics.h"
#include "decree/consensus.h"
#include "decree/result.h"
#include "http/limits.h"
#include "net/event_loop.h"
#include "net/tcp.h"

namespace decree::kv {
class Store;
}

namespace decree::api {

enum class AutoCompaction : uint8_t { off, periodic, revision };

struct FrontOptions {
  std::vector<net::HostPort> listen;                // --listen-client-urls
  std::vector<net::HostPort> listen_metrics;        // --listen-metrics-urls: HTTP only
  std::string name;                                 // own, announced
  std::vector<std::string> advertise_client_urls;   // own, until the cluster tells (PeerStatus::client_urls)
  size_t request_bytes_max = 1572864;               // --max-request-bytes, on the log entry
  int64_t txn_ops_max = 128;                        // --max-txn-ops
  uint64_t quota_bytes = 0;                         // --quota-backend-bytes as the store counts; 0 = none
  std::chrono::milliseconds request_timeout{7000};  // 5 s + 2 x election timeout
  AutoCompaction auto_compaction = AutoCompaction::off;
  std::chrono::seconds compaction_period{0};  // periodic: keep so much history
  int64_t compaction_revisions = 0;           // revision: keep so many revisions
  size_t calls_in_flight_max = 20000;         // proposals and reads parked here
  uint32_t history_slots = 1024;              // as NodeOptions: requests whose client is remembered
  // Publishes this member's name and client URLs through the log, and the cluster version when leading.
  bool announce = true;
  http::Limits limits;
};

class ServerFront {
 public:
  using Log = std::function<void(const std::string& sentence)>;
  // Becomes the sink of `consensus`. `store` is the machine that consensus applies to.
  ServerFront(net::EventLoop& loop, Consensus& consensus, kv::Store& store, FrontOptions options, Log log);
  ~ServerFront();

  // Takes the clients' addresses, where whoever connects is refused until open(), and opens those of metrics.
  // Error: a sentence that names the address.
  Result<void> bind();
  Result<void> open();
  std::vector<uint16_t> ports() const;  // of options.listen, in order
  // Once since the start, as of the last tick(): before, commands wait.
  bool caught_up() const;

  // Deadlines, auto-compaction.
  void tick(net::SteadyTime now);
  // Works on answers that take long (big ranges, hashes) for at most `budget`; true when there is more to do,
  // the next wait should then return at once.
  bool slice(std::chrono::nanoseconds budget);

  Metrics& metrics();

  // Clients are told to go elsewhere, calls in flight may finish. Then close().
  void shut_down();
  // As shut_down(), and whatever waits for a leader to confirm it is told that none will.
  void leave_cluster();
  bool drained() const;
  void close();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::api
