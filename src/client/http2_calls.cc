#include "client/http2_calls.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <vector>

#include "decree/check.h"
#include "http/grpc_framing.h"

namespace decree::client {

namespace {

using http::grpc_prefix_bytes;
constexpr size_t reply_bytes_max = size_t{1} << 30;
constexpr int32_t stream_window_bytes = 4 << 20;
constexpr int32_t connection_window_bytes = 64 << 20;
constexpr size_t pool_max = 4096;

struct Call {
  uint64_t token = 0;
  int32_t stream = -1;
  std::string_view request;
  size_t sent_bytes = 0;
  bool left = false;       // its HEADERS were handed to the socket's buffer
  bool cancelled = false;  // nobody waits for a reply
  bool too_large = false;
  MessageSink* messages = nullptr;  // streaming
  int grpc_status = -1;
  int http_status = 0;
  std::string message;
  std::string body;
  size_t open_index = 0;

  void reset() {
    stream = -1;
    request = {};
    messages = nullptr;
    sent_bytes = 0;
    left = cancelled = too_large = false;
    grpc_status = -1;
    http_status = 0;
    message.clear();
    if (body.capacity() > (64 << 10)) body = std::string();
    body.clear();
  }
};

int to_number(std::string_view text, int otherwise) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

// Size of the message that begins at `bytes`, prefix included; 0 while its prefix is not whole.
uint64_t framed_bytes(std::string_view bytes) {
  if (bytes.size() < grpc_prefix_bytes) return 0;
  uint64_t size = 0;
  for (size_t i = 1; i < grpc_prefix_bytes; ++i) size = size << 8 | static_cast<uint8_t>(bytes[i]);
  return size + grpc_prefix_bytes;
}

// Hands out the whole messages in `call.body` and keeps the rest.
void hand_out_messages(Call& call) {
  std::string_view rest = call.body;
  for (uint64_t size = framed_bytes(rest); size != 0 && size <= rest.size() && !call.cancelled;
       size = framed_bytes(rest)) {
    call.messages->on_message(call.token, rest.substr(grpc_prefix_bytes, size - grpc_prefix_bytes));
    rest.remove_prefix(size);
  }
  call.body.erase(0, call.body.size() - rest.size());
}

nghttp2_nv field(std::string_view name, std::string_view value, uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  // nghttp2 reads only; its interface has no const.
  return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                    flags};
}

}  // namespace

std::string frame_message(std::string_view message) {
  std::string framed;
  framed.reserve(grpc_prefix_bytes + message.size());
  http::append_grpc_prefix(&framed, message.size());
  framed += message;
  return framed;
}

struct Http2Calls::Impl {
  Impl(std::string authority_in, ReplySink& sink_in) : authority(std::move(authority_in)), sink(sink_in) {}

  std::string authority;
  ReplySink& sink;
  nghttp2_session* session = nullptr;
  bool closed = false;  // end_all() was called or the protocol was broken
  bool goaway = false;
  bool heard = false;  // any byte from the other side yet
  std::string error_text;
  std::vector<std::unique_ptr<Call>> open;  // any order; Call::open_index is its place
  std::vector<std::unique_ptr<Call>> pool;

  static Impl& self(void* user) { return *static_cast<Impl*>(user); }

  void open_session();
  std::unique_ptr<Call> take(Call& call);
  void give_back(std::unique_ptr<Call> call);
  void finish(Call& call, uint32_t h2_error);
  void deliver(Call& call, const Reply& reply);
  Reply judged(Call& call, uint32_t h2_error, std::string& text) const;

  static ssize_t read_request(nghttp2_session*, int32_t, uint8_t* buffer, size_t room, uint32_t* flags,
                              nghttp2_data_source* source, void*);
  static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void*);
  static int on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size, void*);
  static int on_stream_close(nghttp2_session*, int32_t stream, uint32_t error, void*);
  static int on_frame_recv(nghttp2_session*, const nghttp2_frame*, void*);
  static int on_frame_send(nghttp2_session*, const nghttp2_frame*, void*);
};

void Http2Calls::Impl::open_session() {
  nghttp2_session_callbacks* callbacks = nullptr;
  DECREE_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
  DECREE_CHECK(nghttp2_session_client_new(&session, callbacks, this) == 0, "out of memory");
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 2> settings = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_bytes},
  }};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, connection_window_bytes);
}

