// decree-load: a worked example of the C++ client, and what ./dev demo loads with.
//
//   decree-load put    --endpoints LIST --rate N FILE --acknowledged OUT
//   decree-load verify --endpoints LIST OUT
//
// FILE has a key, a tab and a value per line. `put` starts so many writes a second whatever the cluster does,
// and writes down what became of each: "ok" (acknowledged) or "unknown" (sent, but nobody said what became of
// it). It never sends a write of unknown outcome again. `verify` reads everything back and compares.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/endpoint.h"
#include "client/etcd_client.h"
#include "etcd/rpc.pb.h"

namespace {

using namespace decree;  // NOLINT(google-build-using-namespace): an example of one file
using std::chrono::steady_clock;

struct Line {
  std::string key;
  std::string value;
};

bool read_lines(const std::string& path, std::vector<Line>* lines) {
  std::ifstream in(path);
  for (std::string text; std::getline(in, text);) {
    const size_t tab = text.find('\t');
    if (tab == std::string::npos || tab == 0) continue;
    lines->push_back({text.substr(0, tab), text.substr(tab + 1)});
  }
  return !lines->empty();
}

class Loader {
 public:
  Loader(std::vector<net::HostPort> endpoints, std::ofstream& journal)
      : client_(loop_, std::move(endpoints)), journal_(journal) {}

  void run(const std::vector<Line>& lines, double rate) {
    const auto begin = steady_clock::now();
    auto next_report = begin + std::chrono::seconds(1);
    while (ended_ < lines.size()) {
      const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
      while (started_ < lines.size() && static_cast<double>(started_) < seconds * rate &&
             started_ - ended_ < open_max)
        start(lines[started_++]);
      loop_.wait(std::chrono::milliseconds(1));
      loop_.flush();
      if (steady_clock::now() >= next_report) {
        next_report += std::chrono::seconds(1);
        fmt::print("  {:6d} of {} acknowledged\n", acknowledged_, lines.size());
        std::fflush(stdout);
      }
    }
  }

  void report() const {
    fmt::print("{} acknowledged, {} of unknown outcome, {} refused\n", acknowledged_, unknown_, refused_);
    fmt::print("longest time without an acknowledged write: {:.0f} ms\n",
               std::chrono::duration<double, std::milli>(longest_gap_).count());
    if (!last_problem_.empty()) fmt::print("last problem a write met: {}\n", last_problem_);
  }
  bool clean() const { return refused_ == 0; }

 private:
  static constexpr size_t open_max = 10000;

  void start(const Line& line) {
    etcdserverpb::PutRequest request;
    request.set_key(line.key);
    request.set_value(line.value);
    client_.call({"/etcdserverpb.KV/Put",
                  request.SerializeAsString(),
                  client::CallKind::change,
                  std::chrono::seconds(10),
                  {}},
                 [this, &line](const client::CallResult& result) { done(line, result); });
  }

  void done(const Line& line, const client::CallResult& result) {
    ++ended_;
    if (!result.status.ok()) {
      last_problem_ = result.status.message;
      const bool unknown = result.status.fate == client::Fate::unknown;
      ++(unknown ? unknown_ : refused_);
      if (unknown) journal_ << "unknown\t" << line.key << '\t' << line.value << '\n';
      return;
    }
    const auto now = steady_clock::now();
    if (acknowledged_++ != 0) longest_gap_ = std::max(longest_gap_, now - last_);
    last_ = now;
    journal_ << "ok\t" << line.key << '\t' << line.value << '\n';
  }

  net::EventLoop loop_;
  client::Client client_;
  std::ofstream& journal_;
  size_t started_ = 0;
  size_t ended_ = 0;
  size_t acknowledged_ = 0;
  size_t unknown_ = 0;
  size_t refused_ = 0;
  steady_clock::time_point last_;
  steady_clock::duration longest_gap_{};
  std::string last_problem_;
};

int verify(std::vector<net::HostPort> endpoints, const std::string& journal) {
  std::map<std::string, std::pair<bool, std::string>> expected;  // key -> acknowledged, value
  std::string prefix;
  std::ifstream in(journal);
  for (std::string text; std::getline(in, text);) {
    const size_t first = text.find('\t');
    const size_t second = text.find('\t', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    expected[text.substr(first + 1, second - first - 1)] = {text.substr(0, first) == "ok",
                                                            text.substr(second + 1)};
  }
  client::EtcdClient client(std::move(endpoints), std::chrono::seconds(10));
  std::map<std::string, std::string> found;
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  request.set_limit(5000);
  for (bool more = true; more;) {
    const auto page = client.range(request);
    if (!page.ok()) {
      fmt::print(stderr, "reading back failed: {}\n", page.status.message);
      return 1;
    }
    for (const auto& kv : page.value.kvs()) found[kv.key()] = kv.value();
    more = page.value.more() && !page.value.kvs().empty();
    if (more) request.set_key(page.value.kvs().rbegin()->key() + std::string(1, '\0'));
    request.set_revision(page.value.header().revision());
  }
  size_t right = 0, lost = 0, wrong = 0, happened = 0, did_not = 0;
  for (const auto& [key, what] : expected) {
    const auto it = found.find(key);
    if (!what.first) {
      ++(it != found.end() ? happened : did_not);
    } else if (it == found.end()) {
      ++lost;
      if (lost < 5) fmt::print("LOST: {}\n", key);
    } else {
      ++(it->second == what.second ? right : wrong);
    }
  }
  fmt::print(
      "{} keys read back: {} acknowledged and right, {} LOST, {} WRONG; of unknown outcome: {} there, {} "
      "not\n",
      found.size(), right, lost, wrong, happened, did_not);
  return lost == 0 && wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Loads keys into a cluster, keeps a journal of what was acknowledged, and checks it."};
  app.require_subcommand(1);
  std::string endpoints = "127.0.0.1:2379";
  std::string input;
  std::string journal;
  double rate = 10000;
  CLI::App* put = app.add_subcommand("put", "load FILE");
  put->add_option("FILE", input, "a key, a tab, a value per line")->required();
  put->add_option("--acknowledged", journal, "journal to write")->required();
  put->add_option("--rate", rate, "writes a second");
  CLI::App* check = app.add_subcommand("verify", "compare the store with a journal");
  check->add_option("JOURNAL", journal, "what `put` wrote")->required();
  for (CLI::App* command : {put, check})
    command->add_option("--endpoints", endpoints, "members, comma-separated");
  CLI11_PARSE(app, argc, argv);

  auto parsed = client::parse_endpoints(endpoints);
  if (!parsed) {
    fmt::print(stderr, "decree-load: {}\n", parsed.error().message);
    return 2;
  }
  if (check->parsed()) return verify(std::move(parsed).value(), journal);
  std::vector<Line> lines;
  if (!read_lines(input, &lines)) {
    fmt::print(stderr, "decree-load: {} has no line with a tab in it\n", input);
    return 2;
  }
  std::ofstream out(journal);
  Loader loader(std::move(parsed).value(), out);
  loader.run(lines, rate);
  loader.report();
  return loader.clean() && out.flush() ? 0 : 1;
}
