// Plays a run up to a step and says what is to be seen there.
#include <fmt/format.h>

#include <array>
#include <vector>

#include "lab/check/ghost.h"
#include "lab/page/run.h"
#include "lab/sim/trace.h"
#include "lab/synod/world.h"

namespace decree::lab {

namespace {

// docs/invariants.md; those that one decision can break.
constexpr std::array<const char*, 10> kInvariants = {"one value per ballot and slot",
                                                     "a ballot has one owner",
                                                     "the promise never falls",
                                                     "nothing is accepted below the promise",
                                                     "a Promise is honest",
                                                     "proposals are safe",
                                                     "what is chosen stays",
                                                     "one history",
                                                     "no holes",
                                                     "said means durable"};

const char* role_name(const SynodProcessView& p) {
  if (!p.up) return "down";
  return p.role == Role::leader ? "leader" : p.role == Role::follower ? "follower" : "candidate";
}

const char* kind_name(EntryKind kind) {
  switch (kind) {
    case EntryKind::command:
      return "command";
    case EntryKind::noop:
      return "no-op";
    case EntryKind::barrier:
      return "barrier";
    default:
      return "epoch";
  }
}

template <class List, class Tell>
std::string array(const List& list, const Tell& tell) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ",") + tell(item);
  return "[" + out + "]";
}

std::string slot_json(const SynodSlotView& s) {
  return fmt::format(
      "{{\"slot\":{},\"ballot\":\"{}\",\"law\":{},\"durable\":{},\"decided\":{},\"kind\":\"{}\",\"value\":{}}"
      "}",
      s.slot.value, show(s.ballot), s.law, s.durable, s.decided, kind_name(s.kind), json_string(s.value));
}

std::string process_json(const SynodProcessView& p) {
  return fmt::format(
      "{{\"process\":{},\"role\":\"{}\",\"writing\":{},\"promised\":\"{}\",\"promised_durable\":\"{}\","
      "\"leader\":\"{}\",\"input\":{},\"output\":{},\"log\":{}}}",
      p.process, role_name(p), p.writing, show(p.promised), show(p.promised_durable), show(p.leader),
      json_string(p.input), p.output ? json_string(*p.output) : "null", array(p.log, slot_json));
}

std::string flight_json(const SynodFlightView& m) {
  return fmt::format("{{\"id\":{},\"from\":{},\"to\":{},\"message\":\"{}\",\"due_ms\":{}}}", m.id, m.from,
                     m.to, m.message, m.due_ms);
}

// The id at the beginning of "I7: ..." or "p1: I4: ..."; 0: another check.
size_t broken_id(const std::string& breach) {
  size_t at = breach.find('I');
  while (at != std::string::npos && (at + 1 == breach.size() || breach[at + 1] < '0' || breach[at + 1] > '9'))
    at = breach.find('I', at + 1);
  return at == std::string::npos ? 0 : static_cast<size_t>(std::atoi(breach.c_str() + at + 1));
}

// The first breach ends the judging of the others: null.
std::string invariants_json(const std::string& breach) {
  const size_t broken = broken_id(breach);
  std::string out;
  for (size_t i = 1; i <= kInvariants.size(); ++i)
    out += fmt::format("{}{{\"id\":\"I{}\",\"name\":\"{}\",\"holds\":{},\"sentence\":{}}}", i == 1 ? "" : ",",
                       i, kInvariants[i - 1],
                       breach.empty() ? "true"
                       : i == broken  ? "false"
                                      : "null",
                       i == broken ? json_string(breach) : "\"\"");
  if (!breach.empty() && (broken == 0 || broken > kInvariants.size()))
    out += fmt::format(",{{\"id\":\"\",\"name\":\"the core's own checks\",\"holds\":false,\"sentence\":{}}}",
                       json_string(breach));
  return "[" + out + "]";
}

std::string view_json(const SynodView& v) {
  std::string point = "null";
  if (v.point)
    point =
        fmt::format("{{\"step\":{},\"ms\":{},\"process\":{},\"ballot\":\"{}\",\"value\":{}}}", v.point->step,
                    v.point->at_ms, v.point->process, show(v.point->ballot), json_string(v.point->value));
  return fmt::format(
      "\"step\":{},\"ms\":{},\"finished\":{},\"first_known_ms\":{},\"point\":{},\"breach\":{},\"processes\":{"
      "},"
      "\"flights\":{},\"cuts\":{},\"invariants\":{},\"verdicts\":{}",
      v.step, v.now_ms, v.finished, v.first_known_ms, point, json_string(v.breach),
      array(v.processes, process_json), array(v.flights, flight_json),
      array(v.cuts, [](const auto& c) { return fmt::format("[{},{}]", c.first, c.second); }),
      invariants_json(v.breach), array(v.verdicts, [](const PropertyVerdict& verdict) {
        return fmt::format("{{\"property\":\"{}\",\"holds\":{},\"sentence\":{}}}", verdict.property,
                           verdict.holds, json_string(verdict.sentence));
      }));
}

bool has(const std::string& line, const char* text) { return line.find(text) != std::string::npos; }

class Player {
 public:
  explicit Player(const PageRequest& request) : request_(request) {}

  std::string play() {
    request_.options.horizon_ms = UINT64_MAX;
    request_.options.json_line = [this](const std::string& line) { take(line); };
    SynodWorld world(request_.options, 0);
    world.begin();
    while (steps_ < request_.to && step(world)) {
    }
    play_on(world);
    const bool capped = steps_ >= PageLimits::steps || lines_.size() >= PageLimits::lines;
    std::string lines;
    for (const std::string& line : lines_) lines += (lines.empty() ? "" : ",") + line;
    return fmt::format("{{{},\"reached\":{},\"capped\":{},\"lines\":[{}]}}", view_json(world.view()),
                       reached_, capped, lines);
  }

 private:
  void take(const std::string& line) {
    if (!request_.beats && has(line, "\"message\":\"Beat")) return;
    if (lines_.size() < PageLimits::lines) lines_.push_back(line);
    if (has(line, "\"what\":\"note\"")) ++notes_;
  }

  bool step(SynodWorld& world) {
    if (steps_ >= PageLimits::steps || lines_.size() >= PageLimits::lines || !world.step()) return false;
    ++steps_;
    return true;
  }

  bool reached(const SynodWorld& world) const {
    switch (request_.until) {
      case PageUntil::here:
        return true;
      case PageUntil::message:
        return lines_.size() > lines_before_;
      case PageUntil::note:
        return notes_ > notes_before_;
      case PageUntil::point:
        return world.point().has_value();
      case PageUntil::end:
        return was_finished_ ? world.now_ms() >= began_ms_ + kRestMs : world.finished();
    }
    return true;
  }

  void play_on(SynodWorld& world) {
    lines_before_ = lines_.size();
    notes_before_ = notes_;
    was_finished_ = world.finished();
    began_ms_ = world.now_ms();
    while (!reached(world) && world.now_ms() < began_ms_ + PageLimits::patience_ms && step(world)) {
    }
    reached_ = reached(world);
  }

  static constexpr uint64_t kRestMs = 500;
  PageRequest request_;
  std::vector<std::string> lines_;
  size_t notes_ = 0;
  uint64_t steps_ = 0;
  size_t lines_before_ = 0;
  size_t notes_before_ = 0;
  uint64_t began_ms_ = 0;
  bool was_finished_ = false;
  bool reached_ = true;
};

}  // namespace

std::string play_page_run(const PageRequest& request) { return Player(request).play(); }

}  // namespace decree::lab
