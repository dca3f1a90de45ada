#include "http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "decree/check.h"
#include "http/session.h"

namespace decree::http {

namespace {

constexpr size_t kept_string_bytes = 4096;
constexpr size_t kept_calls = 2048;  // places that keep buffers for the next call

void clear_string(std::string& text, bool keep) {
  if (!keep || text.capacity() > kept_string_bytes)
    std::string().swap(text);
  else
    text.clear();
}

struct PathHash {
  using is_transparent = void;
  size_t operator()(std::string_view path) const { return std::hash<std::string_view>()(path); }
};

}  // namespace

void Call::take(size_t bytes, std::string* out) {
  DECREE_CHECK(bytes <= unsent, "more answer bytes taken than there are");
  unsent -= bytes;
  while (bytes != 0) {
    std::string& chunk = chunks[first_chunk];
    const size_t n = std::min(bytes, chunk.size() - chunk_offset);
    out->append(chunk, chunk_offset, n);
    chunk_offset += n;
    bytes -= n;
    if (chunk_offset == chunk.size()) {
      std::string().swap(chunk);
      ++first_chunk;
      chunk_offset = 0;
    }
  }
  if (unsent == 0) {
    chunks.clear();
    first_chunk = 0;
  }
}

void Call::clear(bool keep) {
  session = nullptr;
  route = nullptr;
  handler = nullptr;
  grpc = method_post = message_whole = dispatched = refused = request_over = in_pieces = answered =
      headers_out = deferred = false;
  clear_string(path, keep);
  clear_string(http_method, keep);
  clear_string(metadata, keep);
  clear_string(body, keep);
  clear_string(text, keep);
  reader.reset(keep);
  header_bytes = 0;
  deadline = net::SteadyTime::max();
  chunks.clear();
  if (!keep || chunks.capacity() > 64) std::vector<std::string>().swap(chunks);
  first_chunk = chunk_offset = unsent = 0;
  reply_left = 0;
  code = GrpcCode::ok;
}

void Session::end_calls() {
  while (!calls_.empty()) server_.close_call(calls_.back());
}

void Session::push_answer(Call& call, std::string chunk) {
  if (chunk.empty()) return;
  call.unsent += chunk.size();
  answer_bytes_ += chunk.size();
  server_.hold(&call, chunk.size());
  call.chunks.push_back(std::move(chunk));
}

void Session::take_answer(Call& call, size_t bytes, std::string* out) {
  call.take(bytes, out);
  answer_bytes_ -= bytes;
  server_.release(&call, bytes);
}

void Session::hold_request(Call& call, size_t bytes) {
  call.request_held += bytes;
  request_bytes_ += bytes;
  server_.hold(&call, bytes);
}

void Session::release_request(Call& call) {
  request_bytes_ -= call.request_held;
  server_.release(&call, call.request_held);
  call.request_held = 0;
}

struct Server::Tables {
  std::unordered_map<std::string, GrpcRoute*, PathHash, std::equal_to<>> grpc;
  std::unordered_map<std::string, HttpHandler*, PathHash, std::equal_to<>> http;
  std::vector<std::unique_ptr<GrpcRoute>> routes;
  std::deque<Call> calls;
  std::vector<uint32_t> free_calls;
};

Server::Server(net::EventLoop& loop, const Limits& limits, Log log)
    : loop_(loop), limits_(limits), log_(std::move(log)), tables_(std::make_unique<Tables>()) {
  const auto again = std::make_shared<std::function<void()>>();
  // The timer lives as long as the server: cancelled in the destructor.
  *again = [this, weak = std::weak_ptr<std::function<void()>>(again)] {
    sweep();
    if (const auto self = weak.lock())
      sweep_timer_ =
          loop_.at(std::chrono::steady_clock::now() + std::chrono::seconds(1), [self] { (*self)(); });
  };
  sweep_timer_ =
      loop_.at(std::chrono::steady_clock::now() + std::chrono::seconds(1), [again] { (*again)(); });
}

Server::~Server() {
  loop_.cancel(sweep_timer_);
  stop();
}

void Server::stop() {
  listeners_.clear();
  while (!connections_.empty()) {
    ClientConnection* connection = connections_.back().get();
    connection->net().start(nullptr);
    connection->net().close("the server is gone");
    forget(connection);
  }
}

void Server::add_route(std::string path, GrpcService* service, uint32_t method, bool streaming) {
  auto route = std::make_unique<GrpcRoute>();
  route->path = std::move(path);
  route->service = service;
  route->method = method;
  route->streaming = streaming;
  DECREE_CHECK(tables_->grpc.emplace(route->path, route.get()).second, "a gRPC method is registered twice");
  tables_->routes.push_back(std::move(route));
}

void Server::add_unary(std::string path, GrpcService* service, uint32_t method) {
  add_route(std::move(path), service, method, false);
}
void Server::add_streaming(std::string path, GrpcService* service, uint32_t method) {
  add_route(std::move(path), service, method, true);
}
void Server::add_http(std::string path, HttpHandler* handler) { tables_->http[std::move(path)] = handler; }

Result<uint16_t> Server::bind(const net::HostPort& address) {
  auto listener =
      net::bind_tcp(loop_, address, [this](std::shared_ptr<net::Connection> c) { accept(std::move(c)); });
  if (!listener.ok()) return listener.error();
  listeners_.push_back(std::move(*listener));
  return listeners_.back()->port();
}

Result<void> Server::open_bound() {
  for (const auto& listener : listeners_)
    if (Result<void> opened = listener->open(); !opened.ok()) return opened.error();
  return {};
}

Result<uint16_t> Server::listen(const net::HostPort& address) {
  Result<uint16_t> port = bind(address);
  if (!port.ok()) return port;
  // This one alone: others may be bound for later.
  if (Result<void> opened = listeners_.back()->open(); !opened.ok()) {
    listeners_.pop_back();
    return opened.error();
  }
  return port;
}

void Server::accept(std::shared_ptr<net::Connection> connection) {
  ++counters_.connections_accepted;
  const bool full = connections_.size() >= limits_.connections_max;
  const bool many_fresh = !full && connections_.size() >= limits_.fresh_connections_max &&
                          static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                            [](const auto& c) { return c->fresh(); })) >=
                              limits_.fresh_connections_max;
  if (full || many_fresh) {
    ++counters_.connections_refused;
    complain(fmt::format(
        "client {} refused: {} connections are open{}; raise the limit or look for a client that "
        "does not close them",
        connection->remote_address(), connections_.size(), full ? "" : " and too many never sent a request"));
    connection->close("too many connections");
    return;
  }
  adopt(std::move(connection));
}

