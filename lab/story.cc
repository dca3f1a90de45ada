#include "lab/story.h"

#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace decree::lab {

namespace {

// The text of a field of a line of the trace; empty when there is none.
std::string_view field(std::string_view line, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  const size_t at = line.find(key);
  if (at == std::string_view::npos) return {};
  std::string_view rest = line.substr(at + key.size());
  if (rest.front() != '"') return rest.substr(0, rest.find_first_of(",}"));
  rest.remove_prefix(1);
  size_t end = 0;
  while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
  return rest.substr(0, end);
}

// {"a":1,"b":"x"} without its braces and quotes: "a 1, b x".
std::string plain(std::string_view fields) {
  std::string out;
  for (const char c : fields) {
    if (c == '"' || c == '{' || c == '}' || c == '\\') continue;
    out += c == ':' ? ' ' : c;
    if (c == ',') out += ' ';
  }
  return out;
}

void tell(std::string_view line, std::ostream& out) {
  const std::string_view what = field(line, "what");
  const std::string_view message = field(line, "message");
  if (what == "step") {
    out << fmt::format("{:>3}. {}\n", field(line, "number"), plain(field(line, "text")));
    return;
  }
  if (what == "receive" || what == "link" || message == "Beat" || message == "BeatReply" || what == "swarm")
    return;
  const size_t at = line.find("\"what\":");
  std::string_view rest = line.substr(at + 9 + what.size());  // "what":"..." and its comma
  if (!rest.empty() && rest.front() == ',') rest.remove_prefix(1);
  const std::string_view member = field(line, "member");
  const std::string who = member == "0" ? std::string("  ") : fmt::format("  {}", member);
  out << fmt::format("     {} {} {}\n", who, what, plain(rest));
}

}  // namespace

ScriptResult tell_story(const Schedule& schedule, std::ostream& out) {
  std::ostringstream trace;
  ScriptResult result = follow(schedule, &trace);
  std::istringstream lines(trace.str());
  size_t told = 0;
  for (std::string line; std::getline(lines, line);) {
    // Settling is long and mostly the same every time.
    const bool settling = result.steps_followed == Script::kAll && told > 2000;
    if (settling && line.find("\"BROKEN\"") == std::string::npos) continue;
    tell(line, out);
    ++told;
  }
  if (result.run.breach)
    out << fmt::format("{} is broken: {}\n", result.run.breach.invariant, result.run.breach.sentence);
  else if (result.run.endless)
    out << fmt::format(
        "given up in step {}: the members answer each other without end while no time passes; let some "
        "messages "
        "arrive by steps of their own\n",
        result.steps_followed);
  else
    out << "nothing is broken\n";
  return result;
}

}  // namespace decree::lab
