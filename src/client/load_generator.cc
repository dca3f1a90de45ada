#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "client/channel.h"
#include "client/load.h"
#include "client/load_requests.h"
#include "decree/check.h"
#include "net/event_loop.h"

namespace decree::client {

namespace {

using net::SteadyTime;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr milliseconds after_error{5};  // a closed-loop client that was refused does not spin
constexpr milliseconds timeout_scan{200};
constexpr milliseconds progress_every{500};
constexpr milliseconds reconnect_min{20};
constexpr milliseconds reconnect_max{500};
constexpr milliseconds drain_max{3000};
constexpr milliseconds reconnect_at_start{10};
constexpr size_t error_texts_max = 8;
constexpr size_t gaps_max = 256;
constexpr size_t prefill_clients = 256;  // filling a store with one client would take all day

double seconds_between(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double>(to - from).count();
}
double ms_between(SteadyTime from, SteadyTime to) { return seconds_between(from, to) * 1e3; }

enum class PhaseKind : uint8_t { prefill, warmup, measure };

struct Phase {
  PhaseKind kind = PhaseKind::measure;
  milliseconds longest{0};  // 0: no limit
  uint64_t successes = 0;   // 0: no limit
};

// One request's place.
struct Slot {
  std::string framed;
  SteadyTime intended;  // latency counts from here
  SteadyTime sent;
  uint64_t key = 0;
  size_t channel = 0;
  LoadOp op = LoadOp::put;
  bool busy = false;
};

class Generator final : public ChannelUser {
 public:
  Generator(const LoadOptions& options, const std::function<void(const LoadProgress&)>& progress)
      : options_(options),
        progress_(progress),
        requests_(options.key_prefix, options.key_bytes, options.value_bytes, options.serializable,
                  options.seed),
        usage_(options.pids),
        random_(options.seed),
        mod_revisions_(options.op == LoadOp::txn ? options.keys : 0, 0) {}
  ~Generator() override = default;

  Result<LoadReport> run();

 private:
  bool open_loop() const { return options_.rate_per_second > 0 && phase_.kind != PhaseKind::prefill; }
  uint64_t next_random();

  void make_channels();
  Result<void> wait_for_connections();
  void on_channel_up(Channel& channel) override;
  void on_channel_down(Channel& channel, const std::string& reason) override;
  void on_reply(Channel& channel, uint64_t token, const Reply& reply) override;

  void use_slots(size_t count);
  void run_phase(const Phase& phase);
  bool phase_is_over(SteadyTime now) const;
  void turn(SteadyTime until);
  void drain();
  void pump(SteadyTime now);
  bool may_issue() const;
  bool issue(size_t slot_index, SteadyTime intended, SteadyTime now);
  Channel* pick_channel(size_t slot_index);
  void choose_request(Slot& slot);
  void succeeded(Slot& slot, SteadyTime now, std::string_view body);
  void failed(const Slot& slot, CallEnd end, Code code, std::string_view text);
  void note_success(SteadyTime now);
  void note_gap(SteadyTime from, SteadyTime to);
  void expire(SteadyTime now);
  void tell_progress(SteadyTime now);
  SteadyTime intended_at(uint64_t index) const;

  const LoadOptions& options_;
  const std::function<void(const LoadProgress&)>& progress_;
  LoadRequests requests_;
  UsageWindow usage_;
  uint64_t random_;
  std::vector<int64_t> mod_revisions_;  // of each key, as last heard

  net::EventLoop loop_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<milliseconds> backoff_;
  std::vector<bool> tried_;
  std::string last_connect_error_;
  bool starting_ = true;
  std::vector<Slot> slots_;
  std::vector<size_t> free_;
  std::deque<std::pair<SteadyTime, size_t>> resting_;  // free again at that moment
  std::vector<uint64_t> redo_;                         // prefill keys that failed
  size_t busy_ = 0;
  size_t next_channel_ = 0;

