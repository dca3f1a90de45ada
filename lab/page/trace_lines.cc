#include "lab/page/trace_lines.h"

#include <fmt/format.h>

#include "lab/sim/trace.h"

namespace decree::lab {

void TraceLines::line(uint32_t process, std::string_view what, const std::string& fields) {
  lines_.push_back(fmt::format("{{\"step\":{},\"process\":{},\"what\":\"{}\"{}{}}}", time_, process, what,
                               fields.empty() ? "" : ",", fields));
}

void TraceLines::flight(std::string_view what, uint64_t id, uint32_t from, uint32_t to,
                        std::string_view message, std::string_view detail) {
  line(what == "send" ? from : to, what,
       fmt::format("\"id\":{},\"from\":{},\"to\":{},\"message\":\"{}\"{}", id, from, to, message,
                   detail.empty() ? std::string() : ",\"detail\":" + json_string(std::string(detail))));
}

void TraceLines::start(uint32_t process, const std::string& input) {
  line(process, "start", "\"input\":" + json_string(input));
}
void TraceLines::send(uint64_t id, uint32_t from, uint32_t to, std::string_view message,
                      std::string_view detail) {
  flight("send", id, from, to, message, detail);
}
void TraceLines::deliver(uint64_t id, uint32_t from, uint32_t to, std::string_view message) {
  flight("deliver", id, from, to, message, "");
}
void TraceLines::lost(uint64_t id, uint32_t from, uint32_t to, std::string_view message) {
  flight("lost", id, from, to, message, "");
}
void TraceLines::crash(uint32_t process) { line(process, "crash", ""); }
void TraceLines::output(uint32_t process, const std::string& value) {
  line(process, "output", "\"value\":" + json_string(value));
}
void TraceLines::clock(uint32_t process) { line(process, "clock", ""); }
void TraceLines::note(uint32_t process, std::string_view phase, const std::string& text) {
  line(process, "note", fmt::format("\"phase\":\"{}\",\"text\":{}", phase, json_string(text)));
}

std::string TraceLines::json() const {
  std::string out;
  for (const std::string& l : lines_) out += (out.empty() ? "" : ",") + l;
  return "[" + out + "]";
}

}  // namespace decree::lab
