#include "lab/flp/remedies.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "lab/sim/random.h"

namespace decree::lab {

const char* remedy_name(Remedy r) {
  constexpr const char* kNames[] = {"none", "random back-off", "leader oracle", "synchrony after some time"};
  return kNames[static_cast<size_t>(r)];
}

namespace {

constexpr uint64_t kNever = UINT64_MAX;
constexpr uint64_t kPatienceTicks = 8;  // a round without a result for so long is given up

class Duel {
 public:
  explicit Duel(const DuelOptions& o) : o_(o), random_(o.seed), world_(kernel(o)) {
    clocks_.resize(o.processes);
    // The world turns kind at a time of the adversary's choice.
    turn_ = 50 + random_.below(500);
    for (uint32_t p = 1; p <= o.processes; ++p) at(p).start = 1 + random_.below(3);
  }

  DuelResult run() {
    DuelResult r;
    uint64_t rounds_at_turn = 0;
    while (world_.rounds() < o_.rounds_max && !(r.decided = world_.any_decision())) {
      ++now_;
      if (now_ <= turn_) rounds_at_turn = world_.rounds();
      deliver_due();
      for (uint32_t p = 1; p <= o_.processes; ++p) run_clock(p);
    }
    r.rounds = world_.rounds();
    r.rounds_after_turn = world_.rounds() - rounds_at_turn;
    r.ticks = now_;
    return r;
  }

 private:
  struct Clock {
    uint64_t start = 0;    // begins a round then
    uint64_t give_up = 0;  // of the round under way
    uint32_t losses = 0;
    bool was_active = false;
  };

  static KernelOptions kernel(const DuelOptions& o) {
    KernelOptions k;
    k.voters = o.processes;
    for (uint32_t p = 0; p < o.processes; ++p) k.inputs.push_back(p % 2);
    return k;
  }
  Clock& at(uint32_t p) { return clocks_[p - 1]; }
  bool kind() const { return now_ > turn_; }

  // Votes and Bills of the newest ballots matter: they take as long as the bound allows.
  uint64_t delay_of(const PoolMessage& m) const {
    const bool matters = std::holds_alternative<Promise>(m.message) ||
                         std::holds_alternative<Accept>(m.message) ||
                         std::holds_alternative<Accepted>(m.message);
    if (o_.remedy == Remedy::synchrony && kind()) return 1;
    return matters ? o_.delay_ticks : 1;
  }

  void deliver_due() {
    for (bool again = true; again;) {
      again = false;
      for (size_t i = 0; i < world_.pool().size(); ++i) {
        const PoolMessage& m = world_.pool()[i];
        const auto [it, fresh] = sent_.emplace(m.id, now_);
        if (it->second + delay_of(m) > now_) continue;
        sent_.erase(it);
        world_.deliver(i);
        again = true;
        break;
      }
    }
  }

  void run_clock(uint32_t p) {
    Clock& c = at(p);
    const bool active = world_.process(p).active();
    if (c.was_active && !active) lost(p);  // it heard of a higher round
    if (active && now_ >= c.give_up) lost(p);
    c.was_active = active;
    if (now_ < c.start || world_.decision(p)) return;
    if (o_.remedy == Remedy::oracle) {
      if (kind() && p != 1)
        return;  // the oracle names p1; before, it told everybody what everybody liked to hear
      if (kind() && active) return;
    }
    c.start = kNever;
    c.give_up = o_.remedy == Remedy::oracle && kind() ? kNever : now_ + patience(p);
    world_.start(p);
    c.was_active = true;
  }

  uint64_t patience(uint32_t p) {
    if (o_.remedy == Remedy::back_off) return kPatienceTicks << std::min(at(p).losses, 16u);
    return kPatienceTicks;
  }

  void lost(uint32_t p) {
    Clock& c = at(p);
    if (c.start != kNever) return;
    ++c.losses;
    switch (o_.remedy) {
      case Remedy::none:
      case Remedy::oracle:
        c.start = now_ + 1;
        break;
      case Remedy::back_off:
        c.start = now_ + 1 + random_.below(1ULL << std::min(c.losses, 20u));
        break;
      case Remedy::synchrony:
        c.start = now_ + 1 + (p - 1) * 2 * kPatienceTicks;  // the first has time enough, if delays are short
        break;
    }
    c.give_up = kNever;
  }

  const DuelOptions& o_;
  Random random_;
  KernelWorld world_;
  std::vector<Clock> clocks_;
  std::map<uint64_t, uint64_t> sent_;
  uint64_t now_ = 0;
  uint64_t turn_ = 0;
};

}  // namespace

DuelResult run_duel(const DuelOptions& options) { return Duel(options).run(); }

std::string show(const Distribution& d) {
  return fmt::format("decided in {} of {} runs; rounds: median {}, 90 % {}, 99 % {}, most {}",
                     d.runs - d.undecided, d.runs, d.at(0.5), d.at(0.9), d.at(0.99), d.at(1));
}

std::string histogram(const Distribution& d) {
  std::string out;
  for (uint64_t low = 1, high = 1; low <= d.at(1); low = high + 1, high *= 2) {
    const auto count =
        std::count_if(d.sorted.begin(), d.sorted.end(), [&](uint64_t r) { return r >= low && r <= high; });
    const std::string range = low == high ? fmt::format("{}", low) : fmt::format("{}-{}", low, high);
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", range, count);
  }
  return out;
}

}  // namespace decree::lab
