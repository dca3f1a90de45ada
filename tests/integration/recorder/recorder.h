// Open-loop load on all members of a cluster, from outside, with everything written down.
//
// Operations start at fixed times whatever the cluster does; a stalled cluster therefore shows as
// latency and not as a pause of the generator. A client of the history has one operation in flight; one
// whose outcome stayed unknown is retired. Nothing is ever sent twice.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/channel.h"
#include "client/histogram.h"
#include "tests/integration/recorder/workload.h"

namespace decree::recorder {

struct Settings {
  std::vector<net::HostPort> endpoints;  // member 1, 2, ...
  uint32_t connections = 2;              // to each member
  double rate = 6250;                    // operations a second, all members together
  int64_t deadline_ms = 3000;
  uint32_t inflight_max = 20000;
  bool members_change = false;
  bool keep_history = true;
  WorkloadOptions workload;
};

struct Totals {
  uint64_t started = 0;
  uint64_t ok = 0;
  uint64_t failed = 0;
  uint64_t unknown = 0;
  uint64_t skipped = 0;      // due, but no member was connected or too many were in flight
  uint64_t writes_ok = 0;    // acknowledged puts, deletes and transactions
  int64_t write_gap_ns = 0;  // longest time without an acknowledged write, between two of them
  // What clients were told instead of an answer, and how often: "Unavailable: etcdserver: no leader". Not
  // in it: what was asked wrongly on purpose.
  std::map<std::string, uint64_t> errors;
};

class Recorder final : public client::ChannelUser {
 public:
  explicit Recorder(const Settings& settings);
  ~Recorder() override;

  // Runs the load for so long, or until `stopped` says so (asked about every 10 ms).
  template <class Stopped>
  void run(std::chrono::nanoseconds longest, Stopped stopped);
  // No new operations; waits for the open ones, each at most its deadline.
  void drain();
  // Reads everything at every member (linearizable) until each has answered, at most `longest` long; the
  // reads become part of the history. False: a member did not answer, see problem().
  bool read_all(std::chrono::seconds longest);
  // Asks for the revisions that nobody acknowledged, so that operations of unknown outcome find their place.
  bool resolve_unknown(std::chrono::seconds longest);

  const std::vector<lab::Operation>& history() const { return history_; }
  const Totals& totals() const { return totals_; }
  const std::string& problem() const { return problem_; }
  // One JSON line about the time since the last call.
  std::string status_line();
  std::string summary_line() const;

 private:
  struct Call {
    lab::Operation op;
    std::string framed;
    size_t channel = 0;
    uint32_t generation = 0;
    bool open = false;
  };

  int64_t now_ns() const;
  void turn(std::chrono::nanoseconds wait);
  void start_due();
  bool start_one();
  void expire();
  client::Channel* channel_for(uint64_t turn);
  void finish(Call& call, lab::OpOutcome outcome);
  void count_error(const Call& call, std::string text);
  bool ask(size_t member, const char* path, const std::string& message, std::string* body,
           std::chrono::steady_clock::time_point until);

  bool resolve_delete(int64_t revision, std::chrono::steady_clock::time_point until);

  void on_channel_up(client::Channel& channel) override;
  void on_channel_down(client::Channel& channel, const std::string& reason) override;
  void on_reply(client::Channel& channel, uint64_t token, const client::Reply& reply) override;

  Settings settings_;
  net::EventLoop loop_;
  Workload workload_;
  std::vector<std::unique_ptr<client::Channel>> channels_;
  std::deque<Call> calls_;  // stable addresses: the connection reads `framed` where it lies
  std::vector<uint32_t> idle_;
  std::deque<std::pair<int64_t, uint64_t>> deadlines_;  // ns, token
  std::vector<lab::Operation> history_;
  Totals totals_;
  size_t reader_ = 0;  // a member that answered the final reads
  std::string problem_;

  std::chrono::steady_clock::time_point begin_;
  int64_t rate_from_ns_ = 0;
  uint64_t due_started_ = 0;  // since rate_from_ns_
  uint64_t turns_ = 0;
  uint64_t open_ = 0;
  uint32_t clients_ = 0;
  int64_t last_write_ok_ns_ = 0;
  uint64_t unknown_done_ = 0;  // of the unknown ones, found to have happened
  bool stopping_ = false;

  Totals reported_;
  int64_t reported_at_ns_ = 0;
  std::vector<int64_t> latencies_;  // of writes since the last status line
  int64_t period_gap_ns_ = 0;       // longest that ended since the last status line
  int64_t period_stall_ns_ = 0;     // longest time this program itself was away, since then

  bool answered_ = false;  // ask()
  bool answer_ok_ = false;
  std::string answer_;
};

template <class Stopped>
void Recorder::run(std::chrono::nanoseconds longest, Stopped stopped) {
  rate_from_ns_ = now_ns();
  due_started_ = 0;
  const int64_t end = rate_from_ns_ + longest.count();
  int64_t asked = 0;
  int64_t before = rate_from_ns_;
  for (int64_t now = rate_from_ns_; now < end; now = now_ns()) {
    period_stall_ns_ = std::max(period_stall_ns_, now - before);
    before = now;
    turn(std::chrono::milliseconds(1));
    start_due();
    loop_.flush();
    if (now - asked > 10'000'000) {
      asked = now;
      if (stopped()) return;
    }
  }
}

}  // namespace decree::recorder
