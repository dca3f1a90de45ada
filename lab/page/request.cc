#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "lab/page/run.h"

namespace decree::lab {

namespace {

bool number(const std::string& text, uint64_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string parse_inputs(const std::string& text, std::vector<std::string>* out) {
  std::istringstream in(text);
  for (std::string x; std::getline(in, x, ',');) {
    const bool plain = !x.empty() && x.size() <= PageLimits::input_bytes &&
                       std::all_of(x.begin(), x.end(), [](unsigned char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                       });
    if (!plain)
      return fmt::format("an input has 1 to {} letters or digits; separate inputs by commas",
                         PageLimits::input_bytes);
    out->push_back(x);
  }
  return "";
}

bool parse_until(const std::string& text, PageUntil* out) {
  static constexpr std::pair<const char*, PageUntil> kWords[] = {{"here", PageUntil::here},
                                                                 {"message", PageUntil::message},
                                                                 {"note", PageUntil::note},
                                                                 {"point", PageUntil::point},
                                                                 {"end", PageUntil::end}};
  for (const auto& [word, until] : kWords)
    if (text == word) *out = until;
  return std::any_of(std::begin(kWords), std::end(kWords), [&](const auto& w) { return text == w.first; });
}

// A statement of the page itself. `known` false: it belongs to the schedule. Returns what is wrong with it.
std::string parse_own(const std::string& key, const std::string& value, PageRequest* out, bool* known) {
  uint64_t n = 0;
  *known = true;
  if (key == "processes") {
    if (!number(value, &n) || n < 1 || n > PageLimits::processes)
      return fmt::format("a run has 1 to {} processes", PageLimits::processes);
    out->options.processes = static_cast<uint32_t>(n);
  } else if (key == "inputs") {
    return parse_inputs(value, &out->options.inputs);
  } else if (key == "seed") {
    if (!number(value, &out->options.seed)) return "a seed is a number";
  } else if (key == "to") {
    if (!number(value, &out->to) || out->to > PageLimits::steps)
      return fmt::format("a run has at most {} steps", PageLimits::steps);
  } else if (key == "until") {
    if (!parse_until(value, &out->until)) return "until: here, message, note, point or end";
  } else if (key == "beats") {
    out->beats = true;
  } else {
    *known = false;
  }
  return "";
}

}  // namespace

Result<PageRequest> parse_page_request(std::string_view text) {
  PageRequest request;
  std::string schedule;  // other lines are left blank, so that line numbers stay true
  std::istringstream lines{std::string(text)};
  std::string line;
  for (size_t at = 1; std::getline(lines, line); ++at) {
    std::istringstream words(line);
    std::string key;
    std::string value;
    words >> key >> value;
    bool known = false;
    const std::string wrong = parse_own(key, value, &request, &known);
    if (!wrong.empty()) return Error{ErrorCode::invalid, fmt::format("line {}: {}", at, wrong)};
    schedule += (known ? "" : line) + '\n';
  }
  SynodOptions& o = request.options;
  if (o.inputs.size() != o.processes)
    return Error{ErrorCode::invalid, fmt::format("{} processes need {} inputs, and there are {}", o.processes,
                                                 o.processes, o.inputs.size())};
  std::string error;
  if (!parse_synod_schedule(schedule, o.processes, &o.schedule, &error))
    return Error{ErrorCode::invalid, error};
  if (o.schedule.actions.size() + o.schedule.by_hand.size() > PageLimits::actions)
    return Error{ErrorCode::invalid, fmt::format("a run has at most {} actions", PageLimits::actions)};
  return request;
}

}  // namespace decree::lab
