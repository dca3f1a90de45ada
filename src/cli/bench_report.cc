#include "cli/bench_report.h"

#include <fmt/format.h>

#include "cli/text.h"

namespace decree::cli {

namespace {

using client::Histogram;
using client::LoadOptions;
using client::LoadReport;

double ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : printable(text)) {  // printable() leaves valid UTF-8 without control characters
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

const char* name_of(const LoadOptions& options) {
  return options.mixed ? "mixed" : client::load_op_name(options.op);
}

std::string latency_json(const Histogram& h) {
  return fmt::format(
      R"({{"count":{},"mean":{:.4f},"p50":{:.4f},"p90":{:.4f},"p99":{:.4f},"p99.9":{:.4f},"max":{:.4f}}})",
      h.count(), h.mean() / 1e6, ms(h.percentile(0.5)), ms(h.percentile(0.9)), ms(h.percentile(0.99)),
      ms(h.percentile(0.999)), ms(h.max()));
}

std::string latency_text(const Histogram& h) {
  return fmt::format("p50 {:.3f}  p90 {:.3f}  p99 {:.3f}  p99.9 {:.3f}  max {:.3f} ms", ms(h.percentile(0.5)),
                     ms(h.percentile(0.9)), ms(h.percentile(0.99)), ms(h.percentile(0.999)), ms(h.max()));
}

std::string counts_json(const std::map<std::string, uint64_t>& counts) {
  std::string out = "{";
  for (const auto& [name, count] : counts)
    out += fmt::format("{}{}:{}", out.size() > 1 ? "," : "", json_text(name), count);
  return out + "}";
}

std::string gaps_json(const LoadReport& report) {
  std::string out = "[";
  for (const LoadReport::Gap& gap : report.gaps) {
    out += fmt::format(R"({}{{"at_ms":{:.3f},"length_ms":{:.3f}}})", out.size() > 1 ? "," : "", gap.at_ms,
                       gap.length_ms);
  }
  return out + "]";
}

std::string servers_json(const LoadReport& report) {
  std::string out = "[";
  for (const client::ServerUsage& server : report.servers) {
    if (out.size() > 1) out += ",";
    out += fmt::format(R"({{"pid":{})", server.pid);
    if (server.cpu_seconds) out += fmt::format(R"(,"cpu_seconds":{:.3f})", *server.cpu_seconds);
    if (server.at_the_end) {
      out += fmt::format(R"(,"rss_bytes":{},"anonymous_bytes":{},"peak_rss_bytes":{})",
                         server.at_the_end->rss_bytes, server.at_the_end->anonymous_bytes,
                         server.at_the_end->peak_rss_bytes);
    }
    out += "}";
  }
  return out + "]";
}

double per_request_us(double seconds, const LoadReport& report) {
  return report.counts.ok == 0 ? 0 : seconds * 1e6 / static_cast<double>(report.counts.ok);
}

}  // namespace

std::string bench_json(const LoadOptions& options, const LoadReport& report) {
  std::string endpoints;
  for (const net::HostPort& endpoint : options.endpoints)
    endpoints += (endpoints.empty() ? "" : ",") + json_text(net::to_string(endpoint));
  std::string out =
      fmt::format(R"({{"op":"{}","loop":"{}","clients":{},"connections":{},"rate":{},"serializable":{},)"
                  R"("key_bytes":{},"value_bytes":{},"keys":{},"endpoints":[{}])",
                  name_of(options), options.rate_per_second > 0 ? "open" : "closed", options.clients,
                  options.connections, options.rate_per_second, options.serializable, options.key_bytes,
                  options.value_bytes, options.keys, endpoints);
  out += fmt::format(R"(,"seconds":{:.4f},"requests":{},"throughput":{:.2f},"failed":{},"compare_failed":{},)"
                     R"("empty":{},"unknown_outcomes":{},"never_sent":{})",
                     report.seconds, report.counts.ok, report.throughput(), report.counts.failed,
                     report.counts.compare_failed, report.counts.empty, report.unknown_outcomes,
                     report.never_sent);
  out += ",\"latency_ms\":" + latency_json(report.latency_ns);
  if (options.mixed) {
    for (const client::LoadOp op : {client::LoadOp::put, client::LoadOp::range}) {
      out += fmt::format(",\"latency_ms_{}\":{}", client::load_op_name(op),
                         latency_json(report.latency_ns_by_op[static_cast<size_t>(op)]));
    }
  }
  out += fmt::format(R"(,"longest_gap_ms":{:.3f},"longest_gap_at_ms":{:.3f},"first_success_ms":{:.3f})",
                     report.longest_gap_ms, report.longest_gap_at_ms, report.first_success_ms);
  out += fmt::format(R"(,"started_unix_s":{:.6f},"gaps":{})", report.started_unix_s, gaps_json(report));
  out += ",\"errors\":" + counts_json(report.errors_by_code) +
         ",\"error_texts\":" + counts_json(report.error_texts);
  out += fmt::format(R"(,"prefilled":{},"prefill_seconds":{:.3f},"generator_cpu_us_per_request":{:.3f})",
                     report.prefilled, report.prefill_seconds,
                     per_request_us(report.generator_cpu_seconds, report));
  if (const auto cpu = report.server_cpu_seconds()) {
    out += fmt::format(R"(,"server_cpu_seconds":{:.3f},"server_cpu_us_per_request":{:.3f})", *cpu,
                       per_request_us(*cpu, report));
  }
  out += ",\"servers\":" + servers_json(report);
  return out + "}";
}

std::string bench_text(const LoadOptions& options, const LoadReport& report) {
  std::string out;
  if (report.prefilled > 0) {
    out +=
        fmt::format("prefilled    {} keys in {:.1f} s ({:.0f}/s)\n", report.prefilled, report.prefill_seconds,
                    static_cast<double>(report.prefilled) / report.prefill_seconds);
  }
  out += fmt::format("{:<12} {} in {:.2f} s, {} failed\n", name_of(options), report.counts.ok, report.seconds,
                     report.counts.failed);
  out += fmt::format("throughput   {:.1f}/s ({} loop, {} clients, {} connections", report.throughput(),
                     options.rate_per_second > 0 ? "open" : "closed", options.clients, options.connections);
  if (options.rate_per_second > 0) out += fmt::format(", {:.0f}/s wanted", options.rate_per_second);
  out += ")\nlatency      " + latency_text(report.latency_ns) + "\n";
  if (options.mixed) {
    for (const client::LoadOp op : {client::LoadOp::range, client::LoadOp::put}) {
      const auto i = static_cast<size_t>(op);
      out += fmt::format("  {:<10} {}  ({})\n", client::load_op_name(op),
                         latency_text(report.latency_ns_by_op[i]), report.ok_by_op[i]);
    }
  }
  if (report.counts.compare_failed > 0)
    out += fmt::format("conditions   {} did not hold\n", report.counts.compare_failed);
  if (report.counts.empty > 0)
    out += fmt::format("empty        {} answers without a key; see --prefill\n", report.counts.empty);
  if (report.never_sent > 0)
    out += fmt::format("never sent   {} moments found no free place; see --clients\n", report.never_sent);
  out += fmt::format("longest gap  {:.1f} ms without a success, from {:.1f} ms on\n", report.longest_gap_ms,
                     report.longest_gap_at_ms);
  for (const auto& [code, count] : report.errors_by_code)
    out += fmt::format("error        {} {}\n", count, code);
  for (const auto& [text, count] : report.error_texts)
    out += fmt::format("             {} {}\n", count, printable(text));
  if (report.unknown_outcomes > 0)
    out += fmt::format("unknown      {} changes may or may not have been done\n", report.unknown_outcomes);
  if (const auto cpu = report.server_cpu_seconds()) {
    out += fmt::format("server CPU   {:.1f} us a request, {:.2f} s in all\n", per_request_us(*cpu, report),
                       *cpu);
  }
  for (const client::ServerUsage& server : report.servers) {
    if (!server.at_the_end) {
      out += fmt::format("  pid {:<7} gone\n", server.pid);
      continue;
    }
    out += fmt::format("  pid {:<7} CPU {:.2f} s  memory {} (anonymous {})\n", server.pid,
                       server.cpu_seconds.value_or(0),
                       human_bytes(static_cast<int64_t>(server.at_the_end->rss_bytes)),
                       human_bytes(static_cast<int64_t>(server.at_the_end->anonymous_bytes)));
  }
  out += fmt::format("generator    {:.2f} us CPU a request\n",
                     per_request_us(report.generator_cpu_seconds, report));
  return out;
}

}  // namespace decree::cli
