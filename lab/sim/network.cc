#include "lab/sim/network.h"

#include <algorithm>

namespace decree::lab {

Fate Network::judge(uint32_t from, uint32_t to, bool is_beat, int64_t now_us) {
  Link& link = links_[from][to];
  Fate fate;
  if (holds(from, to)) {
    fate.held = true;
    return fate;
  }
  if (link.cuts > 0 || random_.chance(profile_.loss) || (is_beat && random_.chance(link.beat_loss))) {
    ++lost_;
    return fate;
  }
  fate.copies = random_.chance(profile_.duplicate) ? 2 : 1;
  duplicated_ += fate.copies - 1;
  for (uint32_t i = 0; i < fate.copies; ++i) {
    int64_t delay = profile_.delay_us + link.extra_us;
    if (profile_.jitter_us > 0)
      delay += static_cast<int64_t>(random_.exponential(static_cast<uint64_t>(profile_.jitter_us)));
    const bool straggles = random_.chance(profile_.straggle);
    if (straggles) {
      delay += static_cast<int64_t>(random_.exponential(static_cast<uint64_t>(profile_.straggle_us)));
      ++straggled_;
    }
    // Whatever would arrive in the clogged stretch waits for its end.
    if (now_us < link.clog_until_us && now_us + delay >= link.clog_from_us)
      delay = std::max(delay, link.clog_until_us - now_us);
    if (profile_.in_order && i == 0 && !straggles) {
      const int64_t at = std::max(now_us + delay, link.last_delivery_us);
      link.last_delivery_us = at;
      delay = at - now_us;
    }
    fate.delay_us[i] = delay;
  }
  return fate;
}

void Network::cut(uint32_t from, uint32_t to, int64_t now_us, bool holds) {
  Link& link = links_[from][to];
  if (link.cuts == 0)
    link.catches_from_us = now_us + static_cast<int64_t>(random_.below(
                                        static_cast<uint64_t>(profile_.delay_us + profile_.jitter_us + 1)));
  ++link.cuts;
  link.holding += holds ? 1 : 0;
}

void Network::heal(uint32_t from, uint32_t to, bool holds) {
  Link& link = links_[from][to];
  if (link.cuts > 0) --link.cuts;
  if (holds && link.holding > 0) --link.holding;
}

void Network::heal_all() {
  for (auto& row : links_)
    for (Link& link : row) {
      link.cuts = link.holding = 0;
      link.beat_loss = 0;
      link.extra_us = 0;
      link.clog_until_us = 0;
      link.last_delivery_us = 0;  // what is still on its way from a clogged stretch holds up nothing new
    }
  profile_.loss = 0;
  profile_.duplicate = 0;
  profile_.straggle = 0;
}

}  // namespace decree::lab
