// Answers that take longer than a slice: big ranges and hashes, worked on between turns under a budget and
// handed out as the client takes them. Memory per answer stays small however long it is.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "http/server.h"
#include "kv/hash_kv.h"
#include "kv/range.h"

namespace decree::api {

class LongAnswers {
 public:
  LongAnswers(net::EventLoop& loop, http::Server& server);
  // Takes the call over.
  void add(http::CallId call, std::unique_ptr<kv::RangeJob> job);
  void add(http::CallId call, std::unique_ptr<kv::HashJob> job);
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
  };
  void take(Answer answer);
  void prepare_front();
  bool send_some(Answer& answer, bool* done);

  net::EventLoop& loop_;
  http::Server& server_;
  std::deque<Answer> preparing_;  // the front one is worked on
  std::vector<Answer> sending_;
  size_t next_ = 0;
  bool kicked_ = false;
};

}  // namespace decree::api
