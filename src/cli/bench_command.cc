// bench.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/bench_report.h"
#include "cli/context.h"
#include "cli/flag_checks.h"
#include "cli/text.h"
#include "client/load.h"
#include "client/load_requests.h"

namespace decree::cli {

namespace {

using client::LoadOptions;

constexpr size_t closed_loop_clients = 64;
constexpr size_t open_loop_clients = 10'000;

struct BenchFlags {
  LoadOptions options;
  size_t clients = 0;
  size_t connections = 0;
  std::string duration = "10s";
  std::string warmup = "1s";
  std::string request_timeout = "10s";
  std::string connect_timeout = "5s";
  std::string target = "all";
  std::string order = "random";
  int read_percent = 90;
};

std::chrono::milliseconds duration_flag(const char* name, const std::string& text) {
  Result<std::chrono::milliseconds> parsed = parse_duration(text);
  if (!parsed) throw UsageError{std::string(name) + ": " + parsed.error().message};
  return *parsed;
}

LoadOptions load_options(const Context& context, const BenchFlags& flags) {
  LoadOptions options = flags.options;
  options.endpoints = context.endpoints();
  const bool open = options.rate_per_second > 0;
  options.clients = flags.clients != 0 ? flags.clients : (open ? open_loop_clients : closed_loop_clients);
  // A connection carries many requests; every endpoint gets at least one.
  const size_t usual = std::max<size_t>(std::min<size_t>(options.clients, 10), options.endpoints.size());
  options.connections = flags.connections != 0 ? flags.connections : usual;
  options.duration = duration_flag("--duration", flags.duration);
  options.warmup = duration_flag("--warmup", flags.warmup);
  options.request_timeout = duration_flag("--request-timeout", flags.request_timeout);
  options.connect_timeout = duration_flag("--connect-timeout", flags.connect_timeout);
  options.random_keys = flags.order == "random";
  options.read_share = flags.read_percent / 100.0;
  if (options.duration.count() == 0) throw UsageError{"--duration must be more than nothing"};
  if (!client::LoadRequests::fits(options.key_prefix, options.key_bytes,
                                  std::max(options.keys, options.prefill))) {
    throw UsageError{fmt::format("--key-size {} has no room for the prefix \"{}\" and the number of {} keys",
                                 options.key_bytes, printable(options.key_prefix),
                                 std::max(options.keys, options.prefill))};
  }
  return options;
}

// Only the endpoint that leads now.
Result<std::vector<net::HostPort>> leader_only(const Context& context, std::vector<net::HostPort> endpoints) {
  client::EtcdClient client(endpoints, context.timeout());
  const auto answers = client.status_of_all();
  for (size_t i = 0; i < answers.size(); ++i) {
    const etcdserverpb::StatusResponse& status = answers[i].value;
    if (answers[i].ok() && status.leader() != 0 && status.leader() == status.header().member_id()) {
      return std::vector<net::HostPort>{endpoints[i]};
    }
  }
  return Error{ErrorCode::unavailable,
               "no endpoint says that it leads; name all members in --endpoints or use --target all"};
}

void show_progress(const Context& context, const client::LoadProgress& p) {
  std::string line = fmt::format("{:<8} {:6.1f} s", p.phase, p.elapsed_seconds);
  if (p.phase_seconds > 0) line += fmt::format(" of {:.0f}", p.phase_seconds);
  line += fmt::format("  {:10.0f}/s  {} done", p.per_second, p.ok);
  if (p.failed > 0) line += fmt::format("  {} failed", p.failed);
  context.err << '\r' << line << "\x1b[K" << std::flush;
}

int do_bench(const Context& context, const BenchFlags& flags) {
  LoadOptions options = load_options(context, flags);
  if (flags.target == "leader") {
    Result<std::vector<net::HostPort>> found = leader_only(context, options.endpoints);
    if (!found) {
      context.err << "decree: bench: " << found.error().message << '\n';
      return exit_unavailable;
    }
    options.endpoints = std::move(found).value();
  }
  std::function<void(const client::LoadProgress&)> progress;
  const bool shown = context.err_is_terminal;
  if (shown) progress = [&context](const client::LoadProgress& p) { show_progress(context, p); };
  Result<client::LoadReport> report = client::run_load(options, progress);
  if (shown) context.err << "\r\x1b[K" << std::flush;
  if (!report) {
    context.err << "decree: bench: " << printable(report.error().message) << '\n';
    return exit_unavailable;
  }
  context.out << (context.json() ? bench_json(options, *report) + "\n" : bench_text(options, *report));
  return report->counts.ok == 0 ? exit_unavailable : exit_ok;
}

void add_load_flags(CLI::App& command, BenchFlags& flags) {
  LoadOptions& o = flags.options;
  command
      .add_option("--clients", flags.clients,
                  "closed loop: requests under way (64); open loop: the most that may be (10000)")
      ->check(whole_number(1, 1'000'000));
  command
      .add_option("--connections", flags.connections,
                  "spread over the endpoints (at most 10, at least one each)")
      ->check(whole_number(1, 20'000));
  command
      .add_option("--rate", o.rate_per_second,
                  "open loop: begin so many requests a second, whatever the answers do; latency counts from "
                  "the planned moment")
      ->check(CLI::PositiveNumber);
  command.add_option("--duration", flags.duration, "how long to measure")->default_str("10s");
  command.add_option("--warmup", flags.warmup, "load before the measuring begins")->default_str("1s");
  command.add_option("--total", o.total, "end after so many successes, or after --duration")
      ->check(whole_number(0));
  command.add_option("--prefill", o.prefill, "first put the keys 0..N-1")->check(whole_number(0));
  command.add_option("--keys", o.keys, "different keys")->check(whole_number(1))->default_str("10000");
  command.add_option("--order", flags.order, "of keys: random or sequential")
      ->check(CLI::IsMember({"random", "sequential"}))
      ->default_str("random");
  command.add_option("--seed", o.seed, "of random keys and values")->default_str("1");
  command.add_option("--key-prefix", o.key_prefix, "beginning of every key")->default_str("bench/");
  command.add_option("--key-size", o.key_bytes, "bytes, prefix included")
      ->check(whole_number(1, 4096))
      ->default_str("21");
  command.add_option("--value-size", o.value_bytes, "bytes")
      ->check(whole_number(0, 1 << 20))
      ->default_str("256");
  command
      .add_option("--target", flags.target,
                  "all: spread over --endpoints; leader: only the one that leads at the start")
      ->check(CLI::IsMember({"all", "leader"}))
      ->default_str("all");
  command.add_option("--request-timeout", flags.request_timeout, "then a request counts as failed")
      ->default_str("10s");
  command.add_option("--connect-timeout", flags.connect_timeout, "how long to wait for a first connection")
      ->default_str("5s");
  command
      .add_option("--pids", o.pids,
                  "process ids of the servers: reports their CPU per request and their memory")
      ->delimiter(',');
}

void add_load(CLI::App& bench, Context& context, const char* name, const char* what) {
  CLI::App* command = bench.add_subcommand(name, what);
  auto flags = std::make_shared<BenchFlags>();
  const std::string_view kind = name;
  if (kind == "range") flags->options.op = client::LoadOp::range;
  if (kind == "txn") flags->options.op = client::LoadOp::txn;
  flags->options.mixed = kind == "mixed";
  add_load_flags(*command, *flags);
  if (kind == "range" || kind == "mixed") {
    command->add_flag("--serializable", flags->options.serializable,
                      "reads from the member asked, without asking the others");
  }
  if (kind == "mixed") {
    command->add_option("--read-percent", flags->read_percent, "share of reads")
        ->check(whole_number(0, 100))
        ->default_str("90");
  }
  command->footer(fmt::format(
      "Examples:\n"
      "  decree bench {0} --clients 256 --duration 10s\n"
      "  decree bench {0} --rate 5000 --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379\n"
      "  decree bench {0} --prefill 10000 --clients 64 -w json --pids $(pgrep -d, decreed)",
      name));
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return do_bench(context, *flags); }; });
}

}  // namespace

void add_bench_command(CLI::App& program, Context& context) {
  CLI::App* bench =
      program.add_subcommand("bench", "Generate load and measure it (any server of the etcd v3 API)");
  bench->require_subcommand(1);
  add_load(*bench, context, "put", "Puts");
  add_load(*bench, context, "range", "Reads of single keys, linearizable unless --serializable");
  add_load(*bench, context, "txn", "Compare-and-swap: if mod(key) is what was read last then put, else get");
  add_load(*bench, context, "mixed", "Reads and puts");
  bench->footer(
      "Latency is measured in a histogram that is exact to 1 %; an open loop counts it from the planned\n"
      "moment, so that a stalled server cannot hide behind a stalled client. --timeout does not apply here.\n"
      "\n"
      "Examples:\n"
      "  decree bench put --clients 256\n"
      "  decree bench range --prefill 10000 --clients 64 --serializable\n"
      "  decree bench txn --prefill 10000 --clients 64\n"
      "  decree bench mixed --prefill 10000 --rate 2000 -w json");
}

}  // namespace decree::cli
