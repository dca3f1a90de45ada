// What happens when: virtual time in microseconds, ties broken by the order of scheduling. Events are small
// values in a heap; whatever is big (messages, batches) lies in pools and is named by a number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace decree::lab {

enum class EventKind : uint8_t {
  tick,         // member's clock
  deliver,      // a = flight number
  turn,         // member's loop runs
  commit_done,  // the log write under way is synced
  work_done,    // a = work number: a worker has finished
  link_notice,  // a = peer, b = up: a connection opened or closed
  request,      // a = client: its request reaches the member
  client_next,  // a = client: thinks of its next operation
  client_late,  // a = client, b = serial of the operation: patience is over
  fault,        // a = fault process
  heal,         // a = fault number to take back
  upset,        // a = member: became the leader a moment ago
  start,        // member's process starts
  phase,        // the next phase of the run
  chore,        // somebody compacts
};

struct Event {
  int64_t at_us = 0;
  uint64_t order = 0;
  uint64_t a = 0;
  uint32_t b = 0;
  uint32_t life = 0;  // of the member; an event for an earlier life is void
  uint8_t member = 0;
  EventKind kind = EventKind::tick;
};

class EventQueue {
 public:
  int64_t now_us() const { return now_us_; }
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  int64_t next_at_us() const { return heap_.front().at_us; }

  void schedule(int64_t delay_us, Event event) {
    event.at_us = now_us_ + std::max<int64_t>(delay_us, 0);
    event.order = next_order_++;
    heap_.push_back(event);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  // Everything that is scheduled, in its order; time stays.
  std::vector<Event> take_all() {
    std::vector<Event> all;
    all.swap(heap_);
    std::sort(all.begin(), all.end(), [](const Event& x, const Event& y) { return later(y, x); });
    return all;
  }
  void pass(int64_t us) { now_us_ += us; }
  // Moves time to the event.
  Event pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Event event = heap_.back();
    heap_.pop_back();
    now_us_ = event.at_us;
    return event;
  }

 private:
  static bool later(const Event& x, const Event& y) {
    return x.at_us != y.at_us ? x.at_us > y.at_us : x.order > y.order;
  }
  std::vector<Event> heap_;
  int64_t now_us_ = 0;
  uint64_t next_order_ = 0;
};

// Things in flight, named by small numbers that are used again.
template <class T>
class Pool {
 public:
  uint64_t put(T value) {
    if (free_.empty()) {
      items_.push_back(std::move(value));
      return items_.size() - 1;
    }
    const uint64_t at = free_.back();
    free_.pop_back();
    items_[at] = std::move(value);
    return at;
  }
  T take(uint64_t at) {
    T value = std::move(items_[at]);
    items_[at] = T{};
    free_.push_back(at);
    return value;
  }
  T& operator[](uint64_t at) { return items_[at]; }
  // Empties everything; numbers that were handed out stay taken until take().
  void forget_values() {
    for (T& item : items_) item = T{};
  }
  size_t in_use() const { return items_.size() - free_.size(); }

 private:
  std::vector<T> items_;
  std::vector<uint64_t> free_;
};

}  // namespace decree::lab
