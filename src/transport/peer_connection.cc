#include "transport/peer_connection.h"

#include <utility>

#include "transport/codec.h"

namespace decree::transport {

PeerConnection::PeerConnection(PeerConnectionOwner& owner, std::shared_ptr<net::Connection> connection,
                               std::optional<Hello> dialled)
    : owner_(owner),
      connection_(std::move(connection)),
      dialled_(std::move(dialled)),
      state_(dialled_ ? State::awaiting_welcome : State::awaiting_hello) {
  connection_->start(this);
  if (dialled_) append_frame(FrameKind::hello, encode_hello(*dialled_));
}

PeerConnection::~PeerConnection() { connection_->start(nullptr); }

void PeerConnection::append_frame(FrameKind kind, const std::string& payload) {
  std::string& out = connection_->out();
  const size_t at = open_frame(out);
  out.append(payload);
  close_frame(out, at, kind);
  bytes_sent_ += out.size() - at;
  connection_->want_flush();
}

void PeerConnection::welcome(const Hello& own, NodeId peer, Purpose purpose) {
  append_frame(FrameKind::welcome, encode_hello(own));
  open(peer, purpose);
}

void PeerConnection::open(NodeId peer, Purpose purpose) {
  state_ = State::open;
  peer_ = peer;
  purpose_ = purpose;
  reader_.set_payload_bytes_max(kFramePayloadBytesMax);
}

void PeerConnection::refuse(const Refusal& refusal) {
  append_frame(FrameKind::refusal, encode_refusal(refusal));
  state_ = State::closing;
  connection_->close_after_flush(refusal.reason);
}

void PeerConnection::close(const std::string& reason) {
  if (state_ == State::closing) return;
  state_ = State::closing;
  connection_->close(reason);
}

void PeerConnection::send(uint32_t epoch, const Message& message) {
  std::string& out = connection_->out();
  const size_t at = open_frame(out);
  encode_message(epoch, message, out);
  close_frame(out, at, FrameKind::message);
  bytes_sent_ += out.size() - at;
  connection_->want_flush();
}

std::string PeerConnection::encode_frame(uint32_t epoch, const Message& message) {
  std::string out;
  const size_t at = open_frame(out);
  encode_message(epoch, message, out);
  close_frame(out, at, FrameKind::message);
  return out;
}

void PeerConnection::send_encoded(const std::string& frame) {
  connection_->out().append(frame);
  bytes_sent_ += frame.size();
  connection_->want_flush();
}

void PeerConnection::on_bytes(std::string_view bytes) {
  bytes_received_ += bytes.size();
  if (state_ == State::closing) return;
  reader_.feed(bytes);
  Frame frame;
  for (;;) {
    switch (reader_.next(&frame)) {
      case FrameReader::Status::need_more:
        return;
      case FrameReader::Status::broken:
        garbage(reader_.problem());
        return;
      case FrameReader::Status::frame:
        on_frame(frame);
        break;
    }
    if (state_ == State::closing) return;
  }
}

void PeerConnection::on_frame(const Frame& frame) {
  if (state_ == State::open) {
    if (frame.kind != FrameKind::message) {
      // The other side may still turn us down after its own look at our answer.
      if (frame.kind == FrameKind::refusal) {
        owner_.on_refused(*this, decode_refusal(frame.payload));
        close("refused by the peer");
        return;
      }
      garbage("a handshake frame on an open connection");
      return;
    }
    Result<Decoded> decoded = decode_message(frame.payload);
    if (decoded) {
      owner_.on_peer_message(*this, decoded->epoch, std::move(decoded->message));
    } else if (decoded.error().code !=
               ErrorCode::format) {  // a newer member may know more messages than we do
      garbage(decoded.error().message);
    }
    return;
  }
  if (state_ == State::awaiting_hello && frame.kind == FrameKind::hello) {
    const std::optional<Hello> hello = decode_hello(frame.payload);
    if (!hello) return garbage("an unreadable hello");
    return owner_.on_hello(*this, *hello);
  }
  if (state_ == State::awaiting_welcome && frame.kind == FrameKind::welcome) {
    const std::optional<Hello> hello = decode_hello(frame.payload);
    if (!hello) return garbage("an unreadable answer to our hello");
    return owner_.on_welcome(*this, *hello);
  }
  if (state_ == State::awaiting_welcome && frame.kind == FrameKind::refusal) {
    owner_.on_refused(*this, decode_refusal(frame.payload));
    close("refused by the peer");
    return;
  }
  garbage("a frame before the handshake");
}

void PeerConnection::garbage(const std::string& what) {
  owner_.on_garbage(*this, what);
  close(what);
}

void PeerConnection::on_closed(const std::string& reason) {
  state_ = State::closing;
  owner_.on_gone(*this, reason);  // may destroy this
}

}  // namespace decree::transport
