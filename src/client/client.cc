#include "client/client.h"

#include <algorithm>
#include <map>

#include "client/channel.h"
#include "decree/check.h"

namespace decree::client {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Between two rounds over all endpoints when they answer, but cannot serve ("no leader").
constexpr milliseconds round_pause{100};
constexpr milliseconds attempt_min{50};

struct Pending {
  uint64_t id = 0;
  std::string_view path;
  std::string framed;
  CallKind kind = CallKind::change;
  milliseconds timeout{0};
  net::SteadyTime deadline;
  std::optional<size_t> only;
  Client::Done done;
  size_t attempts = 0;  // in this round
  size_t at = 0;        // endpoint of the current attempt
  bool sent = false;    // handed to the channel, no reply yet
  bool answered_in_round = false;
  uint64_t timer = 0;
  std::string failures;  // one clause per endpoint of this round
};

milliseconds left(net::SteadyTime deadline) {
  return std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
}

}  // namespace

struct Client::Impl final : ChannelUser {
  explicit Impl(net::EventLoop& loop_in) : loop(loop_in) {}
  ~Impl() override {
    for (auto& [id, pending] : calls) loop.cancel(pending.timer);
  }

  net::EventLoop& loop;
  std::vector<std::unique_ptr<Channel>> channels;
  std::map<uint64_t, Pending> calls;
  uint64_t next_id = 1;
  size_t preferred = 0;  // the endpoint that served last

  size_t reachable(const Pending& p) const { return p.only ? 1 : channels.size(); }
  void attempt(Pending& p);
  void send(Pending& p);
  void set_timer(Pending& p, milliseconds after, void (Impl::*then)(Pending&));
  void on_timeout(Pending& p);
  void attempt_ended(Pending& p, CallEnd end, Code code, std::string message, std::string_view body);
  void finish(Pending& p, Status status, std::string_view body);

  void on_channel_up(Channel& channel) override;
  void on_channel_down(Channel& channel, const std::string& reason) override;
  void on_reply(Channel& channel, uint64_t token, const Reply& reply) override;
};

void Client::Impl::set_timer(Pending& p, milliseconds after, void (Impl::*then)(Pending&)) {
  loop.cancel(p.timer);
  p.timer = loop.at(steady_clock::now() + std::max(after, milliseconds(0)), [this, id = p.id, then] {
    const auto it = calls.find(id);
    if (it != calls.end()) (this->*then)(it->second);
  });
}

void Client::Impl::attempt(Pending& p) {
  p.at = p.only ? *p.only : (preferred + p.attempts) % channels.size();
  ++p.attempts;
  p.sent = false;
  Channel& channel = *channels[p.at];
  const milliseconds whole = left(p.deadline);
  // An endpoint that keeps silent must not use up the time of those after it.
  const auto untried = static_cast<int64_t>(reachable(p) - p.attempts + 1);
  const milliseconds share = std::max(whole / std::max<int64_t>(untried, 1), std::min(attempt_min, whole));
  set_timer(p, share, &Impl::on_timeout);
  if (channel.up()) return send(p);
  if (channel.draining()) channel.close("the server asked to go elsewhere");
  channel.connect(share);
}

void Client::Impl::send(Pending& p) {
  Channel& channel = *channels[p.at];
  const milliseconds whole = left(p.deadline);
  if (!channel.start_call(p.id, p.path, p.framed, std::max<int64_t>(whole.count(), 1))) {
    attempt_ended(p, CallEnd::not_taken, Code::unavailable,
                  channel.name() + ": the connection takes no calls", {});
    return;
  }
  p.sent = true;
  // A change that has left must not be sent elsewhere, so it may wait to the end.
  if (p.kind == CallKind::change) set_timer(p, whole, &Impl::on_timeout);
}

void Client::Impl::on_timeout(Pending& p) {
  Channel& channel = *channels[p.at];
  if (p.sent) channel.cancel_call(p.id);
  attempt_ended(p, p.sent ? CallEnd::lost : CallEnd::not_taken, Code::deadline_exceeded,
                channel.name() + (p.sent ? ": no answer in time" : ": no connection in time"), {});
}

