// HTTP/2 by nghttp2 in memory mode. nghttp2 keeps the protocol's state; this file keeps the calls, the limits
// and the order: frames are read when bytes come and made once per turn, in on_flush().
#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "decree/check.h"
#include "http/frame_scanner.h"
#include "http/session.h"

namespace decree::http {

namespace {

constexpr size_t preface_bytes = 24;
constexpr int32_t stream_window_bytes = 1 << 20;
constexpr int32_t connection_window_bytes = 8 << 20;
constexpr uint8_t copy_value_flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
constexpr uint8_t no_copy_flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;

uint8_t* bytes_of(std::string_view text) {
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));  // nghttp2 does not write to it
}

// `name` must be static; `value` too when `value_is_static`.
nghttp2_nv field(std::string_view name, std::string_view value, bool value_is_static) {
  return {bytes_of(name), bytes_of(value), name.size(), value.size(),
          value_is_static ? no_copy_flags : copy_value_flags};
}

std::string_view code_digits(GrpcCode code) {
  static constexpr std::string_view digits[grpc_codes] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                          "9", "10", "11", "12", "13", "14", "15", "16"};
  const auto n = static_cast<size_t>(code);
  return digits[n < grpc_codes ? n : static_cast<size_t>(GrpcCode::unknown)];
}

struct Callbacks {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
};

}  // namespace

class Http2Session final : public Session {
 public:
  Http2Session(Server& server, ClientConnection& connection);
  ~Http2Session() override { nghttp2_session_del(session_); }

  void on_bytes(std::string_view bytes) override;
  void on_flush() override;
  void answer_changed(Call& call) override;
  void answer_http(Call& call, HttpAnswer answer) override;
  void shut_down() override;
  std::string overdue(net::SteadyTime now) override;

 private:
  static const Callbacks& shared_callbacks(const Limits& limits);
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t flags, void* self);
  static int on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_data_chunk(nghttp2_session*, uint8_t flags, int32_t stream, const uint8_t* data, size_t size,
                           void* self);
  static int on_stream_close(nghttp2_session*, int32_t stream, uint32_t error, void* self);
  static int on_error(nghttp2_session*, int code, const char* text, size_t size, void* self);
  static int on_frame_send(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static ssize_t read_answer(nghttp2_session*, int32_t stream, uint8_t* buffer, size_t length,
                             uint32_t* data_flags, nghttp2_data_source* source, void* self);
  static int send_answer(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_header, size_t length,
                         nghttp2_data_source* source, void* self);

  Call* call_of(int32_t stream) const {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session_, stream));
  }
  int new_call(int32_t stream);
  int take_field(Call& call, std::string_view name, std::string_view value);
  void request_headers_done(Call& call);
  void take_body(Call& call, std::string_view bytes);
  void request_done(Call& call);
  void take_message(Call& call, size_t already_held);
  void submit_headers(Call& call);
  void submit_trailers(Call& call);
  // Answers on gRPC's level without asking the service.
  void refuse(Call& call, GrpcCode code, std::string_view text);
  void enhance_your_calm(const std::string& reason);
  void count(uint32_t* counter, uint32_t by, uint32_t max, const char* what);
  void pump();

  nghttp2_session* session_ = nullptr;
  FrameScanner scanner_;
  size_t preface_left_ = preface_bytes;
  net::SteadyTime window_start_{};
  net::SteadyTime middle_since_{};
  uint64_t middle_frame_ = 0;
  uint32_t resets_ = 0;
  uint32_t control_frames_ = 0;
  bool in_middle_ = false;
  bool dead_ = false;  // no more bytes are taken
  bool shutting_down_ = false;
  bool goodbye_ = false;  // the client's GOAWAY
  net::SteadyTime opened_ = std::chrono::steady_clock::now();
  std::string last_error_;   // nghttp2's words
  std::string drop_reason_;  // leaves after the frames that say so
};

std::unique_ptr<Session> make_http2_session(Server& server, ClientConnection& connection) {
  return std::make_unique<Http2Session>(server, connection);
}