void Server::adopt(std::shared_ptr<net::Connection> connection) {
  auto client = std::make_unique<ClientConnection>(*this, std::move(connection));
  client->index = connections_.size();
  connections_.push_back(std::move(client));
  ClientConnection& added = *connections_.back();
  added.net().start(&added);
  if (shutting_down_) added.shut_down();
}

void Server::forget(ClientConnection* connection) {
  const size_t index = connection->index;
  const std::unique_ptr<ClientConnection> dying = std::move(connections_[index]);
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index = index;
  }
  connections_.pop_back();
}

void Server::sweep() {
  const net::SteadyTime now = std::chrono::steady_clock::now();
  output_bytes_ = 0;
  for (const auto& connection : connections_) {
    output_bytes_ += connection->net().pending_bytes();
    connection->sweep(now);
  }
  uint64_t failures = 0;
  for (const auto& listener : listeners_) failures += listener->accept_failures();
  if (failures > accept_failures_seen_)
    complain(
        "a client could not be accepted: the process is out of file descriptors or memory; raise `ulimit "
        "-n`");
  accept_failures_seen_ = failures;
}

void Server::complain(const std::string& sentence) {
  const net::SteadyTime now = std::chrono::steady_clock::now();
  if (now - last_complaint_ < std::chrono::seconds(1)) {
    ++complaints_swallowed_;
    return;
  }
  last_complaint_ = now;
  if (log_)
    log_(complaints_swallowed_ == 0
             ? sentence
             : fmt::format("{} (and {} more like it)", sentence, complaints_swallowed_));
  complaints_swallowed_ = 0;
}

GrpcRoute* Server::find_route(std::string_view path) {
  const auto it = tables_->grpc.find(path);
  return it == tables_->grpc.end() ? nullptr : it->second;
}

HttpHandler* Server::find_http(std::string_view path) {
  const auto it = tables_->http.find(path);
  return it == tables_->http.end() ? nullptr : it->second;
}

Call* Server::open_call(Session* session) {
  Call* call = nullptr;
  if (tables_->free_calls.empty()) {
    call = &tables_->calls.emplace_back();
    call->index = static_cast<uint32_t>(tables_->calls.size() - 1);
    call->reader = MessageReader(limits_.message_bytes_max);
  } else {
    call = &tables_->calls[tables_->free_calls.back()];
    tables_->free_calls.pop_back();
  }
  ++call->generation;
  call->session = session;
  call->session_index = static_cast<uint32_t>(session->calls_.size());
  session->calls_.push_back(call);
  ++counters_.calls_open;
  return call;
}

Call* Server::find(CallId id) const {
  if (id.generation == 0 || id.index >= tables_->calls.size()) return nullptr;
  Call& call = tables_->calls[id.index];
  return call.generation == id.generation && call.is_open() ? &call : nullptr;
}