void Client::Impl::on_channel_up(Channel& channel) {
  for (auto it = calls.begin(); it != calls.end();) {
    Pending& p = (it++)->second;
    if (!p.sent && p.at == channel.index()) send(p);
  }
}

void Client::Impl::on_channel_down(Channel& channel, const std::string& reason) {
  std::vector<uint64_t> waiting;
  for (const auto& [id, p] : calls) {
    if (!p.sent && p.at == channel.index()) waiting.push_back(id);
  }
  for (const uint64_t id : waiting) {
    const auto it = calls.find(id);
    if (it != calls.end()) attempt_ended(it->second, CallEnd::not_taken, Code::unavailable, reason, {});
  }
}

void Client::Impl::on_reply(Channel& channel, uint64_t token, const Reply& reply) {
  const auto it = calls.find(token);
  if (it == calls.end()) return;
  if (reply.end == CallEnd::answered && reply.code == Code::ok) preferred = channel.index();
  attempt_ended(it->second, reply.end, reply.code, std::string(reply.message), reply.body);
}

void Client::Impl::attempt_ended(Pending& p, CallEnd end, Code code, std::string message,
                                 std::string_view body) {
  const Fate fate = fate_of(end, code, message);
  Status status{code, std::move(message), fate, channels[p.at]->name()};
  if (p.kind == CallKind::read && !status.ok()) status.fate = Fate::not_done;
  const bool safe = status.fate == Fate::not_done && worth_another_endpoint(end, code, status.message);
  if (status.ok() || !safe) return finish(p, std::move(status), body);

  p.answered_in_round |= end == CallEnd::answered;
  p.failures += (p.failures.empty() ? "" : "; ") + status.message;
  if (left(p.deadline) > milliseconds(0)) {
    if (p.attempts < reachable(p)) return attempt(p);
    if (p.answered_in_round && left(p.deadline) > round_pause) {
      p.attempts = 0;
      p.answered_in_round = false;
      p.failures.clear();
      p.at = channels.size();  // waits for no channel
      p.sent = false;
      return set_timer(p, round_pause, &Impl::attempt);
    }
  }
  if (reachable(p) > 1) status.message = "no endpoint could serve: " + p.failures;
  finish(p, std::move(status), {});
}

void Client::Impl::finish(Pending& p, Status status, std::string_view body) {
  loop.cancel(p.timer);
  Done done = std::move(p.done);
  CallResult result{std::move(status), std::string(body)};
  calls.erase(p.id);
  done(std::move(result));
}

Client::Client(net::EventLoop& loop, std::vector<net::HostPort> endpoints)
    : impl_(std::make_unique<Impl>(loop)) {
  DECREE_CHECK(!endpoints.empty(), "a client needs at least one endpoint");
  for (net::HostPort& endpoint : endpoints) {
    impl_->channels.push_back(
        std::make_unique<Channel>(loop, std::move(endpoint), impl_->channels.size(), *impl_));
  }
}

Client::~Client() = default;

void Client::call(CallSpec spec, Done done) {
  const uint64_t id = impl_->next_id++;
  Pending& p = impl_->calls[id];
  p.id = id;
  p.path = spec.path;
  p.framed = frame_message(spec.message);
  p.kind = spec.kind;
  p.timeout = spec.timeout;
  p.deadline = steady_clock::now() + spec.timeout;
  p.only = spec.endpoint;
  p.at = impl_->channels.size();
  p.done = std::move(done);
  // From the loop, so that no `done` ever runs inside call().
  impl_->set_timer(p, milliseconds(0), &Impl::attempt);
}

size_t Client::endpoint_count() const { return impl_->channels.size(); }

std::string Client::endpoint_name(size_t index) const { return impl_->channels.at(index)->name(); }

}  // namespace decree::client