const Callbacks& Http2Session::shared_callbacks(const Limits& limits) {
  static const Callbacks shared = [&limits] {
    Callbacks made;
    nghttp2_session_callbacks_new(&made.callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made.callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made.callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made.callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made.callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(made.callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(made.callbacks, on_frame_send);
    nghttp2_session_callbacks_set_error_callback2(made.callbacks, on_error);
    nghttp2_session_callbacks_set_send_data_callback(made.callbacks, send_answer);
    nghttp2_option_new(&made.option);
    nghttp2_option_set_no_closed_streams(made.option, 1);  // else it keeps up to streams_max of them
    nghttp2_option_set_max_outbound_ack(made.option, 1000);
    nghttp2_option_set_max_settings(made.option, 32);
    nghttp2_option_set_max_continuations(made.option, limits.continuations_max);
    // Ours is stricter and logged; this one stands behind it.
    nghttp2_option_set_stream_reset_rate_limit(made.option, 1000, 100);
    return made;
  }();
  return shared;
}

Http2Session::Http2Session(Server& server, ClientConnection& connection) : Session(server, connection) {
  const Callbacks& shared = shared_callbacks(server.limits());
  DECREE_CHECK(nghttp2_session_server_new2(&session_, shared.callbacks, this, shared.option) == 0,
               "out of memory");
  const std::array<nghttp2_settings_entry, 4> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server.limits().streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(server.limits().header_list_bytes_max)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window_bytes);
}

// ---- bytes in ----

void Http2Session::on_bytes(std::string_view bytes) {
  if (dead_) return;
  const size_t preface = std::min(preface_left_, bytes.size());
  preface_left_ -= preface;
  scanner_.scan(bytes.substr(preface));
  count(&control_frames_, scanner_.take_control_frames(), server_.limits().control_frames_max,
        "control frames");
  if (!scanner_.in_the_middle()) {
    in_middle_ = false;
  } else if (!in_middle_ || middle_frame_ != scanner_.frames()) {
    in_middle_ = true;
    middle_frame_ = scanner_.frames();
    middle_since_ = std::chrono::steady_clock::now();
  }
  const ssize_t n =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (n < 0) {
    dead_ = true;
    drop_reason_ = fmt::format("its bytes are not HTTP/2: {}", nghttp2_strerror(static_cast<int>(n)));
    nghttp2_session_terminate_session(
        session_, n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  }
  connection_.net().want_flush();
}

int Http2Session::on_begin_headers(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* self) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  return static_cast<Http2Session*>(self)->new_call(frame->hd.stream_id);
}

int Http2Session::new_call(int32_t stream) {
  if (shutting_down_ || !server_.has_room() || answer_bytes_ > server_.limits().connection_answer_bytes_max) {
    ++server_.counters_.calls_refused;
    // REFUSED_STREAM promises that nothing was done: clients try again, elsewhere if they can.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_REFUSED_STREAM);
    return 0;
  }
  Call* call = server_.open_call(this);
  call->stream = stream;
  call->opened = std::chrono::steady_clock::now();
  nghttp2_session_set_stream_user_data(session_, stream, call);
  return 0;
}

int Http2Session::on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame, const uint8_t* name,
                            size_t name_size, const uint8_t* value, size_t value_size, uint8_t /*flags*/,
                            void* self) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto* session = static_cast<Http2Session*>(self);
  Call* call = session->call_of(frame->hd.stream_id);
  if (call == nullptr) return 0;
  return session->take_field(*call, std::string_view(reinterpret_cast<const char*>(name), name_size),
                             std::string_view(reinterpret_cast<const char*>(value), value_size));
}

int Http2Session::take_field(Call& call, std::string_view name, std::string_view value) {
  const size_t field_bytes = name.size() + value.size() + 32;
  call.header_bytes += static_cast<uint32_t>(field_bytes);
  server_.hold(&call, field_bytes);
  if (call.header_bytes > server_.limits().header_list_bytes_max)
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (name[0] == ':') {
    if (name == ":path")
      call.path = value;
    else if (name == ":method")
      call.http_method = value;
    return 0;
  }
  if (name == "content-type") {
    call.grpc = value.substr(0, 16) == "application/grpc" &&
                (value.size() == 16 || value[16] == '+' || value[16] == ';');
    return 0;
  }
  if (name == "grpc-timeout") {
    if (const auto timeout = parse_grpc_timeout(value)) call.deadline = call.opened + *timeout;
    return 0;
  }
  if (name == "te" || name == "user-agent" || name == "grpc-accept-encoding") return 0;
  if (name.find('\0') != std::string_view::npos || value.find('\0') != std::string_view::npos) return 0;
  call.metadata.append(name).push_back('\0');
  call.metadata.append(value).push_back('\0');
  return 0;
}

