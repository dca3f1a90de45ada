#include "api/auto_compactor.h"

#include <algorithm>

namespace decree::api {

namespace {

constexpr std::chrono::minutes revision_interval{5};  // etcd's

}  // namespace

AutoCompactor::AutoCompactor(AutoCompaction mode, std::chrono::seconds period, int64_t revisions)
    : mode_(mode), period_(period), revisions_(revisions) {}

int64_t AutoCompactor::due(net::SteadyTime now, int64_t revision, int64_t compacted, bool leading) {
  if (mode_ == AutoCompaction::off || now < next_look_) return 0;
  const int64_t target = mode_ == AutoCompaction::periodic ? due_periodic(now, revision, leading)
                                                           : due_by_revision(now, revision, leading);
  return target > std::max<int64_t>(compacted, 0) ? target : 0;
}

// etcd: samples ten times per period (per hour for longer ones); compacts once per period (hour) to what was
// current a period ago.
int64_t AutoCompactor::due_periodic(net::SteadyTime now, int64_t revision, bool leading) {
  const auto interval = std::min<std::chrono::nanoseconds>(period_, std::chrono::hours(1));
  next_look_ = now + interval / 10;
  if (samples_.empty()) last_compaction_ = now;
  samples_.push_back({now, revision});
  while (samples_.size() > 1 && samples_[1].at <= now - period_) samples_.pop_front();
  if (!leading || samples_.front().at > now - period_ || now - last_compaction_ < interval) return 0;
  last_compaction_ = now;
  return samples_.front().revision;
}

int64_t AutoCompactor::due_by_revision(net::SteadyTime now, int64_t revision, bool leading) {
  if (next_look_ == net::SteadyTime{}) {
    next_look_ = now + revision_interval;
    return 0;
  }
  next_look_ = now + revision_interval;
  return leading ? revision - revisions_ : 0;
}

}  // namespace decree::api
