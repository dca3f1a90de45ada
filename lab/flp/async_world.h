// The asynchronous model as the FLP experiments see it: processes, a pool of messages under way, and nothing
// else. A step of a process without a message is its clock going off; nobody says when that is.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "decree/message.h"

namespace decree::lab {

struct PoolMessage {
  uint64_t id = 0;
  uint32_t from = 0;  // processes are 1..N
  uint32_t to = 0;
  Message message;
  uint64_t sent_step = 0;
};

class AsyncWorld {
 public:
  virtual ~AsyncWorld() = default;
  virtual uint32_t processes() const = 0;
  // Oldest first. New messages are appended.
  virtual const std::deque<PoolMessage>& pool() const = 0;
  virtual void deliver(size_t index) = 0;
  virtual void tick(uint32_t process) = 0;
  virtual std::optional<uint32_t> decision(uint32_t process) const = 0;
  // Elections begun so far: the rounds of the notes.
  virtual uint64_t rounds() const = 0;
  virtual uint64_t steps() const = 0;

  std::optional<uint32_t> any_decision() const {
    for (uint32_t p = 1; p <= processes(); ++p)
      if (const auto d = decision(p)) return d;
    return std::nullopt;
  }
};

}  // namespace decree::lab