int Http2Session::on_frame_recv(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* self) {
  auto* session = static_cast<Http2Session*>(self);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS: {
      Call* call = session->call_of(frame->hd.stream_id);
      if (call == nullptr) break;
      if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) session->request_headers_done(*call);
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) session->request_done(*call);
      break;
    }
    case NGHTTP2_DATA:
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        if (Call* call = session->call_of(frame->hd.stream_id)) session->request_done(*call);
      break;
    case NGHTTP2_RST_STREAM:
      session->count(&session->resets_, 1, session->server_.limits().resets_max, "streams opened and reset");
      break;
    case NGHTTP2_GOAWAY:
      session->goodbye_ = true;
      break;
    default:
      break;
  }
  return 0;
}

int Http2Session::on_error(nghttp2_session* /*session*/, int /*code*/, const char* text, size_t size,
                           void* self) {
  static_cast<Http2Session*>(self)->last_error_.assign(text, std::min<size_t>(size, 200));
  return 0;
}

void Http2Session::request_headers_done(Call& call) {
  call.method_post = call.http_method == "POST";
  if (call.grpc && call.method_post) {
    call.route = server_.find_route(call.path);
    if (call.route != nullptr) {
      ++call.route->started;
      return;
    }
    const std::string_view path = std::string_view(call.path).substr(0, 200);
    const size_t slash = path.rfind('/');
    const bool shaped = slash != std::string_view::npos && slash > 0;
    refuse(call, GrpcCode::unimplemented,
           shaped ? fmt::format("unknown method {} of service {}", path.substr(slash + 1),
                                path.substr(1, slash - 1))
                  : fmt::format("\"{}\" is not a method's path", path));
    return;
  }
  call.grpc = false;
  const std::string_view path = std::string_view(call.path).substr(0, call.path.find('?'));
  call.handler = server_.find_http(path);
  if (call.handler != nullptr) return;
  call.answered = true;
  answer_http(call, {404, "text/plain; charset=utf-8", "404 page not found\n", {}});
}

