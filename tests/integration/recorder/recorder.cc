#include "tests/integration/recorder/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <set>

#include "etcd/rpc.pb.h"

namespace decree::recorder {
namespace {

using lab::OpKind;
using lab::OpOutcome;
using std::chrono::steady_clock;

constexpr uint64_t kAskToken = ~0ULL;
constexpr size_t kErrorTextsMax = 200;
constexpr size_t kToldBytesMax = 160;

bool writes(const lab::Operation& op) { return op.kind != OpKind::range; }

// By its own answer: did it take the revision it reports, or only see it?
bool took_revision(const lab::Operation& op) {
  if (op.kind == OpKind::put) return true;
  if (op.kind == OpKind::range) return false;
  if (op.kind == OpKind::remove) return op.answers[0].deleted > 0;
  const auto& ran = op.succeeded ? op.then_branch : op.else_branch;
  for (size_t i = 0; i < ran.size(); ++i)
    if (ran[i].kind == OpKind::put || op.answers[i].deleted > 0) return true;
  return false;
}

double percentile_ms(std::vector<int64_t>& values, double share) {
  if (values.empty()) return 0;
  const size_t rank =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(rank), values.end());
  return static_cast<double>(values[rank]) / 1e6;
}

}  // namespace

Recorder::Recorder(const Settings& settings)
    : settings_(settings), workload_(settings.workload), begin_(steady_clock::now()) {
  for (uint32_t copy = 0; copy < settings_.connections; ++copy)
    for (size_t member = 0; member < settings_.endpoints.size(); ++member)
      channels_.push_back(
          std::make_unique<client::Channel>(loop_, settings_.endpoints[member], member, *this));
  for (auto& channel : channels_) channel->connect(std::chrono::milliseconds(1000));
}

Recorder::~Recorder() { stopping_ = true; }

int64_t Recorder::now_ns() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now() - begin_).count() + 1;
}

void Recorder::turn(std::chrono::nanoseconds wait) {
  loop_.wait(wait);
  expire();
  loop_.flush();
}

client::Channel* Recorder::channel_for(uint64_t turn) {
  for (size_t i = 0; i < channels_.size(); ++i) {
    client::Channel& channel = *channels_[(turn + i) % channels_.size()];
    if (channel.up()) return &channel;
  }
  return nullptr;
}

void Recorder::start_due() {
  const double seconds = static_cast<double>(now_ns() - rate_from_ns_) / 1e9;
  const auto due = static_cast<uint64_t>(seconds * settings_.rate);
  while (due_started_ < due) {
    ++due_started_;
    if (!start_one()) ++totals_.skipped;
  }
}

bool Recorder::start_one() {
  client::Channel* channel = channel_for(turns_++);
  if (channel == nullptr || open_ >= settings_.inflight_max) return false;
  if (idle_.empty()) {
    idle_.push_back(static_cast<uint32_t>(calls_.size()));
    calls_.emplace_back().op.client = ++clients_;
  }
  const uint32_t index = idle_.back();
  idle_.pop_back();
  Call& call = calls_[index];
  const uint32_t number = call.op.client;
  call.op = workload_.next();
  call.op.client = number;
  call.op.member = static_cast<uint32_t>(channel->index() + 1);
  WireRequest wire = to_wire(call.op);
  call.framed = client::frame_message(wire.message);
  call.channel = static_cast<size_t>(
      std::find_if(channels_.begin(), channels_.end(), [&](const auto& c) { return c.get() == channel; }) -
      channels_.begin());
  ++call.generation;
  call.open = true;
  ++open_;
  ++totals_.started;
  const uint64_t token = (static_cast<uint64_t>(call.generation) << 32) | index;
  call.op.invoke_ns = now_ns();
  deadlines_.emplace_back(call.op.invoke_ns + settings_.deadline_ms * 1'000'000, token);
  if (!channel->start_call(token, wire.path, call.framed, settings_.deadline_ms)) {
    count_error(call, "not sent");
    finish(call, OpOutcome::fail);
    idle_.push_back(index);
  }
  return true;
}

