#include "lab/sim/front.h"

#include <map>
#include <utility>

#include "api/context.h"
#include "api/kv_service.h"
#include "decree/check.h"
#include "kv/applier.h"

namespace decree::lab {

namespace {

constexpr int64_t kExpiryUs = 50'000;
constexpr uint32_t kNobody = ~0u;

// An error that leaves the fate of a write open, as etcd's texts have it.
bool may_have_happened(http::GrpcCode code, std::string_view text) {
  return code == http::GrpcCode::deadline_exceeded || text.find("timed out") != std::string_view::npos ||
         text.find("stopped") != std::string_view::npos;
}

class Port final : public http::CallPort {
 public:
  explicit Port(const Front::Outside& outside) : outside_(outside) {}

  void begin(uint32_t client, uint64_t serial, std::string_view method, const std::string& request) {
    const auto route = routes_.find(std::string(method));
    DECREE_CHECK(route != routes_.end(), "clients of the simulation call methods that exist");
    const uint32_t index = next_++;
    calls_[index] = Call{client, serial, {}, 0};
    route->second.service->on_unary({index, 1}, route->second.method, request);
  }
  size_t calls_open() const { return calls_.size(); }
  std::vector<Front::Answer> hang_up() {
    std::vector<Front::Answer> waiting;
    for (const auto& [index, call] : calls_)
      if (call.client != kNobody)
        waiting.push_back({call.client, call.serial, false, true, "connection lost"});
    calls_.clear();
    return waiting;
  }

  // ---- http::CallPort ----
  void add_unary(std::string path, http::GrpcService* service, uint32_t method) override {
    routes_[path.substr(path.rfind('/') + 1)] = Route{service, method};
  }
  void add_streaming(std::string /*path*/, http::GrpcService* /*service*/, uint32_t /*method*/) override {}
  bool open(http::CallId call) const override { return calls_.count(call.index) != 0; }
  void reply(http::CallId call, std::string message) override { end(call, true, false, std::move(message)); }
  void fail(http::CallId call, http::GrpcCode code, std::string_view text) override {
    end(call, false, may_have_happened(code, text), std::string(text));
  }
  void begin_reply(http::CallId call, uint64_t total_bytes) override {
    if (open(call)) calls_[call.index].total_bytes = total_bytes;
  }
  void append_reply(http::CallId call, std::string piece) override {
    if (!open(call)) return;
    Call& c = calls_[call.index];
    c.body += piece;
    if (c.body.size() >= c.total_bytes) end(call, true, false, std::string(c.body));
  }
  void send(http::CallId /*call*/, std::string /*message*/) override {}
  void finish(http::CallId /*call*/, http::GrpcCode /*code*/, std::string_view /*text*/) override {}
  size_t unsent_bytes(http::CallId /*call*/) const override { return 0; }
  net::SteadyTime deadline(http::CallId /*call*/) const override { return net::SteadyTime::max(); }
  std::string_view metadata(http::CallId /*call*/, std::string_view /*name*/) const override { return {}; }

 private:
  struct Route {
    http::GrpcService* service = nullptr;
    uint32_t method = 0;
  };
  struct Call {
    uint32_t client = 0;
    uint64_t serial = 0;
    std::string body;  // of an answer in pieces
    uint64_t total_bytes = 0;
  };

  void end(http::CallId call, bool ok, bool unknown, std::string text) {
    const auto it = calls_.find(call.index);
    if (call.generation == 0 || it == calls_.end()) return;
    const Front::Answer answer{it->second.client, it->second.serial, ok, unknown, std::move(text)};
    calls_.erase(it);
    if (answer.client != kNobody) outside_.answer(answer);
  }

  const Front::Outside& outside_;
  std::map<std::string, Route> routes_;
  std::map<uint32_t, Call> calls_;
  uint32_t next_ = 0;
};

}  // namespace

struct Front::Impl {
  Impl(Consensus& consensus, kv::Store& store, Outside o)
      : outside(std::move(o)),
        port(outside),
        context(port, consensus, store, options,
                {[this] { return net::SteadyTime(std::chrono::microseconds(outside.now_us())); },
                 outside.wake, [](const std::string&) {}}),
        kv(context) {
    sink.context = &context;
  }

  // As ServerFront has it: what was applied may carry a newer term than the status of this turn.
  struct Sink final : ConsensusSink {
    api::Context* context = nullptr;
    void on_applied(uint64_t seq, Reply reply) override {
      context->forget_status();
      context->pending.on_applied(seq, std::move(reply));
    }
    void on_outcome(uint64_t seq, Outcome outcome) override { context->pending.on_outcome(seq, outcome); }
    void on_leader_gone(uint64_t seq) override { context->pending.on_leader_gone(seq); }
    void on_read(uint64_t seq, bool ok) override { context->pending.on_read(seq, ok); }
  };

  Outside outside;
  api::FrontOptions options;
  Port port;
  api::Context context;
  api::KvService kv;
  Sink sink;
  int64_t next_expiry_us = 0;
};

Front::Front(Consensus& consensus, kv::Store& store, Outside outside)
    : impl_(std::make_unique<Impl>(consensus, store, std::move(outside))) {}
Front::~Front() = default;

void Front::call(uint32_t client, uint64_t serial, std::string_view method, const std::string& request) {
  impl_->port.begin(client, serial, method, request);
}
void Front::call_unheard(std::string_view method, const std::string& request) {
  impl_->port.begin(kNobody, 0, method, request);
}

void Front::tick() {
  impl_->context.forget_status();
  impl_->kv.tick();
  if (impl_->outside.now_us() < impl_->next_expiry_us) return;
  impl_->next_expiry_us = impl_->outside.now_us() + kExpiryUs;
  impl_->context.pending.expire(impl_->context.clock());
}

void Front::slice() {
  impl_->context.forget_status();
  if (impl_->context.long_answers.slice(std::chrono::nanoseconds(0))) impl_->outside.wake();
}

ConsensusSink& Front::sink() { return impl_->sink; }
size_t Front::calls_open() const { return impl_->port.calls_open(); }
std::vector<Front::Answer> Front::hang_up() { return impl_->port.hang_up(); }

}  // namespace decree::lab