std::unique_ptr<Call> Http2Calls::Impl::take(Call& call) {
  const size_t index = call.open_index;
  std::unique_ptr<Call> taken = std::move(open[index]);
  if (index + 1 != open.size()) {
    open[index] = std::move(open.back());
    open[index]->open_index = index;
  }
  open.pop_back();
  return taken;
}

void Http2Calls::Impl::give_back(std::unique_ptr<Call> call) {
  if (pool.size() >= pool_max) return;
  call->reset();
  pool.push_back(std::move(call));
}

ssize_t Http2Calls::Impl::read_request(nghttp2_session*, int32_t, uint8_t* buffer, size_t room,
                                       uint32_t* flags, nghttp2_data_source* source, void*) {
  Call& call = *static_cast<Call*>(source->ptr);
  if (call.cancelled) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const size_t size = std::min(room, call.request.size() - call.sent_bytes);
  std::memcpy(buffer, call.request.data() + call.sent_bytes, size);
  call.sent_bytes += size;
  if (call.sent_bytes == call.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

int Http2Calls::Impl::on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                                size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
  auto* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
  if (call == nullptr) return 0;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string_view text(reinterpret_cast<const char*>(value), value_size);
  if (key == "grpc-status") {
    call->grpc_status = to_number(text, static_cast<int>(Code::unknown));
  } else if (key == "grpc-message") {
    call->message = http::percent_decode(text);
  } else if (key == ":status") {
    call->http_status = to_number(text, 0);
  }
  return 0;
}

int Http2Calls::Impl::on_data(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                              size_t size, void*) {
  auto* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
  if (call == nullptr || call->too_large) return 0;
  if (call->body.size() + size > reply_bytes_max) {
    call->too_large = true;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    return 0;
  }
  call->body.append(reinterpret_cast<const char*>(data), size);
  if (call->messages != nullptr && !call->cancelled) hand_out_messages(*call);
  return 0;
}

int Http2Calls::Impl::on_stream_close(nghttp2_session* session, int32_t stream, uint32_t error, void* user) {
  auto* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
  if (call != nullptr) {
    nghttp2_session_set_stream_user_data(session, stream, nullptr);
    self(user).finish(*call, error);
  }
  return 0;
}

int Http2Calls::Impl::on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  if (frame->hd.type == NGHTTP2_GOAWAY) self(user).goaway = true;
  return 0;
}

int Http2Calls::Impl::on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  auto* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
  if (call != nullptr) call->left = true;
  return 0;
}

Reply Http2Calls::Impl::judged(Call& call, uint32_t h2_error, std::string& text) const {
  if (call.too_large) {
    text =
        "the answer is larger than " + std::to_string(reply_bytes_max) + " bytes; ask for less, with a limit";
    return {CallEnd::lost, Code::resource_exhausted, text, {}};
  }
  if (call.grpc_status < 0) {
    if (!call.left || h2_error == NGHTTP2_REFUSED_STREAM) {
      text = "the server did not take the request";
      return {CallEnd::not_taken, Code::unavailable, text, {}};
    }
    if (call.http_status != 0 && call.http_status != 200) {
      text = "HTTP status " + std::to_string(call.http_status) +
             " instead of a gRPC answer: is this an etcd endpoint?";
    } else {
      text = std::string("the server ended the call without an answer (") + nghttp2_http2_strerror(h2_error) +
             ")";
    }
    return {CallEnd::lost, Code::unavailable, text, {}};
  }
  const Code code = code_from_wire(static_cast<uint32_t>(call.grpc_status));
  if (code != Code::ok) return {CallEnd::answered, code, call.message, {}};
  const std::string_view body = call.body;
  if (call.messages != nullptr && body.empty()) return {CallEnd::answered, code, {}, {}};
  if (call.messages != nullptr || body.size() < grpc_prefix_bytes || body[0] != 0 ||
      framed_bytes(body) != body.size()) {
    text = "the server's answer is not one plain gRPC message";
    return {CallEnd::lost, Code::internal, text, {}};
  }
  return {CallEnd::answered, code, {}, body.substr(grpc_prefix_bytes)};
}

void Http2Calls::Impl::finish(Call& call, uint32_t h2_error) {
  std::string text;
  const Reply reply = judged(call, h2_error, text);
  deliver(call, reply);
}

void Http2Calls::Impl::deliver(Call& call, const Reply& reply) {
  std::unique_ptr<Call> owned = take(call);
  if (!owned->cancelled) sink.on_reply(owned->token, reply);
  give_back(std::move(owned));
}

