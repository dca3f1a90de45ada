// Both ends of a connection in memory: a net::Connection without a socket for the server, an nghttp2 client
// for the test. No socket, no time: exchange() moves bytes until nothing moves any more.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"

namespace decree::http {

class FakeConnection final : public net::Connection {
 public:
  void start(net::ConnectionHandler* handler) override { handler_ = handler; }
  std::string& out() override { return out_; }
  void want_flush() override { flush_wanted_ = true; }
  size_t pending_bytes() const override { return out_.size(); }
  void pause_reading(bool paused) override { paused_ = paused; }
  void close(const std::string& reason) override {
    if (!closed_) reason_ = reason;
    closed_ = true;
  }
  void close_after_flush(const std::string& reason) override {
    if (!closed_ && !closing_) reason_ = reason;
    closing_ = true;
  }
  std::string remote_address() const override { return "test:1"; }

  // ---- the test's side
  void feed(std::string_view bytes) {
    if (handler_ != nullptr && !closed_ && !closing_) handler_->on_bytes(bytes);
  }
  void flush() {
    if (!flush_wanted_ || closed_ || closing_ || handler_ == nullptr) return;
    flush_wanted_ = false;
    handler_->on_flush();
  }
  // What the kernel would have taken.
  std::string take() {
    flush();
    std::string taken;
    taken.swap(out_);
    if (taken.size() >= 64 * 1024 && handler_ != nullptr && !closed_ && !closing_) handler_->on_drained();
    if (closing_) closed_ = true;
    return taken;
  }
  // As the loop does at the end of a turn.
  void tell_if_closed() {
    if (!closed_ || handler_ == nullptr) return;
    net::ConnectionHandler* handler = handler_;
    handler_ = nullptr;
    handler->on_closed(reason_);
  }
  void break_off() {
    close("reset by the test");
    tell_if_closed();
  }
  bool closed() const { return closed_; }
  bool paused() const { return paused_; }
  const std::string& reason() const { return reason_; }

 private:
  net::ConnectionHandler* handler_ = nullptr;
  std::string out_;
  std::string reason_;
  bool flush_wanted_ = false;
  bool paused_ = false;
  bool closed_ = false;
  bool closing_ = false;
};

struct TestAnswer {
  std::map<std::string, std::string> fields;  // headers and trailers
  std::string body;
  bool ended = false;
  uint32_t error = 0;  // RST_STREAM's code, when closed by one
  std::string field(const std::string& name) const {
    const auto it = fields.find(name);
    return it == fields.end() ? std::string() : it->second;
  }
  // The one gRPC message of a unary answer.
  std::string message() const {
    return body.size() < grpc_prefix_bytes ? std::string() : body.substr(grpc_prefix_bytes);
  }
};

class TestClient {
 public:
  explicit TestClient(std::vector<nghttp2_settings_entry> settings = {}) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  ~TestClient() { nghttp2_session_del(session_); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  using Fields = std::vector<std::pair<std::string, std::string>>;
  // `body` leaves whole with END_STREAM, unless `open`.
  int32_t request(const std::string& path, std::string body, const Fields& extra = {}, bool open = false) {
    Fields fields{{":method", "POST"},
                  {":scheme", "http"},
                  {":path", path},
                  {":authority", "t"},
                  {"content-type", "application/grpc"},
                  {"te", "trailers"}};
    for (const auto& [name, value] : extra) {
      bool replaced = false;
      for (auto& field : fields)
        if (field.first == name) {
          field.second = value;
          replaced = true;
        }
      if (!replaced) fields.emplace_back(name, value);
    }
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields)
      nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                    0});
    auto& upload = uploads_.emplace_back(std::make_unique<Upload>());
    upload->bytes = std::move(body);
    upload->open = open;
    nghttp2_data_provider provider{};
    provider.source.ptr = upload.get();
    provider.read_callback = read_body;
    const int32_t stream =
        nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), &provider, nullptr);
    streams_[stream] = upload.get();
    return stream;
  }
  int32_t call(const std::string& path, std::string_view message, const Fields& extra = {}) {
    std::string framed;
    append_grpc_prefix(&framed, message.size());
    return request(path, framed.append(message), extra);
  }
  void send_more(int32_t stream, std::string_view bytes, bool last) {
    Upload* upload = streams_[stream];
    upload->bytes.append(bytes);
    upload->open = !last;
    nghttp2_session_resume_data(session_, stream);
  }
  void reset(int32_t stream) { nghttp2_submit_rst_stream(session_, 0, stream, NGHTTP2_CANCEL); }
  void ping() { nghttp2_submit_ping(session_, 0, nullptr); }

  // Everything there is to send.
  std::string pull() {
    std::string bytes;
    const uint8_t* data = nullptr;
    for (ssize_t n = 0; (n = nghttp2_session_mem_send(session_, &data)) > 0;)
      bytes.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    return bytes;
  }
  bool feed(std::string_view bytes) {
    return nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) >=
           0;
  }
  // Until nothing moves; the client's bytes arrive in pieces of `piece`.
  void exchange(FakeConnection& server, size_t piece = 1 << 20) {
    for (bool moved = true; moved;) {
      moved = false;
      const std::string up = pull();
      for (size_t at = 0; at < up.size(); at += piece) server.feed(std::string_view(up).substr(at, piece));
      const std::string down = server.take();
      if (!down.empty()) feed(down);
      moved = !up.empty() || !down.empty();
    }
  }
  TestAnswer& answer(int32_t stream) { return answers_[stream]; }
  bool goaway() const { return goaway_; }
  uint32_t goaway_code() const { return goaway_code_; }

 private:
  struct Upload {
    std::string bytes;
    size_t sent = 0;
    bool open = false;
  };
  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* buffer, size_t length, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto* upload = static_cast<Upload*>(source->ptr);
    const size_t n = std::min(length, upload->bytes.size() - upload->sent);
    if (n == 0 && upload->open) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(buffer, upload->bytes.data() + upload->sent, n);
    upload->sent += n;
    if (upload->sent == upload->bytes.size() && !upload->open) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* self) {
    static_cast<TestClient*>(self)
        ->answers_[frame->hd.stream_id]
        .fields[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                     void* self) {
    static_cast<TestClient*>(self)->answers_[stream].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t stream, uint32_t error, void* self) {
    TestAnswer& answer = static_cast<TestClient*>(self)->answers_[stream];
    answer.ended = true;
    answer.error = error;
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type != NGHTTP2_GOAWAY) return 0;
    static_cast<TestClient*>(self)->goaway_ = true;
    static_cast<TestClient*>(self)->goaway_code_ = frame->goaway.error_code;
    return 0;
  }

  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Upload>> uploads_;
  std::map<int32_t, Upload*> streams_;
  std::map<int32_t, TestAnswer> answers_;
  bool goaway_ = false;
  uint32_t goaway_code_ = 0;
};

}  // namespace decree::http