void Recorder::expire() {
  const int64_t now = now_ns();
  while (!deadlines_.empty() && deadlines_.front().first <= now) {
    const uint64_t token = deadlines_.front().second;
    deadlines_.pop_front();
    const auto index = static_cast<uint32_t>(token & 0xffffffffU);
    Call& call = calls_[index];
    if (!call.open || call.generation != static_cast<uint32_t>(token >> 32)) continue;
    channels_[call.channel]->cancel_call(token);
    count_error(call, "no answer in time");
    std::fprintf(stderr, "recorder: no answer in time: %s\n",
                 lab::describe(call.op).substr(0, kToldBytesMax).c_str());
    finish(call, writes(call.op) ? OpOutcome::unknown : OpOutcome::fail);
    idle_.push_back(index);
  }
}

// The caller gives the call's place back to idle_.
void Recorder::finish(Call& call, OpOutcome outcome) {
  call.open = false;
  --open_;
  call.op.outcome = outcome;
  call.op.return_ns = outcome == OpOutcome::unknown ? 0 : now_ns();
  if (outcome == OpOutcome::ok) {
    ++totals_.ok;
    workload_.learn(call.op);
    if (writes(call.op)) {
      ++totals_.writes_ok;
      const int64_t gap_ns = last_write_ok_ns_ != 0 ? call.op.return_ns - last_write_ok_ns_ : 0;
      totals_.write_gap_ns = std::max(totals_.write_gap_ns, gap_ns);
      period_gap_ns_ = std::max(period_gap_ns_, gap_ns);
      last_write_ok_ns_ = call.op.return_ns;
      latencies_.push_back(call.op.return_ns - call.op.invoke_ns);
    }
  } else {
    ++(outcome == OpOutcome::fail ? totals_.failed : totals_.unknown);
  }
  if (settings_.keep_history) history_.push_back(call.op);
  if (outcome == OpOutcome::unknown) call.op.client = ++clients_;
}

void Recorder::count_error(const Call& call, std::string text) {
  if (call.op.asks_for_the_future()) return;
  const auto& errors = totals_.errors;
  if (errors.size() >= kErrorTextsMax && errors.count(text) == 0) text = "others";
  ++totals_.errors[text];
}

void Recorder::on_channel_up(client::Channel&) {}

void Recorder::on_channel_down(client::Channel& channel, const std::string&) {
  if (stopping_) return;
  loop_.at(steady_clock::now() + std::chrono::milliseconds(50), [this, &channel] {
    if (!stopping_) channel.connect(std::chrono::milliseconds(1000));
  });
}

void Recorder::on_reply(client::Channel&, uint64_t token, const client::Reply& reply) {
  if (token == kAskToken) {
    answered_ = true;
    answer_ok_ = reply.end == client::CallEnd::answered && reply.code == client::Code::ok;
    answer_ = answer_ok_ ? std::string(reply.body) : std::string(reply.message);
    return;
  }
  const auto index = static_cast<uint32_t>(token & 0xffffffffU);
  Call& call = calls_[index];
  if (!call.open || call.generation != static_cast<uint32_t>(token >> 32)) return;
  OpOutcome outcome = OpOutcome::fail;
  if (reply.end == client::CallEnd::answered && reply.code == client::Code::ok) {
    outcome = OpOutcome::ok;
    if (!from_wire(reply.body, &call.op) && problem_.empty()) problem_ = "an answer could not be parsed";
  } else if (writes(call.op) &&
             client::fate_of(reply.end, reply.code, reply.message) != client::Fate::not_done) {
    outcome = OpOutcome::unknown;
  }
  if (outcome != OpOutcome::ok) {
    const bool answered = reply.end == client::CallEnd::answered;
    count_error(call, fmt::format("{}: {}", answered ? client::code_name(reply.code) : "connection lost",
                                  reply.message));
  }
  finish(call, outcome);
  idle_.push_back(index);
}

