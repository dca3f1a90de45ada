// All connections of this member with the others: listening, dialling, handshakes, queues.
//
// Per pair of members two connections: `main`, and `beats` for what must never wait behind a snapshot. The
// member with the smaller number dials; the other one knocks when it starts or loses the connection, so that
// a restart is noticed at once and not after the dialler's back-off. Sending never blocks: what does not fit
// is dropped, newest first, the protocol sends it again. Everything on the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "decree/message.h"
#include "net/tcp.h"
#include "transport/handshake.h"

namespace decree::transport {

enum class LogLevel : uint8_t { debug, info, warn, error };

struct TransportOptions {
  Self self;
  uint32_t epoch = 0;  // marks our frames; what a message of another epoch means is the core's business
  std::vector<Member> members;  // of the cluster, self included
  Membership membership;        // the same, whole, for who asks to join
  std::vector<net::HostPort> listen;
  // ---- caps, stated in docs/operations.md
  size_t unauthenticated_max = 64;          // connections that have not introduced themselves
  size_t queue_soft_bytes_max = 32u << 20;  // per connection: beyond, bulk (Accept, Chosen, ...) is dropped
  size_t queue_hard_bytes_max = 64u << 20;  // beyond, everything is dropped
};

// The process at the other end, as its handshake said.
struct PeerProcess {
  Incarnation incarnation;   // of its disk
  uint64_t boot = 0;         // no two starts have the same
  uint64_t disk_writes = 0;  // what its disk held when it started; 0: not counted
};

class TransportSink {
 public:
  virtual ~TransportSink() = default;
  virtual void on_peer_message(NodeId from, Message message) = 0;
  // Up: messages can be exchanged. Down: the main connection broke; told at once.
  virtual void on_peer_link(NodeId peer, bool up, const PeerProcess& process) = 0;
  // First contact with a member whose disk was not known yet. From now on only this one is let in.
  virtual void on_incarnation(NodeId peer, Incarnation incarnation) = 0;
  // A process with another disk than the known one says it is `peer`, and was turned away.
  virtual void on_other_disk(NodeId peer, Incarnation incarnation) = 0;
  virtual void on_transport_log(LogLevel level, const std::string& sentence) = 0;
};

struct PeerTraffic {
  NodeId peer;
  bool connected = false;
  uint64_t round_trip_us = 0;  // of the last beat; 0 = not measured yet
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t dropped = 0;  // messages not sent because a queue was full or there was no connection
  size_t queued_bytes = 0;
};

class Transport {
 public:
  Transport(net::EventLoop& loop, TransportOptions options, TransportSink& sink);
  ~Transport();  // closes everything, without telling the sink
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Starts listening and dialling. Error: names the address.
  Result<void> start();
  std::vector<uint16_t> ports() const;

  // Another epoch: connects to the added, drops those who are in neither list, dials changed addresses.
  // `former` are let in to learn that they are removed. `membership` is handed to who asks to join.
  void set_members(const Membership& membership, const std::vector<Member>& former);

  // Best effort. The write leaves with the loop's flush.
  void send(NodeId to, const Message& message);

  bool is_connected(NodeId peer) const;
  uint64_t round_trip_us(NodeId peer) const;  // 0: not measured
  std::vector<PeerTraffic> traffic() const;
  uint64_t garbage_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::transport