Http2Calls::Http2Calls(std::string authority, ReplySink& sink)
    : impl_(std::make_unique<Impl>(std::move(authority), sink)) {
  impl_->open_session();
}

Http2Calls::~Http2Calls() { nghttp2_session_del(impl_->session); }

bool Http2Calls::start(uint64_t token, std::string_view path, std::string_view framed, int64_t timeout_ms,
                       MessageSink* messages) {
  if (!takes_calls()) return false;
  std::unique_ptr<Call> call;
  if (impl_->pool.empty()) {
    call = std::make_unique<Call>();
  } else {
    call = std::move(impl_->pool.back());
    impl_->pool.pop_back();
  }
  call->token = token;
  call->request = framed;
  call->messages = messages;
  constexpr uint8_t fixed = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
  std::array<nghttp2_nv, 8> fields = {
      field(":method", "POST", fixed),
      field(":scheme", "http", fixed),
      field(":path", path, NGHTTP2_NV_FLAG_NO_COPY_NAME),
      field(":authority", impl_->authority, fixed),
      field("content-type", "application/grpc", fixed),
      field("te", "trailers", fixed),
      field("user-agent", "decree", fixed),
      {},
  };
  size_t count = fields.size() - 1;
  std::array<char, 24> timeout_text{};
  if (timeout_ms > 0) {
    // gRPC allows eight digits; the deadline differs with every call, so it stays out of HPACK's table.
    char* end = std::to_chars(timeout_text.data(), timeout_text.data() + timeout_text.size(),
                              std::min<int64_t>(timeout_ms, 99'999'999))
                    .ptr;
    *end++ = 'm';
    fields[count++] = field(
        "grpc-timeout", std::string_view(timeout_text.data(), static_cast<size_t>(end - timeout_text.data())),
        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX);
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = call.get();
  provider.read_callback = Impl::read_request;
  const int32_t stream =
      nghttp2_submit_request(impl_->session, nullptr, fields.data(), count, &provider, call.get());
  if (stream < 0) return false;  // out of stream ids: a fresh connection is needed
  call->stream = stream;
  call->open_index = impl_->open.size();
  impl_->open.push_back(std::move(call));
  return true;
}

void Http2Calls::cancel(uint64_t token) {
  for (const std::unique_ptr<Call>& call : impl_->open) {
    if (call->token != token || call->cancelled) continue;
    call->cancelled = true;  // its request bytes are not touched from here on
    nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
    return;
  }
}

bool Http2Calls::feed(std::string_view bytes) {
  if (impl_->closed) return false;
  const bool http1 = !impl_->heard && bytes.substr(0, 5) == "HTTP/";
  impl_->heard = true;
  const ssize_t taken =
      nghttp2_session_mem_recv(impl_->session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!http1 && taken == static_cast<ssize_t>(bytes.size()) && nghttp2_session_want_read(impl_->session) != 0)
    return true;
  impl_->closed = true;
  if (http1) {
    impl_->error_text = "it answers HTTP/1, not HTTP/2: is this really a client endpoint (and not a peer's)?";
  } else if (impl_->goaway) {
    impl_->error_text = "the server ended the connection";
  } else {
    impl_->error_text = std::string("it does not speak proper HTTP/2 (") +
                        nghttp2_strerror(taken < 0 ? static_cast<int>(taken) : NGHTTP2_ERR_PROTO) + ")";
  }
  return false;
}

void Http2Calls::pull(std::string& out) {
  while (!impl_->closed) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(impl_->session, &data);
    if (size <= 0) return;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
}

void Http2Calls::end_all(std::string_view reason) {
  impl_->closed = true;
  while (!impl_->open.empty()) {
    Call& call = *impl_->open.back();
    nghttp2_session_set_stream_user_data(impl_->session, call.stream, nullptr);
    if (call.left) {
      impl_->deliver(call, {CallEnd::lost, Code::unavailable, reason, {}});
    } else {
      impl_->deliver(call, {CallEnd::not_taken, Code::unavailable, reason, {}});
    }
  }
}

bool Http2Calls::takes_calls() const { return !impl_->closed && !impl_->goaway; }

size_t Http2Calls::open_calls() const { return impl_->open.size(); }

const std::string& Http2Calls::error() const { return impl_->error_text; }

}  // namespace decree::client
