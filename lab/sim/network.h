// The fate of messages. Every directed link has its own state; members are numbered 1..n.
#pragma once

#include <array>
#include <cstdint>

#include "lab/sim/random.h"

namespace decree::lab {

constexpr uint32_t kMembersMax = 7;

struct NetworkProfile {
  int64_t delay_us = 200;   // least
  int64_t jitter_us = 100;  // mean of an exponential on top
  double loss = 0;
  double duplicate = 0;
  double straggle = 0;      // chance of a long extra delay, which reorders
  int64_t straggle_us = 0;  // mean of it
  bool in_order = true;     // per link, as TCP has it; stragglers are out of order all the same
};

struct Fate {
  uint32_t copies = 0;
  int64_t delay_us[2] = {};
  bool held = false;  // not lost: it arrives when the cut is healed
};

class Network {
 public:
  Network(const NetworkProfile& profile, Random random) : profile_(profile), random_(random) {}

  Fate judge(uint32_t from, uint32_t to, bool is_beat, int64_t now_us);

  // Cuts nest: a link is open when every cut of it was healed. One that `holds` loses nothing: the connection
  // outlives it, and what was sent meanwhile arrives afterwards, as TCP has it.
  void cut(uint32_t from, uint32_t to, int64_t now_us, bool holds = false);
  void heal(uint32_t from, uint32_t to, bool holds = false);
  bool is_open(uint32_t from, uint32_t to) const { return links_[from][to].cuts == 0; }
  // All its cuts hold.
  bool holds(uint32_t from, uint32_t to) const {
    return !is_open(from, to) && links_[from][to].cuts == links_[from][to].holding;
  }
  // What was under way when the link was cut, and would arrive now, is caught by the cut as well: all that
  // had not come nearer than some point of the way.
  bool catches(uint32_t from, uint32_t to, int64_t now_us) const {
    return !is_open(from, to) && now_us >= links_[from][to].catches_from_us;
  }
  void lose_caught() { ++lost_; }
  void lose_beats(uint32_t from, uint32_t to, double chance) { links_[from][to].beat_loss = chance; }
  void slow_down(uint32_t from, uint32_t to, int64_t extra_us) { links_[from][to].extra_us = extra_us; }
  // In this stretch of time nothing arrives over the link; it comes when the stretch ends.
  void clog(uint32_t from, uint32_t to, int64_t from_us, int64_t until_us) {
    links_[from][to].clog_from_us = from_us;
    links_[from][to].clog_until_us = until_us;
  }
  // All cuts and degradations end; so do loss, duplication and stragglers.
  void heal_all();

  uint64_t lost() const { return lost_; }
  uint64_t duplicated() const { return duplicated_; }
  uint64_t straggled() const { return straggled_; }

 private:
  struct Link {
    uint32_t cuts = 0;
    uint32_t holding = 0;  // of the cuts
    double beat_loss = 0;
    int64_t extra_us = 0;
    int64_t clog_from_us = 0;
    int64_t clog_until_us = 0;
    int64_t last_delivery_us = 0;
    int64_t catches_from_us = 0;
  };
  NetworkProfile profile_;
  Random random_;
  std::array<std::array<Link, kMembersMax + 1>, kMembersMax + 1> links_{};
  uint64_t lost_ = 0;
  uint64_t duplicated_ = 0;
  uint64_t straggled_ = 0;
};

}  // namespace decree::lab