// grpc-go reads answers before it has sent all; so an answer may precede the rest of the request, which is
// then thrown away.
int Http2Session::on_data_chunk(nghttp2_session* /*session*/, uint8_t /*flags*/, int32_t stream,
                                const uint8_t* data, size_t size, void* self) {
  auto* session = static_cast<Http2Session*>(self);
  Call* call = session->call_of(stream);
  if (call != nullptr && !call->answered)
    session->take_body(*call, std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

void Http2Session::take_body(Call& call, std::string_view bytes) {
  const Limits& limits = server_.limits();
  if (!call.grpc) {
    if (call.body.size() + bytes.size() > limits.http_body_bytes_max) {
      call.answered = true;
      return answer_http(call, {413, "text/plain; charset=utf-8", "the body is too large\n", {}});
    }
    call.body.append(bytes);
    return hold_request(call, bytes.size());
  }
  while (!call.answered && !bytes.empty()) {
    if (call.message_whole)
      return refuse(call, GrpcCode::internal, "grpc: a unary call carries exactly one message");
    const size_t before = call.reader.buffered_bytes();
    switch (call.reader.feed(&bytes)) {
      case MessageReader::Outcome::need_more:
        hold_request(call, call.reader.buffered_bytes() - before);
        if (request_bytes_ > limits.connection_request_bytes_max || !server_.has_room()) {
          ++server_.counters_.calls_refused;
          refuse(call, GrpcCode::resource_exhausted, "etcdserver: too many requests");
        }
        return;
      case MessageReader::Outcome::message:
        take_message(call, before);
        break;
      case MessageReader::Outcome::too_large:
        return refuse(call, GrpcCode::resource_exhausted,
                      fmt::format("grpc: received message larger than max ({} vs. {})",
                                  call.reader.announced_bytes(), limits.message_bytes_max));
      case MessageReader::Outcome::compressed:
        return refuse(call, GrpcCode::unimplemented,
                      "grpc: compressed messages are not supported, send them as they are");
      case MessageReader::Outcome::malformed:
        return refuse(call, GrpcCode::internal, "grpc: the message's first byte is neither 0 nor 1");
    }
  }
}

void Http2Session::take_message(Call& call, size_t already_held) {
  if (call.route->streaming) {
    release_request(call);
    had_request_ = true;
    call.dispatched = true;
    call.route->service->on_message(call.id(), call.route->method, call.reader.message());
    return;
  }
  // It stays in the reader until the client says that this was all.
  call.message_whole = true;
  hold_request(call, call.reader.message().size() - already_held);
}

void Http2Session::request_done(Call& call) {
  call.request_over = true;
  if (call.answered) return;
  had_request_ = true;
  if (!call.grpc) {
    const std::string_view target = call.path;
    const size_t mark = target.find('?');
    const std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    release_request(call);
    return server_.dispatch_http(&call, {call.http_method, target.substr(0, mark), query, call.body});
  }
  if (!call.reader.between_messages())
    return refuse(call, GrpcCode::internal, "grpc: the request ends inside a message");
  release_request(call);
  if (call.route->streaming) {
    call.dispatched = true;
    return call.route->service->on_half_closed(call.id(), call.route->method);
  }
  if (!call.message_whole)
    return refuse(call, GrpcCode::internal, "grpc: a unary call carries exactly one message");
  call.dispatched = true;
  call.route->service->on_unary(call.id(), call.route->method, call.reader.message());
}

int Http2Session::on_stream_close(nghttp2_session* session, int32_t stream, uint32_t /*error*/, void* self) {
  auto* me = static_cast<Http2Session*>(self);
  Call* call = me->call_of(stream);
  if (call == nullptr) return 0;
  nghttp2_session_set_stream_user_data(session, stream, nullptr);
  me->server_.close_call(call);
  return 0;
}

// ---- answers ----

void Http2Session::refuse(Call& call, GrpcCode code, std::string_view text) {
  release_request(call);
  call.reader.reset();
  call.answered = true;
  call.refused = true;
  call.code = code;
  call.text = text;
  answer_changed(call);
}

void Http2Session::submit_headers(Call& call) {
  call.headers_out = true;
  std::array<nghttp2_nv, 5> fields{field(":status", "200", true),
                                   field("content-type", "application/grpc", true)};
  size_t n = 2;
  if (call.answered && call.unsent == 0) {
    // Trailers only.
    std::string encoded;
    fields[n++] = field("grpc-status", code_digits(call.code), true);
    if (!call.text.empty()) {
      encoded = percent_encode(call.text);
      fields[n++] = field("grpc-message", encoded, false);
    }
    if (call.code == GrpcCode::unimplemented) fields[n++] = field("grpc-accept-encoding", "identity", true);
    nghttp2_submit_response(session_, call.stream, fields.data(), n, nullptr);
    return;
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = read_answer;
  nghttp2_submit_response(session_, call.stream, fields.data(), n, &provider);
}

void Http2Session::submit_trailers(Call& call) {
  std::array<nghttp2_nv, 2> fields{field("grpc-status", code_digits(call.code), true)};
  if (call.text.empty()) {
    nghttp2_submit_trailer(session_, call.stream, fields.data(), 1);
    return;
  }
  const std::string encoded = percent_encode(call.text);
  fields[1] = field("grpc-message", encoded, false);
  nghttp2_submit_trailer(session_, call.stream, fields.data(), 2);
}

void Http2Session::answer_changed(Call& call) {
  if (dead_) return;
  if (!call.headers_out) {
    submit_headers(call);
  } else if (call.deferred) {
    call.deferred = false;
    nghttp2_session_resume_data(session_, call.stream);
  }
  connection_.net().want_flush();
}

void Http2Session::answer_http(Call& call, HttpAnswer answer) {
  if (dead_) return;
  call.headers_out = true;
  const std::string status = std::to_string(answer.status);
  const std::string length = std::to_string(answer.body.size());
  std::vector<nghttp2_nv> fields{field(":status", status, false),
                                 field("content-type", answer.content_type, false),
                                 field("content-length", length, false)};
  if (!answer.allow.empty()) fields.push_back(field("allow", answer.allow, false));
  for (const auto& [name, value] : answer.headers)  // both are copied: they go with `answer`
    fields.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  const bool head = call.http_method == "HEAD";
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = read_answer;
  if (!head) push_answer(call, std::move(answer.body));
  nghttp2_submit_response(session_, call.stream, fields.data(), fields.size(),
                          call.unsent == 0 ? nullptr : &provider);
  connection_.net().want_flush();
}

ssize_t Http2Session::read_answer(nghttp2_session* /*session*/, int32_t /*stream*/, uint8_t* /*buffer*/,
                                  size_t length, uint32_t* data_flags, nghttp2_data_source* source,
                                  void* self) {
  auto& call = *static_cast<Call*>(source->ptr);
  if (call.unsent == 0 && !call.answered) {
    call.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const size_t n = std::min(length, call.unsent);
  *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (n == call.unsent && call.answered) {
    *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call.grpc) {
      *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      static_cast<Http2Session*>(self)->submit_trailers(call);
    }
  }
  return static_cast<ssize_t>(n);
}

int Http2Session::send_answer(nghttp2_session* /*session*/, nghttp2_frame* /*frame*/,
                              const uint8_t* frame_header, size_t length, nghttp2_data_source* source,
                              void* self) {
  auto* session = static_cast<Http2Session*>(self);
  auto& call = *static_cast<Call*>(source->ptr);
  std::string& out = session->connection_.net().out();
  out.append(reinterpret_cast<const char*>(frame_header), 9);
  session->take_answer(call, length, &out);
  if (call.unsent == 0 && !call.answered && call.route != nullptr)
    call.route->service->on_writable(call.id(), call.route->method);
  return 0;
}

int Http2Session::on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
  auto* me = static_cast<Http2Session*>(self);
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    // Resets that the client provokes cost as much as its own (CVE-2025-8671).
    if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
      me->count(&me->resets_, 1, me->server_.limits().resets_max, "streams that had to be reset");
    return 0;
  }
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  // Whoever gets answers is served, not flooding: as etcd, which resets its ping strikes here.
  me->control_frames_ = 0;
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  const Call* call = me->call_of(frame->hd.stream_id);
  // Answered before the request was over: the client may stop sending.
  if (call != nullptr && !call->request_over)
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return 0;
}

// ---- bytes out ----

void Http2Session::pump() {
  std::string& out = connection_.net().out();
  const size_t limit = server_.limits().output_bytes_max;
  while (connection_.net().pending_bytes() < limit) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) {
      if (drop_reason_.empty()) drop_reason_ = nghttp2_strerror(static_cast<int>(n));
      dead_ = true;
      return;
    }
    if (n == 0) return;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
  }
}

