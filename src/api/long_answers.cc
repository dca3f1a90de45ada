#include "api/long_answers.h"

#include <algorithm>
#include <utility>

#include "api/etcd_errors.h"
#include "api/pending_replies.h"
#include "etcd/rpc.pb.h"

namespace decree::api {

namespace {

constexpr size_t answers_max = 1000;
constexpr size_t unsent_bytes_max = 256 * 1024;
constexpr size_t piece_bytes = 64 * 1024;
constexpr size_t snapshots_max = 4;
constexpr size_t snapshot_piece_bytes = 128 * 1024;
constexpr uint64_t message_bytes_max = 0xffffffff;  // gRPC's length field

}  // namespace

LongAnswers::LongAnswers(http::CallPort& server, std::function<void()> wake,
                         std::function<net::SteadyTime()> now)
    : server_(server), wake_(std::move(wake)), now_(std::move(now)) {}

void LongAnswers::add(http::CallId call, std::unique_ptr<kv::RangeJob> job) {
  take({call, std::move(job), nullptr, nullptr, {}, 0});
}
void LongAnswers::add(http::CallId call, std::unique_ptr<kv::HashJob> job) {
  take({call, nullptr, std::move(job), nullptr, {}, 0});
}
void LongAnswers::add(http::CallId call, std::unique_ptr<BackupSource> source, std::string header,
                      uint64_t bytes_estimate) {
  size_t snapshots = 0;
  for (const Answer& a : preparing_) snapshots += a.snapshot != nullptr;
  for (const Answer& a : sending_) snapshots += a.snapshot != nullptr;
  if (snapshots >= snapshots_max) return send_error(server_, call, kTooManyRequests);
  take({call, nullptr, nullptr, std::move(source), std::move(header), bytes_estimate});
}

void LongAnswers::take(Answer answer) {
  if (size() >= answers_max) return send_error(server_, answer.call, kTooManyRequests);
  preparing_.push_back(std::move(answer));
  kick();
}

void LongAnswers::kick() {
  if (kicked_) return;
  kicked_ = true;
  wake_();
}

void LongAnswers::prepare_front() {
  Answer& front = preparing_.front();
  if (!server_.open(front.call)) return preparing_.pop_front();
  if (front.hash) {
    if (!front.hash->step()) return;
    send_reply(server_, front.call, front.hash->reply());
    return preparing_.pop_front();
  }
  if (front.snapshot) {
    sending_.push_back(std::move(front));
    return preparing_.pop_front();
  }
  if (!front.range->prepare()) return;
  const uint64_t total = front.range->total_bytes();
  if (total > message_bytes_max) {
    server_.fail(front.call, http::GrpcCode::resource_exhausted,
                 "etcdserver: the answer is larger than a gRPC message can be (4 GiB): ask with a limit, "
                 "page by page");
    return preparing_.pop_front();
  }
  server_.begin_reply(front.call, total);
  sending_.push_back(std::move(front));
  preparing_.pop_front();
}

// True when it made progress.
bool LongAnswers::send_some(Answer& answer, bool* done) {
  *done = !server_.open(answer.call);
  if (*done || server_.unsent_bytes(answer.call) >= unsent_bytes_max) return *done;
  if (answer.snapshot) {
    send_snapshot_piece(answer, done);
    return true;
  }
  std::string piece;
  *done = !answer.range->next(piece_bytes, &piece);
  server_.append_reply(answer.call, std::move(piece));
  return true;
}

void LongAnswers::send_snapshot_piece(Answer& answer, bool* done) {
  etcdserverpb::SnapshotResponse response;
  if (!answer.header.empty()) {
    response.mutable_header()->ParseFromString(answer.header);
    answer.header.clear();
  }
  *done = !answer.snapshot->next(snapshot_piece_bytes, response.mutable_blob());
  // Never 0 before the end, always 0 at the end: that is what clients go by.
  const uint64_t sent = response.blob().size();
  answer.remaining_bytes =
      *done ? 0 : std::max<uint64_t>(1, answer.remaining_bytes - std::min(answer.remaining_bytes, sent));
  response.set_remaining_bytes(answer.remaining_bytes);
  server_.send(answer.call, response.SerializeAsString());
  if (*done) server_.finish(answer.call, http::GrpcCode::ok);
}

bool LongAnswers::slice(std::chrono::nanoseconds budget) {
  kicked_ = false;
  if (preparing_.empty() && sending_.empty()) return false;
  const auto end = now_() + budget;
  size_t without_progress = 0;  // in a row: all of them means that every client has enough for now
  do {
    if (!preparing_.empty()) prepare_front();
    if (!sending_.empty()) {
      next_ %= sending_.size();
      bool done = false;
      without_progress = send_some(sending_[next_], &done) ? 0 : without_progress + 1;
      if (done) {
        std::swap(sending_[next_], sending_.back());
        sending_.pop_back();
      } else {
        ++next_;
      }
    }
    if (preparing_.empty() && without_progress >= sending_.size()) return false;
  } while (now_() < end);
  return true;
}

}  // namespace decree::api
