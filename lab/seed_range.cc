#include "lab/seed_range.h"

#include <charconv>

namespace decree::lab {

bool parse_range(const std::string& text, uint64_t* first, uint64_t* last) {
  const size_t dots = text.find("..");
  const std::string a = text.substr(0, dots);
  const std::string b = dots == std::string::npos ? a : text.substr(dots + 2);
  const auto number = [](const std::string& t, uint64_t* out) {
    const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), *out);
    return error == std::errc() && end == t.data() + t.size() && !t.empty();
  };
  return number(a, first) && number(b, last) && *first <= *last;
}

}  // namespace decree::lab
