#include "server/scrub_task.h"

#include <memory>
#include <optional>

namespace decree::server {

void ScrubTask::tick(Clock::time_point now) {
  if (busy_ || now < next_ || bytes_ == 0) return;
  busy_ = true;
  next_ = now + std::chrono::seconds(1);
  auto found = std::make_shared<std::optional<std::string>>();
  pool_.run([this, found] { *found = scrubber_.step(bytes_); },
            [this, found] {
              busy_ = false;
              bytes_read_ = scrubber_.bytes_read();
              if (!*found) return;
              ++damages_;
              found_(**found);
            });
}

}  // namespace decree::server
