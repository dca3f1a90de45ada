// Consensus in the synchronous model: processes in lock-step rounds, at most f of them faulty.
//
// Where delays, clock drift and step times have bounds that are known and kept, consensus is solvable, in f+1
// rounds and without any log. Nothing here may be used on a network that has no such bounds: one message past
// the bound is enough to break agreement (`decree-lab synchronous` shows the run). Replica needs no bound.
//
// A protocol is a value with
//   Message message() const;                       what it broadcasts in this round
//   void receive(uint32_t from, const Message&);   once per sender heard in this round, itself included
//   void end_round();
//   const std::optional<Value>& decision() const;  never changes once it is there
//   bool stopped() const;                          sends nothing any more
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace decree::synchronous {

// FloodSet (paper: Lynch, Distributed Algorithms, chapter 6): everybody floods the set of values it knows for
// f+1 rounds and decides the smallest. Crash faults, also in the middle of a broadcast: among f+1 rounds one
// is free of crashes, and after it all who live know the same values, for ever.
template <class Value>
class FloodSet {
 public:
  using Message = std::set<Value>;
  // `rounds` is f+1; fewer are not enough, and are accepted so that this can be shown.
  FloodSet(Value input, uint32_t rounds) : known_{std::move(input)}, rounds_(rounds) {}

  Message message() const { return known_; }
  void receive(uint32_t, const Message& values) { heard_.insert(values.begin(), values.end()); }
  void end_round() {
    known_.merge(heard_);
    heard_.clear();
    if (++round_ == rounds_) decision_ = *known_.begin();
  }
  const std::optional<Value>& decision() const { return decision_; }
  bool stopped() const { return decision_.has_value(); }
  // Values^r_i: what this process knows at the beginning of its next round.
  const std::set<Value>& values() const { return known_; }

 private:
  std::set<Value> known_;
  std::set<Value> heard_;
  uint32_t rounds_;
  uint32_t round_ = 0;
  std::optional<Value> decision_;
};

// As FloodSet, but a value is passed on only in the round after it was learned. A value that is new in round
// r has therefore come through r different processes; in round f+1 one of them was correct and told
// everybody. So it also bears omissions (agreement of the correct processes), which FloodSet does not.
template <class Value>
class RelayOnce {
 public:
  using Message = std::set<Value>;
  RelayOnce(Value input, uint32_t rounds) : known_{input}, fresh_{std::move(input)}, rounds_(rounds) {}

  Message message() const { return fresh_; }
  void receive(uint32_t, const Message& values) { heard_.insert(values.begin(), values.end()); }
  void end_round() {
    fresh_.clear();
    for (const Value& v : heard_)
      if (known_.insert(v).second) fresh_.insert(v);
    heard_.clear();
    if (++round_ == rounds_) decision_ = *known_.begin();
  }
  const std::optional<Value>& decision() const { return decision_; }
  bool stopped() const { return decision_.has_value(); }
  const std::set<Value>& values() const { return known_; }

 private:
  std::set<Value> known_;
  std::set<Value> fresh_;
  std::set<Value> heard_;
  uint32_t rounds_;
  uint32_t round_ = 0;
  std::optional<Value> decision_;
};

// Decides in round min(f'+2, f+1) at the latest, f' being the crashes that really happen, and uniformly: also
// who decides and then crashes agrees (paper: Raynal's early-deciding form). Who hears from as many as in the
// round before missed nothing; it says so in one more broadcast BEFORE it decides, because it might crash.
template <class Value>
class EarlyDeciding {
 public:
  struct Message {
    Value estimate;
    bool early = false;
  };
  EarlyDeciding(Value input, uint32_t processes, uint32_t rounds)
      : estimate_(std::move(input)), heard_before_(processes), rounds_(rounds) {}

  Message message() const { return Message{estimate_, early_}; }
  void receive(uint32_t, const Message& m) {
    estimate_ = std::min(estimate_, m.estimate);
    somebody_early_ = somebody_early_ || m.early;
    ++heard_;
  }
  void end_round() {
    ++round_;
    if (early_ || round_ == rounds_) decision_ = early_ ? sent_ : estimate_;
    if (heard_ == heard_before_ || somebody_early_) early_ = true;
    sent_ = estimate_;
    heard_before_ = heard_;
    heard_ = 0;
  }
  const std::optional<Value>& decision() const { return decision_; }
  bool stopped() const { return decision_.has_value(); }

 private:
  Value estimate_;
  std::optional<Value> sent_;  // the estimate of the coming broadcast
  uint32_t heard_before_;
  uint32_t heard_ = 0;
  uint32_t rounds_;
  uint32_t round_ = 0;
  bool early_ = false;
  bool somebody_early_ = false;
  std::optional<Value> decision_;
};

// What the synchronous model promises. Rates are in parts per million of real time.
struct Bounds {
  int64_t delay_us_max = 0;   // of a message
  int64_t step_us_max = 0;    // of a process between starting a round and having sent
  int64_t drift_ppm_max = 0;  // of a clock against real time, both ways
};

// How long a round must last on everybody's own clock so that for `rounds` rounds, all started together, each
// message of a round arrives before the round of its receiver ends. 0: the drift is too large for so many
// rounds.
inline int64_t round_length_us(const Bounds& b, uint32_t rounds) {
  // The slowest sender starts round r at (r-1)L/(1-d); the fastest receiver ends it at rL/(1+d).
  const double d = static_cast<double>(b.drift_ppm_max) * 1e-6;
  const double r = rounds;
  const double share = r / (1 + d) - (r - 1) / (1 - d);
  if (share <= 0) return 0;
  return static_cast<int64_t>(static_cast<double>(b.delay_us_max + b.step_us_max) / share) + 1;
}

// One process's side of the rounds: keeps messages that come early, and says so when one comes too late.
template <class Protocol>
class Rounds {
 public:
  using Message = typename Protocol::Message;
  Rounds(uint32_t self, Protocol protocol) : self_(self), protocol_(std::move(protocol)) {}

  // The round that is running, from 1.
  uint32_t round() const { return round_; }
  const Protocol& protocol() const { return protocol_; }
  // False: the round is over, a bound was broken somewhere and nothing is promised any more.
  bool deliver(uint32_t from, uint32_t round, Message message) {
    if (round < round_) return false;
    early_.push_back(Held{round, from, std::move(message)});
    return true;
  }
  // Ends the round with what has come.
  void end_round() {
    if (!protocol_.stopped()) {
      protocol_.receive(self_, protocol_.message());
      for (const Held& held : early_)
        if (held.round == round_) protocol_.receive(held.from, held.message);
      protocol_.end_round();
    }
    early_.erase(
        std::remove_if(early_.begin(), early_.end(), [this](const Held& h) { return h.round <= round_; }),
        early_.end());
    ++round_;
  }

 private:
  struct Held {
    uint32_t round = 0;
    uint32_t from = 0;
    Message message;
  };
  uint32_t self_;
  Protocol protocol_;
  uint32_t round_ = 1;
  std::vector<Held> early_;
};

}  // namespace decree::synchronous
