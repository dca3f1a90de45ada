#include "lab/ledger.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "lab/commands.h"

namespace decree::lab {

void append_ledger(const std::string& file, const LedgerLine& line, const RunStatistics& t) {
  std::string kinds;
  uint64_t faults = 0;
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
    if (t.faults[kind] == 0) continue;
    faults += t.faults[kind];
    kinds += fmt::format("{}\"{}\":{}", kinds.empty() ? "" : ",", fault_name(static_cast<FaultKind>(kind)),
                         t.faults[kind]);
  }
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const char* commit = std::getenv("DECREE_COMMIT");
  std::ofstream out(file, std::ios::app);
  out << fmt::format(
      "{{\"commit\":\"{}\",\"unix\":{},\"what\":\"{}\",\"first_seed\":{},\"seeds\":{},\"simulated_s\":{},"
      "\"operations\":{},\"unknown\":{},\"slots\":{},\"faults\":{},\"by_kind\":{{{}}},\"lost\":{},"
      "\"doubled\":{},"
      "\"delayed\":{},\"halted\":{},\"markers\":{},\"markers_hit\":{},\"cpu_s\":{:.0f},\"failures\":{}}}\n",
      commit != nullptr ? commit : "", now, line.what, line.first_seed, line.seeds,
      t.simulated_us / 1'000'000, t.operations, t.unknown, t.slots, faults, kinds, t.lost, t.duplicated,
      t.straggled, t.halted_runs, line.markers, line.markers_hit, line.cpu_seconds, line.failures);
}

namespace {

// The number behind "name": in a line of ours; 0 when it is not there.
uint64_t number_of(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  return at == std::string::npos ? 0 : std::strtoull(line.c_str() + at + name.size() + 3, nullptr, 10);
}

struct Totals {
  uint64_t campaigns = 0;
  std::map<std::string, uint64_t> sums;
  std::map<std::string, uint64_t> kinds;
};

constexpr const char* kSums[] = {"seeds",   "simulated_s", "operations", "slots", "faults",  "lost",
                                 "doubled", "delayed",     "halted",     "cpu_s", "failures"};

void add_line(const std::string& line, Totals* t) {
  if (line.empty()) return;
  ++t->campaigns;
  for (const char* name : kSums) t->sums[name] += number_of(line, name);
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
    const std::string name = fault_name(static_cast<FaultKind>(kind));
    t->kinds[name] += number_of(line, name);
  }
}

std::string tell(const Totals& t) {
  const auto sum = [&t](const char* name) { return t.sums.at(name); };
  std::string kinds;
  uint64_t different = 0;
  for (const auto& [name, count] : t.kinds) {
    if (count == 0) continue;
    ++different;
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", name, count);
  }
  return fmt::format(
      "| campaigns | seeds | simulated | client operations checked | faults | messages lost, doubled, "
      "delayed | "
      "CPU | failures found |\n|---|---|---|---|---|---|---|---|\n"
      "| {} | {} | {:.1f} days | {} | {} of {} kinds | {} | {:.1f} h | {} |\n\nFaults: {}.\n",
      t.campaigns, sum("seeds"), static_cast<double>(sum("simulated_s")) / 86400, sum("operations"),
      sum("faults"), different, sum("lost") + sum("doubled") + sum("delayed"),
      static_cast<double>(sum("cpu_s")) / 3600, sum("failures"), kinds);
}

int put_into(const std::string& readme, const std::string& text) {
  constexpr const char* kBegin = "<!-- ledger -->\n";
  constexpr const char* kEnd = "<!-- end of ledger -->";
  std::ifstream in(readme);
  std::stringstream whole;
  whole << in.rdbuf();
  std::string page = whole.str();
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    std::cerr << fmt::format("decree-lab: {} has no place between '<!-- ledger -->' and '{}'\n", readme,
                             kEnd);
    return 2;
  }
  const size_t from = begin + std::string(kBegin).size();
  page.replace(from, end - from, text);
  std::ofstream(readme) << page;
  return 0;
}

}  // namespace

int ledger_command(const LedgerCommand& command) {
  std::ifstream in(command.file);
  if (!in) {
    std::cerr << fmt::format("decree-lab: {} cannot be read; ./dev sim --minutes 1 begins one\n",
                             command.file);
    return 2;
  }
  Totals totals;
  for (std::string line; std::getline(in, line);) add_line(line, &totals);
  if (totals.campaigns == 0) {
    std::cout << "no campaign yet\n";
    return 0;
  }
  std::cout << tell(totals);
  return command.readme.empty() ? 0 : put_into(command.readme, tell(totals));
}

}  // namespace decree::lab