void Http2Session::on_flush() {
  pump();
  // A client that does not read its answers gets no further requests read.
  connection_.net().pause_reading(connection_.net().pending_bytes() >= server_.limits().output_bytes_max);
  if (!drop_reason_.empty()) return connection_.drop(drop_reason_);
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    if (shutting_down_) return connection_.net().close_after_flush("the server is shutting down");
    if (goodbye_) return connection_.net().close_after_flush("the client said goodbye");
    return connection_.drop(
        fmt::format("it broke the rules of HTTP/2{}{}", last_error_.empty() ? "" : ": ", last_error_));
  }
  if (shutting_down_ && calls_.empty()) connection_.net().close_after_flush("the server is shutting down");
}

// ---- limits ----

void Http2Session::count(uint32_t* counter, uint32_t by, uint32_t max, const char* what) {
  if (by == 0) return;
  const net::SteadyTime now = std::chrono::steady_clock::now();
  if (now - window_start_ > server_.limits().window) {
    window_start_ = now;
    resets_ = 0;
    control_frames_ = 0;
  }
  *counter += by;
  if (*counter > max && drop_reason_.empty())
    enhance_your_calm(fmt::format("more than {} {} within {} s", max, what, server_.limits().window.count()));
}

void Http2Session::enhance_your_calm(const std::string& reason) {
  drop_reason_ = reason;
  dead_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  connection_.net().want_flush();
}

std::string Http2Session::overdue(net::SteadyTime now) {
  const Limits& limits = server_.limits();
  if (in_middle_ && now - middle_since_ > limits.header_deadline && connection_.net().pending_bytes() == 0)
    return fmt::format("it began a frame and did not finish it within {} s", limits.header_deadline.count());
  if (scanner_.frames() == 0 && now - opened_ > limits.header_deadline)
    return "the HTTP/2 handshake did not end in time";
  for (size_t i = 0; i < calls_.size(); ++i) {
    Call& call = *calls_[i];
    if (call.grpc && !call.answered && !call.request_over && call.route != nullptr &&
        !call.route->streaming && now - call.opened > limits.body_deadline)
      refuse(call, GrpcCode::deadline_exceeded, "the request did not arrive in time");
  }
  return {};
}

void Http2Session::shut_down() {
  if (shutting_down_ || dead_) return;
  shutting_down_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  connection_.net().want_flush();
}

}  // namespace decree::http
