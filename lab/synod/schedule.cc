#include "lab/synod/schedule.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "lab/sim/random.h"

namespace decree::lab {

namespace {

struct Word {
  const char* name;
  SynodAct act;
  int processes;
};
constexpr Word kWords[] = {{"crash", SynodAct::crash, 1}, {"restart", SynodAct::restart, 1},
                           {"cut", SynodAct::cut, 2},     {"deafen", SynodAct::deafen, 1},
                           {"heal", SynodAct::heal, 0},   {"rival", SynodAct::rival, 1}};

struct HandWord {
  const char* name;
  SynodHand act;
  int processes;
  bool message;
  bool ms;
};
constexpr HandWord kHandWords[] = {
    {"crash", SynodHand::crash, 1, false, false}, {"restart", SynodHand::restart, 1, false, false},
    {"cut", SynodHand::cut, 2, false, false},     {"join", SynodHand::join, 2, false, false},
    {"rival", SynodHand::rival, 1, false, false}, {"drop", SynodHand::drop, 0, true, false},
    {"delay", SynodHand::delay, 0, true, true},   {"deliver", SynodHand::deliver, 0, true, false}};

}  // namespace

SynodSchedule bounded_synod_schedule() {
  SynodSchedule s;
  s.calm_from_ms = 0;
  return s;
}

SynodSchedule draw_synod_schedule(uint64_t seed, uint32_t processes) {
  Random random(seed ^ 0x5eed5c4ed01eULL);
  SynodSchedule s;
  s.loss_permille = random.chance(0.6) ? static_cast<uint32_t>(random.below(250)) : 0;
  s.delay_ms_max = static_cast<uint32_t>(random.between(5, random.chance(0.3) ? 250 : 60));
  s.sync_ms_max = static_cast<uint32_t>(random.between(2, random.chance(0.3) ? 120 : 20));
  const auto process = [&] { return static_cast<uint32_t>(random.between(1, processes)); };
  const uint32_t dead_max = (processes - 1) / 2;
  uint32_t dead = 0;
  for (uint64_t i = random.below(4); i > 0; --i) {
    const uint32_t p = process();
    const uint64_t at = random.between(1, 2500);
    s.actions.push_back({at, SynodAct::crash, p, 0});
    if (dead < dead_max && random.chance(0.2)) {
      ++dead;  // for good, unless another action restarts it
    } else {
      s.actions.push_back({at + random.between(1, 600), SynodAct::restart, p, 0});
    }
  }
  for (uint64_t i = random.below(3); i > 0; --i) {
    const uint64_t at = random.between(1, 2000);
    const uint32_t a = process();
    if (random.chance(0.4) || processes == 1) {
      s.actions.push_back({at, SynodAct::deafen, a, 0});
    } else {
      s.actions.push_back({at, SynodAct::cut, a, a % processes + 1});
    }
    s.actions.push_back({at + random.between(50, 900), SynodAct::heal, 0, 0});
  }
  for (uint64_t i = random.below(4); i > 0; --i)
    s.actions.push_back({random.between(50, 1500), SynodAct::rival, process(), 0});
  std::stable_sort(s.actions.begin(), s.actions.end(),
                   [](const SynodAction& x, const SynodAction& y) { return x.at_ms < y.at_ms; });
  return s;
}

std::string show(const SynodSchedule& s) {
  std::string out = fmt::format("loss {}\ndelay {}\nsync {}\ncalm {}\n", s.loss_permille, s.delay_ms_max,
                                s.sync_ms_max, s.calm_from_ms);
  for (const std::string& name : s.lose) out += fmt::format("lose {}\n", name);
  for (const SynodAction& action : s.actions) {
    const Word& word = kWords[static_cast<size_t>(action.act)];
    out += fmt::format("at {} {}", action.at_ms, word.name);
    if (word.processes > 0) out += fmt::format(" {}", action.a);
    if (word.processes > 1) out += fmt::format(" {}", action.b);
    out += '\n';
  }
  for (const SynodHandAction& hand : s.by_hand) out += show(hand) + '\n';
  return out;
}

std::string show(const SynodHandAction& hand) {
  const HandWord& word = kHandWords[static_cast<size_t>(hand.act)];
  std::string out = fmt::format("step {} {}", hand.after_step, word.name);
  if (word.processes > 0) out += fmt::format(" {}", hand.a);
  if (word.processes > 1) out += fmt::format(" {}", hand.b);
  if (word.message) out += fmt::format(" {}", hand.message);
  if (word.ms) out += fmt::format(" {}", hand.ms);
  return out;
}

namespace {

bool known_processes(int count, uint32_t a, uint32_t b, uint32_t processes, std::string* why) {
  const bool known = (count < 1 || (a >= 1 && a <= processes)) && (count < 2 || (b >= 1 && b <= processes));
  if (!known) *why = fmt::format("processes are numbered 1 to {}", processes);
  return known;
}

bool parse_hand(std::istringstream& words, uint32_t processes, SynodHandAction* hand, std::string* why) {
  std::string name;
  if (!(words >> hand->after_step >> name)) {
    *why = "expected: step NUMBER WORD";
    return false;
  }
  for (const HandWord& word : kHandWords) {
    if (name != word.name) continue;
    hand->act = word.act;
    if ((word.processes > 0 && !(words >> hand->a)) || (word.processes > 1 && !(words >> hand->b)) ||
        (word.message && !(words >> hand->message)) || (word.ms && !(words >> hand->ms))) {
      *why = fmt::format("'{}' needs {}", name,
                         word.ms        ? "a message and milliseconds"
                         : word.message ? "a message"
                                        : fmt::format("{} process number(s)", word.processes));
      return false;
    }
    if (hand->ms > kHandDelayMsMax) {
      *why = fmt::format("a message is delayed by at most {} ms", kHandDelayMsMax);
      return false;
    }
    return known_processes(word.processes, hand->a, hand->b, processes, why);
  }
  *why = fmt::format(
      "unknown word '{}'; after 'step' there are crash, restart, cut, join, rival, drop, delay, deliver",
      name);
  return false;
}

bool parse_action(std::istringstream& words, uint32_t processes, SynodAction* action, std::string* why) {
  std::string name;
  if (!(words >> action->at_ms >> name)) {
    *why = "expected: at MILLISECONDS WORD";
    return false;
  }
  for (const Word& word : kWords) {
    if (name != word.name) continue;
    action->act = word.act;
    if ((word.processes > 0 && !(words >> action->a)) || (word.processes > 1 && !(words >> action->b))) {
      *why = fmt::format("'{}' needs {} process number(s)", name, word.processes);
      return false;
    }
    return known_processes(word.processes, action->a, action->b, processes, why);
  }
  *why = fmt::format("unknown word '{}'; there are crash, restart, cut, deafen, heal, rival", name);
  return false;
}

}  // namespace

bool parse_synod_schedule(const std::string& text, uint32_t processes, SynodSchedule* out,
                          std::string* error) {
  *out = SynodSchedule{};
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string key;
    if (!(words >> key)) continue;
    std::string why;
    bool ok = true;
    if (key == "at") {
      SynodAction action;
      ok = parse_action(words, processes, &action, &why);
      if (ok) out->actions.push_back(action);
    } else if (key == "step") {
      SynodHandAction hand;
      ok = parse_hand(words, processes, &hand, &why);
      if (ok) out->by_hand.push_back(hand);
    } else if (key == "loss") {
      ok = static_cast<bool>(words >> out->loss_permille) && out->loss_permille <= 1000;
    } else if (key == "delay") {
      ok = static_cast<bool>(words >> out->delay_ms_max) && out->delay_ms_max > 0;
    } else if (key == "sync") {
      ok = static_cast<bool>(words >> out->sync_ms_max) && out->sync_ms_max > 0;
    } else if (key == "calm") {
      ok = static_cast<bool>(words >> out->calm_from_ms);
    } else if (key == "lose") {
      ok = static_cast<bool>(words >> key);
      out->lose.push_back(key);
    } else {
      ok = false;
      why = fmt::format("unknown statement '{}'; there are loss, delay, sync, calm, lose, at, step", key);
    }
    if (ok) continue;
    *error = fmt::format("line {}: {}", number, why.empty() ? "a number is missing or out of range" : why);
    return false;
  }
  std::stable_sort(out->actions.begin(), out->actions.end(),
                   [](const SynodAction& x, const SynodAction& y) { return x.at_ms < y.at_ms; });
  std::stable_sort(
      out->by_hand.begin(), out->by_hand.end(),
      [](const SynodHandAction& x, const SynodHandAction& y) { return x.after_step < y.after_step; });
  return true;
}

}  // namespace decree::lab
