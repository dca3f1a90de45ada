// Answers that take longer than a slice: big ranges and hashes, worked on between turns under a budget and
// handed out as the client takes them. Memory per answer stays small however long it is.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "api/backup_stream.h"
#include "http/call_port.h"
#include "kv/hash_kv.h"
#include "kv/range.h"

namespace decree::api {

class LongAnswers {
 public:
  // `wake` asks for a slice soon.
  LongAnswers(http::CallPort& server, std::function<void()> wake, std::function<net::SteadyTime()> now);
  // Takes the call over.
  void add(http::CallId call, std::unique_ptr<kv::RangeJob> job);
  void add(http::CallId call, std::unique_ptr<kv::HashJob> job);
  // Maintenance.Snapshot: a stream of SnapshotResponse, the first with `header` (serialized). A snapshot
  // keeps old versions alive until it has gone out, so only a few at a time.
  void add(http::CallId call, std::unique_ptr<BackupSource> source, std::string header,
           uint64_t bytes_estimate);
  // A call's output has room again.
  void kick();
  // True: more can be done at once.
  bool slice(std::chrono::nanoseconds budget);
  size_t size() const { return preparing_.size() + sending_.size(); }

 private:
  struct Answer {
    http::CallId call;
    std::unique_ptr<kv::RangeJob> range;
    std::unique_ptr<kv::HashJob> hash;
    std::unique_ptr<BackupSource> snapshot;
    std::string header;            // snapshot: not sent yet
    uint64_t remaining_bytes = 0;  // snapshot: a guess, for progress bars
  };
  void send_snapshot_piece(Answer& answer, bool* done);
  void take(Answer answer);
  void prepare_front();
  bool send_some(Answer& answer, bool* done);

  http::CallPort& server_;
  const std::function<void()> wake_;
  const std::function<net::SteadyTime()> now_;
  std::deque<Answer> preparing_;  // the front one is worked on
  std::vector<Answer> sending_;
  size_t next_ = 0;
  bool kicked_ = false;
};

}  // namespace decree::api
