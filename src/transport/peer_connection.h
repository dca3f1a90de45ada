// One connection to a member: frames, handshake state, output. Decides nothing about the cluster: the owner
// does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "decree/message.h"
#include "net/tcp.h"
#include "transport/frame.h"
#include "transport/handshake.h"

namespace decree::transport {

class PeerConnection;

class PeerConnectionOwner {
 public:
  virtual ~PeerConnectionOwner() = default;
  // An accepted connection introduced itself. The owner answers with welcome() or refuse().
  virtual void on_hello(PeerConnection& connection, const Hello& hello) = 0;
  // The member we dialled answered our hello. The owner calls open() or refuse().
  virtual void on_welcome(PeerConnection& connection, const Hello& hello) = 0;
  virtual void on_refused(PeerConnection& connection, const Refusal& refusal) = 0;
  virtual void on_peer_message(PeerConnection& connection, uint32_t epoch, Message message) = 0;
  // Bytes that no member sends. The connection closes itself afterwards.
  virtual void on_garbage(PeerConnection& connection, const std::string& what) = 0;
  // The last call.
  virtual void on_gone(PeerConnection& connection, const std::string& reason) = 0;
};

class PeerConnection final : public net::ConnectionHandler {
 public:
  enum class State : uint8_t { awaiting_hello, awaiting_welcome, open, closing };

  // Accepted when `dialled` is empty, else our hello, which leaves at once.
  PeerConnection(PeerConnectionOwner& owner, std::shared_ptr<net::Connection> connection,
                 std::optional<Hello> dialled);
  ~PeerConnection() override;

  // Accepted: answers with our hello and opens.
  void welcome(const Hello& own, NodeId peer, Purpose purpose);
  // Dialled: the answer was right.
  void open(NodeId peer, Purpose purpose);
  void refuse(const Refusal& refusal);
  void close(const std::string& reason);

  void send(uint32_t epoch, const Message& message);
  // An encoded message frame as send() would append it, for a message that goes to several members.
  static std::string encode_frame(uint32_t epoch, const Message& message);
  void send_encoded(const std::string& frame);

  State state() const { return state_; }
  NodeId peer() const { return peer_; }
  Purpose purpose() const { return purpose_; }
  bool is_dialled() const { return dialled_.has_value(); }
  const std::optional<Hello>& dialled() const { return dialled_; }
  size_t pending_bytes() const { return connection_->pending_bytes(); }
  std::string remote_address() const { return connection_->remote_address(); }
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

  // For the owner's book-keeping.
  uint32_t quiet_checks = 0;
  uint64_t bytes_at_last_check = 0;

  void on_bytes(std::string_view bytes) override;
  void on_closed(const std::string& reason) override;

 private:
  void on_frame(const Frame& frame);
  void garbage(const std::string& what);
  void append_frame(FrameKind kind, const std::string& payload);

  PeerConnectionOwner& owner_;
  std::shared_ptr<net::Connection> connection_;
  std::optional<Hello> dialled_;
  FrameReader reader_{kHandshakePayloadBytesMax};
  State state_;
  NodeId peer_;
  Purpose purpose_ = Purpose::main;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_sent_ = 0;
};

}  // namespace decree::transport