void Recorder::drain() {
  const auto until = steady_clock::now() + std::chrono::milliseconds(settings_.deadline_ms + 2000);
  while (open_ > 0 && steady_clock::now() < until) turn(std::chrono::milliseconds(1));
}

bool Recorder::ask(size_t member, const char* path, const std::string& message, std::string* body,
                   steady_clock::time_point until) {
  const std::string framed = client::frame_message(message);
  while (steady_clock::now() < until) {
    client::Channel& channel = *channels_[member];
    answered_ = false;
    if (channel.up() && channel.start_call(kAskToken, path, framed, 5000)) {
      while (!answered_ && steady_clock::now() < until) turn(std::chrono::milliseconds(1));
      if (answered_ && answer_ok_) {
        body->swap(answer_);
        return true;
      }
      if (!answered_) channel.cancel_call(kAskToken);
      problem_ = channel.name() + ": " + (answered_ ? answer_ : "no answer");
    } else {
      problem_ = channel.name() + ": not connected";
    }
    turn(std::chrono::milliseconds(20));
  }
  return false;
}

bool Recorder::read_all(std::chrono::seconds longest) {
  const auto until = steady_clock::now() + longest;
  size_t answered = 0;
  for (size_t member = 0; member < settings_.endpoints.size(); ++member) {
    lab::Operation op;
    op.client = ++clients_;
    op.member = static_cast<uint32_t>(member + 1);
    op.kind = OpKind::range;
    op.request = {OpKind::range, "!", std::string(1, '\0'), "", 0, 0};  // every key we write sorts above "!"
    op.invoke_ns = now_ns();
    const WireRequest wire = to_wire(op);
    std::string body;
    // An address that no member has any more is passed over, when told that this may be.
    const auto patience = settings_.members_change ? steady_clock::now() + std::chrono::seconds(2) : until;
    if (!ask(member, wire.path, wire.message, &body, patience)) {
      if (settings_.members_change) continue;
      return false;
    }
    if (answered++ == 0) reader_ = member;
    op.return_ns = now_ns();
    op.outcome = OpOutcome::ok;
    if (!from_wire(body, &op)) return false;
    history_.push_back(op);
  }
  if (answered == 0) return false;
  problem_.clear();
  return true;
}

bool Recorder::resolve_unknown(std::chrono::seconds longest) {
  const auto until = steady_clock::now() + longest;
  std::map<std::string, size_t> unknown_by_value;
  std::vector<bool> known;
  int64_t newest = 1;
  for (const lab::Operation& op : history_) newest = std::max(newest, op.revision);
  known.resize(static_cast<size_t>(newest) + 1, false);
  for (size_t i = 0; i < history_.size(); ++i) {
    const lab::Operation& op = history_[i];
    if (!writes(op)) continue;
    if (op.outcome == OpOutcome::ok) {
      if (took_revision(op)) known[static_cast<size_t>(op.revision)] = true;
    } else if (op.outcome == OpOutcome::unknown) {
      if (op.kind == OpKind::put) unknown_by_value[op.request.value] = i;
      for (const auto* branch : {&op.then_branch, &op.else_branch})
        for (const lab::SimpleRequest& request : *branch)
          if (request.kind == OpKind::put) unknown_by_value[request.value] = i;
    }
  }
  for (int64_t revision = 2; revision <= newest; ++revision) {
    if (known[static_cast<size_t>(revision)]) continue;
    etcdserverpb::RangeRequest request;
    request.set_key("!");
    request.set_range_end(std::string(1, '\0'));
    request.set_revision(revision);
    request.set_min_mod_revision(revision);
    request.set_max_mod_revision(revision);
    request.set_serializable(true);
    std::string body;
    etcdserverpb::RangeResponse response;
    if (!ask(reader_, "/etcdserverpb.KV/Range", request.SerializeAsString(), &body, until)) return false;
    if (!response.ParseFromString(body)) return false;
    for (const auto& kv : response.kvs()) {
      const auto found = unknown_by_value.find(kv.value());
      if (found != unknown_by_value.end()) history_[found->second].revision = revision;
    }
    if (response.kvs().empty() && !resolve_delete(revision, until)) return false;
  }
  // Every revision has been looked at, so what found none never happened. (A server that hides a revision
  // gains nothing: that revision is then taken by nobody, which the checker calls bad.)
  for (lab::Operation& op : history_) {
    if (op.outcome != OpOutcome::unknown) continue;
    if (op.revision != 0) {
      ++unknown_done_;
    } else {
      op.outcome = OpOutcome::fail;
      op.return_ns = now_ns();
    }
  }
  problem_.clear();
  return true;
}

