#include "api/pending_replies.h"

#include <algorithm>
#include <utility>

#include "decree/sometimes.h"

namespace decree::api {

void send_reply(http::CallPort& server, http::CallId call, Reply reply) {
  if (reply.code == 0)
    server.reply(call, std::move(reply.body));
  else
    server.fail(call, static_cast<http::GrpcCode>(reply.code), reply.body);
}

void send_error(http::CallPort& server, http::CallId call, const EtcdError& error) {
  server.fail(call, error.code, error.text);
}

PendingReplies::PendingReplies(http::CallPort& server, Consensus& consensus, const Limits& limits, Now now)
    : server_(server),
      consensus_(consensus),
      limits_(limits),
      now_(std::move(now)),
      clients_(limits.clients_remembered) {}

PendingReplies::Parked PendingReplies::park(http::CallId call, Finisher* finisher, uint32_t tag,
                                            bool is_read) const {
  const net::SteadyTime ours = now_() + limits_.timeout;
  const net::SteadyTime clients = server_.deadline(call);
  Parked parked;
  parked.call = call;
  parked.tag = tag;
  parked.is_read = is_read;
  parked.finisher = finisher;
  parked.client_deadline = clients < ours;
  parked.deadline = std::min(ours, clients);
  return parked;
}

bool PendingReplies::full(http::CallId call, Finisher* finisher, uint32_t tag) {
  if (parked_.size() + retry_.size() < limits_.calls_max) return false;
  if (finisher != nullptr)
    finisher->on_failed(call, tag, kTooManyRequests);
  else
    send_error(server_, call, kTooManyRequests);
  return true;
}

void PendingReplies::propose(http::CallId call, std::string command, Finisher* finisher, uint32_t tag) {
  if (full(call, finisher, tag)) return;
  Parked parked = park(call, finisher, tag, false);
  parked.command = std::make_shared<const std::string>(std::move(command));
  ++counters_.proposals_waiting;
  if (held_)
    retry_.push_back(std::move(parked));
  else
    submit(std::move(parked));
}

void PendingReplies::submit(Parked parked) {
  const uint64_t seq = consensus_.propose(parked.command);
  clients_.note(seq, server_.remote(parked.call));
  parked_.emplace(seq, std::move(parked));
}

void PendingReplies::change(http::CallId call, Membership next, bool forced, Finisher* finisher,
                            uint32_t tag) {
  if (full(call, finisher, tag)) return;
  const Parked parked = park(call, finisher, tag, false);
  parked_.emplace(consensus_.change_members(std::move(next), forced), parked);
  ++counters_.proposals_waiting;
}

void PendingReplies::read(http::CallId call, Finisher* finisher, uint32_t tag) {
  if (left_) return finisher->on_failed(call, tag, kStopped);
  if (full(call, finisher, tag)) return;
  const Parked parked = park(call, finisher, tag, true);
  parked_.emplace(consensus_.read(), parked);
  ++counters_.reads_waiting;
}

std::optional<PendingReplies::Parked> PendingReplies::take(uint64_t seq) {
  const auto it = parked_.find(seq);
  if (it == parked_.end()) return {};
  std::optional<Parked> parked = std::move(it->second);
  parked_.erase(it);
  return parked;
}

void PendingReplies::fail(const Parked& parked, const EtcdError& error) {
  --(parked.is_read ? counters_.reads_waiting : counters_.proposals_waiting);
  ++(parked.is_read ? counters_.reads_failed : counters_.proposals_failed);
  if (parked.finisher != nullptr)
    parked.finisher->on_failed(parked.call, parked.tag, error);
  else
    send_error(server_, parked.call, error);
}

void PendingReplies::on_applied(uint64_t seq, Reply reply) {
  const std::optional<Parked> parked = take(seq);
  if (!parked) return;  // timed out before
  --counters_.proposals_waiting;
  if (parked->finisher != nullptr)
    parked->finisher->on_applied(parked->call, parked->tag, std::move(reply));
  else
    send_reply(server_, parked->call, std::move(reply));
}

// Definitely not: say why. Only texts that make a client wait or go elsewhere, never one that hides the
// refusal.
EtcdError PendingReplies::refusal() const {
  const ConsensusStatus status = consensus_.status();
  if (status.disk_full) return kDiskFull;
  if (status.leader_member_id == 0) return kNoLeader;
  if (held_) return kNotCaughtUp;
  if (counters_.proposals_waiting * 2 > limits_.calls_max) return kTooManyRequests;
  return kLeaderChanged;
}

void PendingReplies::on_outcome(uint64_t seq, Outcome outcome) {
  if (outcome == Outcome::chosen) return;  // on_applied() tells
  const std::optional<Parked> parked = take(seq);
  if (!parked) return;
  fail(*parked, outcome == Outcome::unknown ? kTimeoutLeaderFail : refusal());
}

void PendingReplies::on_leader_gone(uint64_t seq) {
  std::optional<Parked> parked = take(seq);
  if (!parked) return;
  if (parked->command == nullptr) return fail(*parked, refusal());  // a change of members
  DECREE_SOMETIMES("a proposal is submitted again to the next leader", true);
  ++counters_.proposals_again;
  retry_.push_back(std::move(*parked));
}

void PendingReplies::on_change_refused(uint64_t seq, const ChangeRefused& why) {
  const std::optional<Parked> parked = take(seq);
  if (!parked) return;
  --counters_.proposals_waiting;
  parked->finisher->on_change_refused(parked->call, parked->tag, why);
}

void PendingReplies::on_read(uint64_t seq, bool ok) {
  std::optional<Parked> parked = take(seq);
  if (!parked) return;
  if (!ok) {
    ++counters_.slow_reads;
    retry_.push_back(std::move(*parked));
    return;
  }
  --counters_.reads_waiting;
  parked->finisher->on_read(parked->call, parked->tag);
}

void PendingReplies::release(net::SteadyTime now) {
  held_ = false;
  try_again(now);
}

void PendingReplies::try_again(net::SteadyTime now) {
  std::vector<Parked> again;
  again.swap(retry_);
  for (Parked& parked : again) {
    if (parked.call.generation != 0 && !server_.open(parked.call)) {
      fail(parked, kTimeout);  // nobody waits any more
    } else if (parked.is_read) {
      parked_.emplace(consensus_.read(), std::move(parked));
    } else if (parked.deadline <= now) {
      fail(parked, refusal());  // not one more try may end as unknown
    } else if (held_) {
      retry_.push_back(std::move(parked));
    } else {
      submit(std::move(parked));
    }
  }
}

void PendingReplies::expire(net::SteadyTime now) {
  try_again(now);
  for (const auto& [seq, parked] : parked_)
    if (parked.deadline <= now) expired_.push_back(seq);
  std::sort(expired_.begin(), expired_.end());  // the oldest first, whatever the table's order
  // Failing one may park another: the table must not be walked meanwhile.
  for (const uint64_t seq : expired_) {
    if (const std::optional<Parked> parked = take(seq))
      fail(*parked, parked->client_deadline ? kDeadline : kTimeout);
  }
  expired_.clear();
}

void PendingReplies::fail_all(const EtcdError& error) {
  std::vector<Parked> all;
  all.swap(retry_);
  for (const auto& [seq, parked] : parked_) all.push_back(parked);
  parked_.clear();
  for (const Parked& parked : all) fail(parked, error);
}

void PendingReplies::leave() {
  left_ = true;
  std::vector<uint64_t> reads;
  for (const auto& [seq, parked] : parked_)
    if (parked.is_read) reads.push_back(seq);
  std::sort(reads.begin(), reads.end());
  std::vector<Parked> all;
  all.swap(retry_);
  for (const uint64_t seq : reads) all.push_back(*take(seq));
  for (const Parked& parked : all) fail(parked, parked.is_read ? kStopped : refusal());
}

PendingCounters PendingReplies::counters() const { return counters_; }

}  // namespace decree::api
