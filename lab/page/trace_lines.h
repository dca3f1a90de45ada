// Lines in the words of `synod --json`, for worlds that are not a synod run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace decree::lab {

class TraceLines {
 public:
  // Everything that follows happens at this time.
  void at(uint64_t time) { time_ = time; }
  void start(uint32_t process, const std::string& input);
  void send(uint64_t id, uint32_t from, uint32_t to, std::string_view message, std::string_view detail);
  void deliver(uint64_t id, uint32_t from, uint32_t to, std::string_view message);
  void lost(uint64_t id, uint32_t from, uint32_t to, std::string_view message);
  void crash(uint32_t process);
  void output(uint32_t process, const std::string& value);
  void clock(uint32_t process);
  // phase: "ELECTION", "BILL", "LAW", "FAULT", "POINT", "ROUND". Process 0: nobody in particular.
  void note(uint32_t process, std::string_view phase, const std::string& text);
  std::string json() const;  // an array

 private:
  void line(uint32_t process, std::string_view what, const std::string& fields);
  void flight(std::string_view what, uint64_t id, uint32_t from, uint32_t to, std::string_view message,
              std::string_view detail);

  uint64_t time_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace decree::lab