  Phase phase_;
  bool draining_ = false;
  SteadyTime phase_start_;
  SteadyTime phase_end_;
  uint64_t issued_ = 0;    // in this phase
  uint64_t ok_ = 0;        // in this phase
  uint64_t failed_ = 0;    // in this phase
  uint64_t sequence_ = 0;  // next sequential key
  SteadyTime last_success_;
  SteadyTime next_scan_;
  SteadyTime last_progress_;
  uint64_t ok_at_progress_ = 0;
  LoadReport report_;
};

uint64_t Generator::next_random() {
  uint64_t z = (random_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// ---- Connections ------------------------------------------------------------------------------

void Generator::make_channels() {
  const size_t count = std::max(options_.connections, size_t{1});
  for (size_t i = 0; i < count; ++i) {
    channels_.push_back(
        std::make_unique<Channel>(loop_, options_.endpoints[i % options_.endpoints.size()], i, *this));
  }
  backoff_.assign(count, reconnect_min);
  tried_.assign(count, false);
  for (const auto& channel : channels_) channel->connect(options_.connect_timeout);
}

Result<void> Generator::wait_for_connections() {
  const SteadyTime deadline = steady_clock::now() + options_.connect_timeout;
  const auto any_up = [&] {
    return std::any_of(channels_.begin(), channels_.end(), [](const auto& c) { return c->up(); });
  };
  const auto all_tried = [&] { return std::find(tried_.begin(), tried_.end(), false) == tried_.end(); };
  while (steady_clock::now() < deadline && !(any_up() && all_tried())) {
    loop_.flush();
    loop_.wait(milliseconds(10));
  }
  starting_ = false;
  if (any_up()) return {};
  return Error{ErrorCode::unavailable,
               "no endpoint could be reached" +
                   (last_connect_error_.empty() ? std::string(" in time") : ": " + last_connect_error_)};
}

void Generator::on_channel_up(Channel& channel) {
  tried_[channel.index()] = true;
  backoff_[channel.index()] = reconnect_min;
}

void Generator::on_channel_down(Channel& channel, const std::string& reason) {
  const size_t index = channel.index();
  tried_[index] = true;
  last_connect_error_ = reason;
  if (starting_) backoff_[index] = reconnect_at_start;
  loop_.at(steady_clock::now() + backoff_[index],
           [this, index] { channels_[index]->connect(milliseconds(1000)); });
  backoff_[index] = std::min(backoff_[index] * 2, reconnect_max);
}

// A slot keeps its connection, so that one connection's clients are the same all the time.
Channel* Generator::pick_channel(size_t slot_index) {
  Channel& home = *channels_[slot_index % channels_.size()];
  if (home.up()) return &home;
  for (size_t i = 0; i < channels_.size(); ++i) {
    Channel& other = *channels_[next_channel_++ % channels_.size()];
    if (other.up()) return &other;
  }
  return nullptr;
}

// ---- Requests ---------------------------------------------------------------------------------

void Generator::choose_request(Slot& slot) {
  if (phase_.kind == PhaseKind::prefill) {
    slot.op = LoadOp::put;
    if (!redo_.empty()) {
      slot.key = redo_.back();
      redo_.pop_back();
    } else {
      slot.key = sequence_++;
    }
    requests_.put(slot.framed, slot.key);
    return;
  }
  slot.op = options_.op;
  if (options_.mixed) {
    const double draw = static_cast<double>(next_random() >> 11) * 0x1p-53;
    slot.op = draw < options_.read_share ? LoadOp::range : LoadOp::put;
  }
  slot.key = (options_.random_keys ? next_random() : sequence_++) % options_.keys;
  switch (slot.op) {
    case LoadOp::put:
      requests_.put(slot.framed, slot.key);
      break;
    case LoadOp::range:
      requests_.range(slot.framed, slot.key);
      break;
    case LoadOp::txn:
      requests_.compare_and_swap(slot.framed, slot.key, mod_revisions_[slot.key]);
      break;
  }
}

bool Generator::may_issue() const {
  if (draining_) return false;
  return phase_.successes == 0 || ok_ + busy_ < phase_.successes;
}

bool Generator::issue(size_t slot_index, SteadyTime intended, SteadyTime now) {
  Channel* channel = pick_channel(slot_index);
  if (channel == nullptr) return false;
  Slot& slot = slots_[slot_index];
  choose_request(slot);
  slot.intended = intended;
  slot.sent = now;
  slot.channel = channel->index();
  slot.busy = true;
  ++busy_;
  ++issued_;
  if (!channel->start_call(slot_index, load_path(slot.op), slot.framed)) {
    // Out of stream ids or just closing: this connection is used up.
    channel->close("used up");
    slot.busy = false;
    --busy_;
    failed(slot, CallEnd::not_taken, Code::unavailable, "the connection takes no more calls");
    resting_.emplace_back(now + after_error, slot_index);
  }
  return true;
}

SteadyTime Generator::intended_at(uint64_t index) const {
  return phase_start_ +
         nanoseconds(std::llround(static_cast<double>(index) * 1e9 / options_.rate_per_second));
}

void Generator::pump(SteadyTime now) {
  while (!resting_.empty() && resting_.front().first <= now) {
    free_.push_back(resting_.front().second);
    resting_.pop_front();
  }
  while (!free_.empty() && may_issue()) {
    const SteadyTime intended = open_loop() ? intended_at(issued_) : now;
    if (intended > now || (open_loop() && phase_.longest.count() > 0 && intended >= phase_end_)) return;
    const size_t slot = free_.back();
    free_.pop_back();
    if (!issue(slot, intended, now)) {
      free_.push_back(slot);
      return;
    }
  }
}

void Generator::on_reply(Channel&, uint64_t token, const Reply& reply) {
  Slot& slot = slots_[token];
  if (!slot.busy) return;
  const SteadyTime now = steady_clock::now();
  slot.busy = false;
  --busy_;
  if (reply.end == CallEnd::answered && reply.code == Code::ok) {
    succeeded(slot, now, reply.body);
    // Straight into the next request: it leaves with this turn's write.
    if (!open_loop() && may_issue() && issue(token, now, now)) return;
    free_.push_back(token);
  } else {
    failed(slot, reply.end, reply.code, reply.message);
    resting_.emplace_back(now + after_error, token);
  }
}

void Generator::succeeded(Slot& slot, SteadyTime now, std::string_view body) {
  const LoadAnswer answer = read_answer(slot.op, body);
  ++ok_;
  if (!mod_revisions_.empty()) {
    if (slot.op == LoadOp::put || answer.succeeded) {
      mod_revisions_[slot.key] = std::max(mod_revisions_[slot.key], answer.header_revision);
    } else if (slot.op == LoadOp::txn && answer.mod_revision >= 0) {
      mod_revisions_[slot.key] = answer.mod_revision;
    }
  }
  if (phase_.kind != PhaseKind::measure) return;
  const auto latency =
      static_cast<uint64_t>(std::max<int64_t>(duration_cast<nanoseconds>(now - slot.intended).count(), 0));
  // Stragglers of an open loop keep their latency, but do not count as throughput.
  report_.latency_ns.record(latency);
  report_.latency_ns_by_op[static_cast<size_t>(slot.op)].record(latency);
  if (draining_) return;
  ++report_.counts.ok;
  ++report_.ok_by_op[static_cast<size_t>(slot.op)];
  if (slot.op == LoadOp::txn && !answer.succeeded) ++report_.counts.compare_failed;
  if (slot.op == LoadOp::range && !answer.has_pairs) ++report_.counts.empty;
  note_success(now);
}

void Generator::note_success(SteadyTime now) {
  if (report_.first_success_ms < 0) report_.first_success_ms = ms_between(phase_start_, now);
  note_gap(last_success_, now);
  last_success_ = now;
}

void Generator::note_gap(SteadyTime from, SteadyTime to) {
  const LoadReport::Gap gap{ms_between(phase_start_, from), ms_between(from, to)};
  std::vector<LoadReport::Gap>& gaps = report_.gaps;
  if (gaps.size() == gaps_max && gap.length_ms <= gaps.back().length_ms) return;
  if (gaps.size() == gaps_max) gaps.pop_back();
  const auto shorter = [&](const LoadReport::Gap& other) { return other.length_ms < gap.length_ms; };
  gaps.insert(std::find_if(gaps.begin(), gaps.end(), shorter), gap);
  report_.longest_gap_ms = gaps.front().length_ms;
  report_.longest_gap_at_ms = gaps.front().at_ms;
}

void Generator::failed(const Slot& slot, CallEnd end, Code code, std::string_view text) {
  ++failed_;
  if (phase_.kind == PhaseKind::prefill) redo_.push_back(slot.key);
  if (slot.op != LoadOp::range && !mod_revisions_.empty() && slot.key < mod_revisions_.size()) {
    mod_revisions_[slot.key] = 0;  // unknown now; the next attempt learns it
  }
  if (phase_.kind != PhaseKind::measure) {
    last_connect_error_ = std::string(text);
    return;
  }
  ++report_.counts.failed;
  ++report_.errors_by_code[code_name(code)];
  if (slot.op != LoadOp::range && fate_of(end, code, text) == Fate::unknown) ++report_.unknown_outcomes;
  const std::string key(text);
  if (report_.error_texts.size() < error_texts_max || report_.error_texts.count(key) != 0)
    ++report_.error_texts[key];
}

void Generator::expire(SteadyTime now) {
  if (now < next_scan_) return;
  next_scan_ = now + timeout_scan;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.busy || now - slot.sent < options_.request_timeout) continue;
    channels_[slot.channel]->cancel_call(i);
    slot.busy = false;
    --busy_;
    failed(slot, CallEnd::lost, Code::deadline_exceeded, "no answer in time");
    resting_.emplace_back(now + after_error, i);
  }
}

// ---- Phases -----------------------------------------------------------------------------------

bool Generator::phase_is_over(SteadyTime now) const {
  if (phase_.successes != 0 && ok_ >= phase_.successes) return true;
  return phase_.longest.count() > 0 && now >= phase_end_;
}

void Generator::turn(SteadyTime until) {
  SteadyTime now = steady_clock::now();
  pump(now);
  loop_.flush();
  SteadyTime wake = std::min(until, next_scan_);
  if (!resting_.empty()) wake = std::min(wake, resting_.front().first);
  if (open_loop() && !draining_ && !free_.empty()) wake = std::min(wake, intended_at(issued_));
  now = steady_clock::now();
  loop_.wait(std::clamp<nanoseconds>(wake - now, nanoseconds(0), milliseconds(100)));
  now = steady_clock::now();
  expire(now);
  tell_progress(now);
}

void Generator::tell_progress(SteadyTime now) {
  if (!progress_ || now - last_progress_ < progress_every) return;
  LoadProgress p;
  p.phase = phase_.kind == PhaseKind::prefill  ? "prefill"
            : phase_.kind == PhaseKind::warmup ? "warm-up"
                                               : "measure";
  p.elapsed_seconds = seconds_between(phase_start_, now);
  p.phase_seconds = static_cast<double>(phase_.longest.count()) / 1e3;
  p.ok = ok_;
  p.failed = failed_;
  p.per_second = static_cast<double>(ok_ - ok_at_progress_) / seconds_between(last_progress_, now);
  last_progress_ = now;
  ok_at_progress_ = ok_;
  progress_(p);
}

void Generator::use_slots(size_t count) {
  DECREE_CHECK(busy_ == 0, "slots change while requests are under way");
  resting_.clear();
  free_.clear();
  slots_.resize(count);
  for (size_t i = count; i > 0; --i) free_.push_back(i - 1);
}

void Generator::run_phase(const Phase& phase) {
  phase_ = phase;
  draining_ = false;
  issued_ = ok_ = failed_ = ok_at_progress_ = 0;
  phase_start_ = steady_clock::now();
  phase_end_ = phase_start_ + phase.longest;
  last_success_ = last_progress_ = phase_start_;
  const SteadyTime far = phase_start_ + std::chrono::hours(24 * 365);
  while (!phase_is_over(steady_clock::now())) turn(phase.longest.count() > 0 ? phase_end_ : far);
}

// Lets what is under way come in, so that nothing slow is left out of the histogram.
void Generator::drain() {
  draining_ = true;
  const SteadyTime end = steady_clock::now() + std::min(drain_max, options_.request_timeout);
  while (busy_ > 0 && steady_clock::now() < end) turn(end);
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.busy) continue;
    channels_[slot.channel]->cancel_call(i);
    slot.busy = false;
    --busy_;
    failed(slot, CallEnd::lost, Code::deadline_exceeded, "no answer before the end");
    free_.push_back(i);
  }
}