// A revision that left no key behind deleted one: the one that was there before. Of several unknown deletes
// of that key it is given to the one that began first, which can only fit better than a later one: what is
// unknown has no end.
bool Recorder::resolve_delete(int64_t revision, steady_clock::time_point until) {
  std::set<std::string> keys;
  for (const int64_t at : {revision, revision - 1}) {
    if (at < 2) return true;
    etcdserverpb::RangeRequest request;
    request.set_key("!");
    request.set_range_end(std::string(1, '\0'));
    request.set_revision(at);
    request.set_keys_only(true);
    request.set_serializable(true);
    std::string body;
    etcdserverpb::RangeResponse response;
    if (!ask(reader_, "/etcdserverpb.KV/Range", request.SerializeAsString(), &body, until)) return false;
    if (!response.ParseFromString(body)) return false;
    for (const auto& kv : response.kvs()) {
      if (at == revision) {
        keys.insert(kv.key());
      } else if (keys.count(kv.key()) == 0) {
        lab::Operation* first = nullptr;
        for (lab::Operation& op : history_) {
          if (op.kind != OpKind::remove || op.outcome != OpOutcome::unknown || op.revision != 0) continue;
          if (op.request.key == kv.key() && (first == nullptr || op.invoke_ns < first->invoke_ns))
            first = &op;
        }
        if (first != nullptr) first->revision = revision;
      }
    }
  }
  return true;
}

std::string Recorder::status_line() {
  const int64_t now = now_ns();
  const double seconds = static_cast<double>(now - reported_at_ns_) / 1e9;
  const double p50 = percentile_ms(latencies_, 0.50);
  const double p99 = percentile_ms(latencies_, 0.99);
  const std::string line = fmt::format(
      R"({{"t":{:.3f},"writes_ok":{},"writes_per_s":{:.0f},"ok":{},"failed":{},"unknown":{},"skipped":{},)"
      R"("open":{},"p50_ms":{:.3f},"p99_ms":{:.3f},"gap_ms":{:.1f},"stall_ms":{:.1f}}})",
      static_cast<double>(now) / 1e9, totals_.writes_ok - reported_.writes_ok,
      static_cast<double>(totals_.writes_ok - reported_.writes_ok) / seconds, totals_.ok - reported_.ok,
      totals_.failed - reported_.failed, totals_.unknown - reported_.unknown,
      totals_.skipped - reported_.skipped, open_, p50, p99, static_cast<double>(period_gap_ns_) / 1e6,
      static_cast<double>(period_stall_ns_) / 1e6);
  reported_ = totals_;
  period_gap_ns_ = period_stall_ns_ = 0;
  reported_at_ns_ = now;
  latencies_.clear();
  return line;
}

std::string Recorder::summary_line() const {
  boost::json::object errors;
  for (const auto& [text, count] : totals_.errors) errors[text] = count;
  return fmt::format(
      R"({{"summary":true,"started":{},"ok":{},"writes_ok":{},"failed":{},"unknown":{},"unknown_done":{},"skipped":{},)"
      R"("longest_write_gap_ms":{:.1f},"seed":{},"errors":{}}})",
      totals_.started, totals_.ok, totals_.writes_ok, totals_.failed, totals_.unknown, unknown_done_,
      totals_.skipped, static_cast<double>(totals_.write_gap_ns) / 1e6, settings_.workload.seed,
      boost::json::serialize(errors));
}

}  // namespace decree::recorder