void Server::close_call(Call* call) {
  const CallId id = call->id();
  GrpcRoute* route = call->route;
  HttpHandler* handler = call->handler;
  const bool tell = call->dispatched && (!call->answered || call->refused);
  if (route != nullptr)
    ++route->handled[static_cast<size_t>(call->answered ? call->code : GrpcCode::canceled)];
  Session* session = call->session;
  session->release_request(*call);
  session->answer_bytes_ -= call->unsent;
  session->calls_[call->session_index] = session->calls_.back();
  session->calls_[call->session_index]->session_index = call->session_index;
  session->calls_.pop_back();
  release(call, call->held);
  call->clear(tables_->free_calls.size() < kept_calls);
  ++call->generation;
  tables_->free_calls.push_back(call->index);
  --counters_.calls_open;
  if (!tell) return;
  if (route != nullptr) route->service->on_cancelled(id, route->method);
  if (handler != nullptr) handler->on_cancelled(id);
}

void Server::hold(Call* call, size_t bytes) {
  call->held += bytes;
  bytes_held_ += bytes;
}

void Server::release(Call* call, size_t bytes) {
  DECREE_CHECK(bytes <= call->held, "more bytes released than held");
  call->held -= bytes;
  bytes_held_ -= bytes;
}

void Server::dispatch_http(Call* call, const HttpRequest& request) {
  ++counters_.http1_requests;
  call->dispatched = true;
  call->handler->on_request(call->id(), request);
}

bool Server::open(CallId id) const { return find(id) != nullptr; }

namespace {

void push_message(Call& call, std::string message) {
  std::string prefix;
  append_grpc_prefix(&prefix, message.size());
  call.session->push_answer(call, std::move(prefix));
  call.session->push_answer(call, std::move(message));
}

}  // namespace

void Server::reply(CallId id, std::string message) {
  Call* call = find(id);
  if (call == nullptr || call->answered) return;
  call->answered = true;
  push_message(*call, std::move(message));
  call->session->answer_changed(*call);
}

void Server::fail(CallId id, GrpcCode code, std::string_view text) { finish(id, code, text); }

void Server::finish(CallId id, GrpcCode code, std::string_view text) {
  Call* call = find(id);
  if (call == nullptr || call->answered) return;
  call->answered = true;
  call->code = code;
  call->text = text;
  call->session->answer_changed(*call);
}

void Server::begin_reply(CallId id, uint64_t total_bytes) {
  Call* call = find(id);
  if (call == nullptr || call->answered || call->in_pieces) return;
  DECREE_CHECK(total_bytes <= 0xffffffffu, "a gRPC message is at most 4 GiB");
  call->in_pieces = true;
  call->reply_left = total_bytes;
  call->answered = total_bytes == 0;
  std::string prefix;
  append_grpc_prefix(&prefix, total_bytes);
  call->session->push_answer(*call, std::move(prefix));
  call->session->answer_changed(*call);
}

void Server::append_reply(CallId id, std::string piece) {
  Call* call = find(id);
  if (call == nullptr || call->answered || piece.empty()) return;
  DECREE_CHECK(call->in_pieces && piece.size() <= call->reply_left, "a reply is longer than announced");
  call->reply_left -= piece.size();
  call->answered = call->reply_left == 0;
  call->session->push_answer(*call, std::move(piece));
  call->session->answer_changed(*call);
}

void Server::send(CallId id, std::string message) {
  Call* call = find(id);
  if (call == nullptr || call->answered) return;
  push_message(*call, std::move(message));
  call->session->answer_changed(*call);
}

void Server::answer(CallId id, HttpAnswer answer) {
  Call* call = find(id);
  if (call == nullptr || call->answered) return;
  call->answered = true;
  call->session->answer_http(*call, std::move(answer));
}

size_t Server::unsent_bytes(CallId id) const {
  const Call* call = find(id);
  return call == nullptr ? 0 : call->unsent;
}

net::SteadyTime Server::deadline(CallId id) const {
  const Call* call = find(id);
  return call == nullptr ? net::SteadyTime::max() : call->deadline;
}

std::string_view Server::metadata(CallId id, std::string_view name) const {
  const Call* call = find(id);
  if (call == nullptr) return {};
  std::string_view rest = call->metadata;
  while (!rest.empty()) {
    const size_t name_end = rest.find('\0');
    const size_t value_end = rest.find('\0', name_end + 1);
    if (rest.substr(0, name_end) == name) return rest.substr(name_end + 1, value_end - name_end - 1);
    rest.remove_prefix(value_end + 1);
  }
  return {};
}

std::shared_ptr<const std::string> Server::remote(CallId id) const {
  const Call* call = find(id);
  return call == nullptr ? nullptr : call->session->connection_.remote();
}

void Server::shut_down() {
  shutting_down_ = true;
  listeners_.clear();
  // Shutting one down may close it at once, but removes it from the list only later, from the loop.
  for (const auto& connection : connections_) connection->shut_down();
}

void Server::close_all(const std::string& reason) {
  listeners_.clear();
  for (const auto& connection : connections_) connection->net().close(reason);
}

ServerCounters Server::counters() const {
  ServerCounters now = counters_;
  now.connections_open = connections_.size();
  now.bytes_held = bytes_held_;
  now.output_bytes = output_bytes_;
  return now;
}

const std::vector<std::unique_ptr<GrpcRoute>>& Server::routes() const { return tables_->routes; }

}  // namespace decree::http
