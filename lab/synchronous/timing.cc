#include "lab/synchronous/timing.h"

#include <map>

#include <fmt/format.h>

#include "lab/sim/random.h"

namespace decree::lab {

namespace {

using Flood = synchronous::FloodSet<uint32_t>;

class TimedWorld {
 public:
  explicit TimedWorld(const TimedOptions& options) : o_(options), random_(options.seed) {
    const Execution& e = o_.execution;
    result_.round_us = synchronous::round_length_us(o_.bounds, e.rounds);
    DECREE_CHECK(result_.round_us > 0, "the drift bound is small enough for so many rounds");
    result_.decisions.resize(e.processes);
    result_.slack_us_min = result_.round_us;
    for (uint32_t p = 0; p < e.processes; ++p) {
      processes_.emplace_back(p, Flood(e.input(p), e.rounds));
      const auto span = static_cast<uint64_t>(2 * o_.bounds.drift_ppm_max + 1);
      const int64_t ppm = static_cast<int64_t>(random_.below(span)) - o_.bounds.drift_ppm_max;
      rate_.push_back(1.0 + static_cast<double>(ppm) * 1e-6);
    }
  }

  TimedResult run() {
    for (uint32_t p = 0; p < o_.execution.processes; ++p) start_round(p, 1, 0);
    while (!events_.empty()) {
      const auto first = events_.begin();
      now_ = first->first;
      const Event event = first->second;
      events_.erase(first);
      if (event.arrives) {
        arrive(event);
      } else {
        end_round(event.to, event.round);
      }
    }
    result_.ended_us = now_;
    return std::move(result_);
  }

 private:
  struct Event {
    bool arrives = false;  // else: the end of a round by the clock of `to`
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t round = 0;
    int64_t sent_us = 0;
    Flood::Message message;
  };

  int64_t real(uint32_t p, int64_t local_us) const {
    return static_cast<int64_t>(static_cast<double>(local_us) / rate_[p]);
  }

  void start_round(uint32_t p, uint32_t round, int64_t at_us) {
    const Execution& e = o_.execution;
    events_.emplace(real(p, result_.round_us * round), Event{false, p, p, round, 0, {}});
    if (e.crashed_by(p, round - 1)) return;
    const int64_t sent =
        at_us + static_cast<int64_t>(random_.below(static_cast<uint64_t>(o_.bounds.step_us_max) + 1));
    for (uint32_t q = 0; q < e.processes; ++q) {
      if (q == p || !e.hears(round, p, q)) continue;
      int64_t delay = static_cast<int64_t>(random_.below(static_cast<uint64_t>(o_.bounds.delay_us_max) + 1));
      if (o_.late && o_.late->from == p && o_.late->to == q && o_.late->round == round)
        delay = o_.late->delay_us;
      events_.emplace(sent + delay, Event{true, p, q, round, sent, processes_[p].protocol().message()});
    }
  }

  void arrive(const Event& event) {
    if (o_.execution.crashed_by(event.to, event.round)) return;
    const int64_t delay = now_ - event.sent_us;
    const bool in_time = processes_[event.to].deliver(event.from, event.round, event.message);
    if (delay > o_.bounds.delay_us_max)
      result_.broken_bounds.push_back(fmt::format(
          "the message of p{} to p{} in round {} took {} us, the bound is {} us{}", event.from + 1,
          event.to + 1, event.round, delay, o_.bounds.delay_us_max, in_time ? "" : "; its round was over"));
    if (!in_time && delay <= o_.bounds.delay_us_max)
      result_.broken_bounds.push_back(
          fmt::format("p{}'s clock left its bound: a message within the delay bound "
                      "came after round {}",
                      event.to + 1, event.round));
    if (in_time)
      result_.slack_us_min =
          std::min(result_.slack_us_min, real(event.to, result_.round_us * event.round) - now_);
  }

  void end_round(uint32_t p, uint32_t round) {
    const Execution& e = o_.execution;
    if (e.crashed_by(p, round)) return;
    processes_[p].end_round();
    const Flood& flood = processes_[p].protocol();
    std::string values;
    for (const uint32_t v : flood.values()) values += fmt::format("{}{}", values.empty() ? "" : ",", v);
    result_.story.push_back(
        fmt::format("{:>6} us  p{} ends round {} knowing {{{}}}{}", now_, p + 1, round, values,
                    flood.decision() ? fmt::format(" and decides {}", *flood.decision()) : ""));
    if (flood.decision()) {
      result_.decisions[p] = RoundDecision{*flood.decision(), round};
    } else {
      start_round(p, round + 1, now_);
    }
  }

  const TimedOptions& o_;
  Random random_;
  std::vector<synchronous::Rounds<Flood>> processes_;
  std::vector<double> rate_;
  std::multimap<int64_t, Event> events_;
  int64_t now_ = 0;
  TimedResult result_;
};

}  // namespace

TimedResult run_timed(const TimedOptions& options) { return TimedWorld(options).run(); }

}  // namespace decree::lab
