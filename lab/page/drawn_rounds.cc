#include <fmt/format.h>

#include "lab/page/drawn.h"
#include "lab/synchronous/explore.h"
#include "lab/synchronous/protocols.h"

namespace decree::lab {

namespace {

std::string known(const synchronous::FloodSet<uint32_t>& p) {
  std::string out;
  for (const uint32_t v : p.values()) out += fmt::format("{}{}", out.empty() ? "" : ",", v);
  return "{" + out + "}";
}
std::string known(const synchronous::EarlyDeciding<uint32_t>& p) {
  return fmt::format("{}{}", p.message().estimate, p.message().early ? ", early" : "");
}

// One execution, told while it runs.
template <class Make>
class RoundDrawing {
 public:
  using Protocol = decltype(std::declval<Make>()(0u, 0u));
  RoundDrawing(const Execution& e, const Make& make, TraceLines* lines)
      : e_(e), make_(make), lines_(*lines), written_(e.processes), stopped_(e.processes) {}

  void draw() {
    for (uint32_t p = 0; p < e_.processes; ++p) {
      lines_.start(p + 1, std::to_string(e_.input(p)));
      said_.push_back(known(make_(p, e_.input(p))));
    }
    run_rounds(e_, make_, [this](uint32_t round, const std::vector<Protocol>& all) { tell(round, all); });
  }

 private:
  void tell(uint32_t round, const std::vector<Protocol>& all) {
    bool over = true;
    for (uint32_t p = 0; p < e_.processes; ++p) over = over && (e_.crashed_by(p, round - 1) || stopped_[p]);
    if (over) return;
    lines_.at(2 * round - 1);
    lines_.note(0, "ROUND", fmt::format("round {}", round));
    tell_messages(round);
    for (uint32_t p = 0; p < e_.processes; ++p) {
      if (e_.crash_round[p] == round) lines_.crash(p + 1);
      if (e_.crashed_by(p, round)) continue;
      said_[p] = known(all[p]);
      if (!stopped_[p]) lines_.note(p + 1, "ROUND", fmt::format("p{} knows {}", p + 1, said_[p]));
      stopped_[p] = all[p].stopped();
      if (all[p].decision() && !written_[p]) {
        written_[p] = true;
        lines_.output(p + 1, std::to_string(*all[p].decision()));
      }
    }
  }

  void tell_messages(uint32_t round) {
    struct Sent {
      uint64_t id;
      uint32_t from, to;
    };
    std::vector<Sent> sent;
    for (uint32_t p = 0; p < e_.processes; ++p) {
      if (e_.crashed_by(p, round - 1) || stopped_[p]) continue;
      for (uint32_t q = 0; q < e_.processes; ++q) {
        if (q == p || e_.crashed_by(q, round - 1)) continue;
        sent.push_back({next_++, p, q});
        lines_.send(sent.back().id, p + 1, q + 1, "Values", said_[p]);
      }
    }
    lines_.at(2 * round);
    for (const Sent& m : sent) {
      if (e_.hears(round, m.from, m.to) && !e_.crashed_by(m.to, round))
        lines_.deliver(m.id, m.from + 1, m.to + 1, "Values");
      else
        lines_.lost(m.id, m.from + 1, m.to + 1, "Values");
    }
  }

  const Execution& e_;
  const Make& make_;
  TraceLines& lines_;
  std::vector<bool> written_;
  std::vector<bool> stopped_;
  std::vector<std::string> said_;
  uint64_t next_ = 1;
};

}  // namespace

void draw_flood(uint32_t n, uint32_t f, uint32_t more_rounds, TraceLines* lines) {
  const RoundCount count = explore(FaultModel::crash, n, f, f, make_flood(f));
  if (!count.first_disagreement) return;
  Execution e = *count.first_disagreement;
  e.rounds += more_rounds;
  for (uint32_t round = 0; round < more_rounds; ++round)
    for (uint32_t p = 0; p < n; ++p) e.reached.push_back(e.crash_round[p] == 0 ? (1u << n) - 1 : 0);
  const auto make = make_flood(f + more_rounds);
  RoundDrawing(e, make, lines).draw();
}

void draw_early(uint32_t n, uint32_t f, TraceLines* lines) {
  Execution e;
  e.processes = n;
  e.rounds = f + 1;
  e.inputs = (1u << n) - 2;  // p1 has 0, all others 1
  e.reached.assign(size_t{n} * e.rounds, (1u << n) - 1);
  e.crash_round.assign(n, 0);
  const auto make = make_early(n, f + 1);
  RoundDrawing(e, make, lines).draw();
}

void draw_omission(TraceLines* lines) {
  const auto make = make_flood(2);
  const RoundCount count = explore(FaultModel::send_omission, 3, 1, 2, make);
  if (count.first_disagreement) RoundDrawing(*count.first_disagreement, make, lines).draw();
}

}  // namespace decree::lab
