#include "server/flag_values.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include "server/flag_table.h"
#include "server/version.h"

namespace decree::server {

Error invalid(std::string sentence) { return Error{ErrorCode::invalid, std::move(sentence)}; }

namespace {

std::string environment_name(const std::string& prefix, std::string flag) {
  for (char& c : flag) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return prefix + flag;
}

bool one_of(const std::string& value, const std::string& list) {
  std::stringstream all(list);
  for (std::string item; std::getline(all, item, '|');)
    if (value == item) return true;
  return false;
}

// A flag that is not ours to take, with the place it was found.
Result<void> check_support(const FlagSpec& spec, const std::string& value, const std::string& where) {
  if (spec.support == FlagSupport::no)
    return invalid(fmt::format("{} is not supported: {}", where, spec.text));
  if (spec.support == FlagSupport::fixed && !one_of(value, spec.standard))
    return invalid(fmt::format("{}={} is not supported: {}", where, value, spec.text));
  return {};
}

std::string trimmed(std::string text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && space(text.back())) text.pop_back();
  size_t from = 0;
  while (from < text.size() && space(text[from])) ++from;
  return text.substr(from);
}

std::string help_text() {
  std::string out =
      "decreed: a replicated key-value store that speaks the etcd v3 API, on Paxos\n\n"
      "usage: decreed [flags]; every flag also as DECREE_<FLAG> or ETCD_<FLAG> in the environment\n\n";
  for (const FlagSpec& spec : flag_table()) {
    if (spec.support != FlagSupport::yes) continue;
    const std::string standard = spec.standard[0] == '\0' ? "" : fmt::format(" [{}]", spec.standard);
    out += fmt::format("  --{:<28} {}{}\n", spec.name, spec.text, standard);
  }
  out +=
      "  --version                      print the version\n  --help                         print this\n\n"
      "example, one member on loopback:   decreed\n"
      "docs/operations.md explains ports, files, limits, exit codes and every refusal.\n";
  return out;
}

// Unknown words are named one by one; CLI11's own message would not say what to do.
Result<void> parse_arguments(const std::vector<std::string>& arguments,
                             std::map<std::string, std::string>* found, std::string* print) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  bool help = false;
  bool version = false;
  app.add_flag("--help,-h", help);
  app.add_flag("--version", version);
  std::map<std::string, std::vector<std::string>> raw;
  for (const FlagSpec& spec : flag_table()) {
    const std::string flag = std::string("--") + spec.name;
    std::vector<std::string>& slot = raw[spec.name];
    if (spec.is_switch)
      app.add_flag(flag, slot)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    else
      app.add_option(flag, slot)
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->allow_extra_args(false);
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& problem) {
    return invalid(fmt::format("{}; `decreed --help` lists the flags", problem.what()));
  }
  if (help) *print = help_text();
  if (version) *print = fmt::format("decreed {}\netcd API {}\n", kRelease, kEtcdVersion);
  const std::vector<std::string> extras = app.remaining();
  if (!extras.empty()) {
    if (extras.front().rfind("--experimental-", 0) == 0)
      return invalid(
          fmt::format("{} is not supported: etcd's experimental flags have no meaning here", extras.front()));
    return invalid(
        fmt::format("unknown flag or word `{}`; `decreed --help` lists the flags", extras.front()));
  }
  for (const auto& [name, given] : raw) {
    if (given.empty()) continue;
    const std::vector<std::string>& values = given;  // a lambda captures no structured binding
    if (std::any_of(values.begin(), values.end(), [&](const std::string& v) { return v != values.front(); }))
      return invalid(fmt::format("--{} is given twice with different values: {} and {}", name, values.front(),
                                 values.back()));
    (*found)[name] = values.front();
  }
  return {};
}

Result<std::map<std::string, std::string>> read_config_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return invalid(fmt::format("--config-file {} cannot be read", path));
  std::stringstream text;
  text << file.rdbuf();
  return parse_config_file(text.str(), path);
}

}  // namespace

Result<std::map<std::string, std::string>> parse_config_file(const std::string& text,
                                                             const std::string& path) {
  std::map<std::string, std::string> values;
  std::stringstream lines(text);
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const bool indented = !line.empty() && (line[0] == ' ' || line[0] == '\t');
    line = trimmed(line);
    if (line.empty() || line[0] == '#' || line == "---") continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos || indented)
      return invalid(fmt::format(
          "{} line {}: only `flag: value` lines are understood (sections, such as TLS ones, are not "
          "supported yet)",
          path, number));
    const std::string key = trimmed(line.substr(0, colon));
    std::string value = trimmed(line.substr(colon + 1));
    const char quote = value.empty() ? '\0' : value[0];
    if (quote == '"' || quote == '\'') {
      const size_t end = value.find(quote, 1);
      if (end == std::string::npos)
        return invalid(fmt::format("{} line {}: the quotation is not closed", path, number));
      value = value.substr(1, end - 1);
    } else if (const size_t comment = value.find(" #"); comment != std::string::npos) {
      value = trimmed(value.substr(0, comment));
    }
    if (find_flag(key) == nullptr)
      return invalid(fmt::format("{} line {}: unknown flag `{}`", path, number, key));
    if (key == "config-file")
      return invalid(fmt::format("{} line {}: a file cannot name another", path, number));
    if (!values.emplace(key, value).second)
      return invalid(fmt::format("{} line {}: {} is given twice", path, number, key));
  }
  return values;
}

Result<FlagValues> collect_flags(const std::vector<std::string>& arguments, const Environment& environment) {
  FlagValues out;
  std::map<std::string, std::string> typed;
  Result<void> parsed = parse_arguments(arguments, &typed, &out.print);
  if (!parsed) return parsed.error();
  if (!out.print.empty()) return out;
  for (const auto& [name, value] : typed) {
    Result<void> supported = check_support(*find_flag(name), value, "--" + name);
    if (!supported) return supported.error();
    out.values[name] = value;
    out.given.insert(name);
  }
  for (const FlagSpec& spec : flag_table()) {
    if (out.given.count(spec.name) != 0) continue;
    for (const char* prefix : {"DECREE_", "ETCD_"}) {
      const std::string variable = environment_name(prefix, spec.name);
      const std::optional<std::string> value = environment(variable);
      if (!value || value->empty()) continue;
      Result<void> supported = check_support(spec, *value, variable);
      if (!supported) return supported.error();
      out.values[spec.name] = *value;
      out.given.insert(spec.name);
      out.notes.push_back(fmt::format("taken from the environment variable={} value={}", variable, *value));
      break;
    }
  }
  if (out.given.count("config-file") != 0) {
    const std::string path = out.values["config-file"];
    Result<std::map<std::string, std::string>> file = read_config_file(path);
    if (!file) return file.error();
    for (const auto& [name, value] : *file) {
      if (value.empty()) continue;
      Result<void> supported = check_support(*find_flag(name), value, path + ": " + name);
      if (!supported) return supported.error();
      if (out.given.insert(name).second) out.values[name] = value;
    }
  }
  for (const FlagSpec& spec : flag_table())
    if (spec.support == FlagSupport::yes) out.values.emplace(spec.name, spec.standard);
  return out;
}

}  // namespace decree::server
