// The request layer of one member in the simulation: api::KvService with its waiting calls, deadlines and
// answers, exactly the server's objects, on a port without sockets. Requests and answers are etcd's protobuf
// bytes, whole; HTTP/2 and gRPC framing lie below the cut (docs/simulator.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "decree/consensus.h"
#include "lab/check/history.h"

namespace decree::kv {
class Store;
}

namespace decree::lab {

class Front {
 public:
  struct Answer {
    uint32_t client = 0;
    uint64_t serial = 0;
    bool ok = false;
    bool may_have_happened = false;  // not ok, and the client cannot know
    std::string text;                // the answer's bytes, or the error's text
  };
  struct Outside {
    std::function<int64_t()> now_us;
    std::function<void()> wake;
    std::function<void(const Answer&)> answer;
  };
  Front(Consensus& consensus, kv::Store& store, Outside outside);
  ~Front();

  // `method` is the name in etcd's KV service.
  void call(uint32_t client, uint64_t serial, std::string_view method, const std::string& request);
  // A client of no history: nobody waits for the answer.
  void call_unheard(std::string_view method, const std::string& request);

  void tick();   // about every 10 ms
  void slice();  // after every turn
  ConsensusSink& sink();
  size_t calls_open() const;
  // The process dies: everybody still waiting, in order.
  std::vector<Answer> hang_up();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::lab