Result<LoadReport> Generator::run() {
  make_channels();
  if (Result<void> r = wait_for_connections(); !r) return r.error();
  next_scan_ = steady_clock::now() + timeout_scan;

  if (options_.prefill > 0) {
    use_slots(std::max(options_.clients, prefill_clients));
    const SteadyTime start = steady_clock::now();
    run_phase({PhaseKind::prefill, milliseconds(0), options_.prefill});
    report_.prefill_seconds = seconds_between(start, steady_clock::now());
    report_.prefilled = ok_;
    drain();
    sequence_ = 0;
  }
  use_slots(options_.clients);
  if (options_.warmup.count() > 0) {
    run_phase({PhaseKind::warmup, options_.warmup, 0});
    if (ok_ == 0 && failed_ > 0) {
      return Error{ErrorCode::unavailable, "every request of the warm-up failed: " + last_connect_error_};
    }
  }
  usage_.begin();
  report_.started_unix_s =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const double own_before = own_cpu_seconds();
  run_phase({PhaseKind::measure, options_.duration, options_.total});
  const SteadyTime end = steady_clock::now();
  report_.servers = usage_.end();
  report_.generator_cpu_seconds = own_cpu_seconds() - own_before;
  report_.seconds = seconds_between(phase_start_, end);
  if (options_.total == 0) note_gap(last_success_, end);
  if (open_loop()) {
    const double due = static_cast<double>(options_.duration.count()) / 1e3 * options_.rate_per_second;
    const auto planned = static_cast<uint64_t>(due);
    if (options_.total == 0 && planned > issued_) report_.never_sent = planned - issued_;
    drain();
  }
  return std::move(report_);
}

}  // namespace

std::optional<double> LoadReport::server_cpu_seconds() const {
  if (servers.empty()) return std::nullopt;
  double sum = 0;
  for (const ServerUsage& server : servers) {
    if (!server.cpu_seconds) return std::nullopt;
    sum += *server.cpu_seconds;
  }
  return sum;
}

Result<LoadReport> run_load(const LoadOptions& options,
                            const std::function<void(const LoadProgress&)>& progress) {
  DECREE_CHECK(!options.endpoints.empty() && options.clients > 0 && options.keys > 0,
               "the load has no endpoint, client or key");
  DECREE_CHECK(
      LoadRequests::fits(options.key_prefix, options.key_bytes, std::max(options.keys, options.prefill)),
      "keys do not fit their size");
  Generator generator(options, progress);
  return generator.run();
}

}  // namespace decree::client
