#include "server/config.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/format.h>
#include "server/flag_values.h"

namespace decree::server {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t from = 0;
  while (from <= text.size()) {
    const size_t to = std::min(text.find(separator, from), text.size());
    std::string part = text.substr(from, to - from);
    while (!part.empty() && part.front() == ' ') part.erase(0, 1);
    while (!part.empty() && part.back() == ' ') part.pop_back();
    if (!part.empty()) parts.push_back(std::move(part));
    from = to + 1;
  }
  return parts;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

bool is_address(const std::string& host) {
  if (host.find(':') != std::string::npos) return true;
  int dots = 0;
  for (const char c : host) {
    if (c == '.')
      ++dots;
    else if (c < '0' || c > '9')
      return false;
  }
  return dots == 3;
}

// Reads the values one after the other; the first problem wins.
class Reader {
 public:
  explicit Reader(const FlagValues& flags) : flags_(flags) {}

  const std::string& text(const char* flag) const { return flags_.values.at(flag); }
  bool given(const char* flag) const { return flags_.given.count(flag) != 0; }
  const std::optional<Error>& problem() const { return problem_; }
  void fail(std::string sentence) {
    if (!problem_) problem_ = invalid(std::move(sentence));
  }

  int64_t number(const char* flag, int64_t least, int64_t most) {
    const std::string& value = text(flag);
    int64_t out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc() || end != value.data() + value.size() || out < least || out > most) {
      fail(fmt::format("--{}={} is not a whole number from {} to {}", flag, value, least, most));
      return least;
    }
    return out;
  }

  bool boolean(const char* flag) {
    const std::string& value = text(flag);
    if (value == "true" || value == "1") return true;
    if (value != "false" && value != "0") fail(fmt::format("--{}={} is neither true nor false", flag, value));
    return false;
  }

  // http://host:port
  net::HostPort url(const std::string& flag, const std::string& value) {
    const std::string_view scheme = "http://";
    if (value.rfind("https://", 0) == 0) {
      fail(fmt::format("--{}: {} asks for TLS, which is not supported yet; use http:// on a loopback address",
                       flag, value));
      return {};
    }
    if (value.rfind(scheme, 0) != 0) {
      fail(fmt::format("--{}: {} is not a URL of the form http://host:port", flag, value));
      return {};
    }
    std::string rest = value.substr(scheme.size());
    if (!rest.empty() && rest.back() == '/') rest.pop_back();
    if (rest.find_first_of("/?#@") != std::string::npos) {
      fail(
          fmt::format("--{}: {} has a path or user in it; only http://host:port is understood", flag, value));
      return {};
    }
    Result<net::HostPort> parsed = net::parse_host_port(rest);
    if (!parsed || parsed->host.empty()) {
      fail(fmt::format("--{}: {} is not a URL of the form http://host:port", flag, value));
      return {};
    }
    return *parsed;
  }

  std::vector<std::string> urls(const char* flag) {
    std::vector<std::string> out = split(text(flag), ',');
    for (std::string& one : out) {
      const net::HostPort address = url(flag, one);
      if (!address.host.empty() && address.port == 0)
        fail(fmt::format("--{}: {} has no port that others could reach", flag, one));
      if (!one.empty() && one.back() == '/') one.pop_back();
    }
    return out;
  }

  std::vector<net::HostPort> listen(const char* flag, bool insecure, std::vector<std::string>* exposed) {
    std::vector<net::HostPort> out;
    for (const std::string& one : split(text(flag), ',')) {
      const net::HostPort address = url(flag, one);
      if (address.host.empty()) continue;
      if (address.host != "localhost" && !is_address(address.host)) {
        fail(fmt::format("--{}: {} names a host; to listen, give an address such as http://127.0.0.1:{}",
                         flag, one, address.port));
      } else if (!is_loopback(address.host)) {
        if (!insecure)
          fail(
              fmt::format("--{}: {} is not a loopback address, and without TLS everybody who can reach it "
                          "can read and change "
                          "everything; listen on 127.0.0.1, or name the risk with --insecure",
                          flag, one));
        exposed->push_back(one);
      }
      out.push_back(address);
    }
    return out;
  }

 private:
  const FlagValues& flags_;
  std::optional<Error> problem_;
};

// "72" is hours, else 1h30m10s as Go writes it.
std::optional<uint64_t> duration_seconds(const std::string& text) {
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  size_t at = 0;
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    if (text.size() > 7) return std::nullopt;
    return std::stoull(text) * 3600;
  }
  while (at < text.size()) {
    const size_t number_end = text.find_first_not_of("0123456789.", at);
    if (number_end == at || number_end == std::string::npos || number_end - at > 9) return std::nullopt;
    double amount = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + number_end, amount);
    if (error != std::errc() || end != text.data() + number_end) return std::nullopt;
    const size_t unit_end = std::min(text.find_first_of("0123456789.", number_end), text.size());
    const std::string unit = text.substr(number_end, unit_end - number_end);
    if (unit == "h")
      seconds += amount * 3600;
    else if (unit == "m")
      seconds += amount * 60;
    else if (unit == "s")
      seconds += amount;
    else if (unit == "ms")
      seconds += amount / 1000;
    else
      return std::nullopt;
    at = unit_end;
  }
  return static_cast<uint64_t>(seconds);
}

void read_compaction(Reader& r, Config& c) {
  const std::string& mode = r.text("auto-compaction-mode");
  const std::string& retention = r.text("auto-compaction-retention");
  if (mode != "periodic" && mode != "revision")
    r.fail(fmt::format("--auto-compaction-mode={} is neither periodic nor revision", mode));
  if (mode == "revision") {
    c.compaction_revisions = r.number("auto-compaction-retention", 0, INT64_MAX);
    if (c.compaction_revisions > 0) c.compaction_mode = CompactionMode::revision;
    return;
  }
  const std::optional<uint64_t> seconds = duration_seconds(retention);
  if (!seconds)
    r.fail(fmt::format("--auto-compaction-retention={} is not a time such as 8 (hours), 1h30m or 90s",
                       retention));
  c.compaction_seconds = seconds.value_or(0);
  if (c.compaction_seconds > 0) c.compaction_mode = CompactionMode::periodic;
}

void read_limits(Reader& r, Config& c) {
  c.heartbeat_ms = static_cast<uint32_t>(r.number("heartbeat-interval", 10, 10000));
  c.election_ms = static_cast<uint32_t>(r.number("election-timeout", 50, 50000));
  c.takeover_delay_ms = static_cast<uint32_t>(r.number("takeover-delay", 0, 60000));
  const std::string& check_time = r.text("experimental-corrupt-check-time");
  if (!check_time.empty() && !duration_seconds(check_time))
    r.fail(
        fmt::format("--experimental-corrupt-check-time={} is not a time such as 1h30m or 90s", check_time));
  if (!check_time.empty())
    c.notes.push_back(
        fmt::format("--experimental-corrupt-check-time={} changes nothing: members compare digests of their "
                    "history and state all the time",
                    check_time));
  if (c.election_ms < 5 * c.heartbeat_ms)
    r.fail(fmt::format("--election-timeout={} must be at least five times --heartbeat-interval={}",
                       c.election_ms, c.heartbeat_ms));
  c.snapshot_count = static_cast<uint64_t>(r.number("snapshot-count", 1, INT64_MAX));
  // Who names a count means it; the half of the last snapshot's size stays as the lower bound.
  if (r.given("snapshot-count")) c.snapshot_log_bytes = 0;
  if (r.given("snapshot-log-bytes"))
    c.snapshot_log_bytes = static_cast<uint64_t>(r.number("snapshot-log-bytes", 0, INT64_MAX));
  const int64_t quota = r.number("quota-backend-bytes", INT64_MIN, INT64_MAX);
  c.quota_bytes = quota < 0 ? 0 : quota == 0 ? (2ull << 30) : static_cast<uint64_t>(quota);
  c.request_bytes_max = static_cast<uint64_t>(r.number("max-request-bytes", 1, 32 << 20));
  c.txn_ops_max = static_cast<uint32_t>(r.number("max-txn-ops", 1, 1 << 20));
  c.explain_slots = static_cast<uint32_t>(r.number("explain-slots", 0, 1 << 24));
}

void read_logging(Reader& r, Config& c) {
  c.log_level = r.text("log-level");
  static const std::set<std::string> kLevels = {"debug", "info", "warn", "error", "dpanic", "panic", "fatal"};
  if (kLevels.count(c.log_level) == 0)
    r.fail(fmt::format("--log-level={} is none of debug, info, warn, error", c.log_level));
  for (std::string output : split(r.text("log-outputs"), ',')) {
    if (output == "default") output = "stderr";
    if (output == "systemd/journal") output = "stderr";
    if (std::find(c.log_outputs.begin(), c.log_outputs.end(), output) == c.log_outputs.end())
      c.log_outputs.push_back(output);
  }
  if (c.log_outputs.empty()) r.fail("--log-outputs names no output");
}

void read_initial_cluster(Reader& r, Config& c) {
  std::string text = r.text("initial-cluster");
  if (text.empty())
    for (const std::string& url : c.advertise_peer_urls)
      text += (text.empty() ? "" : ",") + c.name + "=" + url;
  std::set<std::string> seen;
  for (const std::string& item : split(text, ',')) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0)
      return r.fail(fmt::format("--initial-cluster: `{}` is not name=http://host:port", item));
    const std::string name = item.substr(0, equals);
    std::string url = item.substr(equals + 1);
    const net::HostPort address = r.url("initial-cluster", url);
    if (!url.empty() && url.back() == '/') url.pop_back();
    if (address.host.empty()) return;
    if (address.port == 0)
      return r.fail(fmt::format("--initial-cluster: {} has no port that others could reach", url));
    if (!seen.insert(url).second) return r.fail(fmt::format("--initial-cluster: {} appears twice", url));
    const auto it = std::find_if(c.initial_cluster.begin(), c.initial_cluster.end(),
                                 [&](const InitialMember& m) { return m.name == name; });
    if (it == c.initial_cluster.end())
      c.initial_cluster.push_back(InitialMember{name, {url}});
    else
      it->peer_urls.push_back(url);
  }
  std::sort(c.initial_cluster.begin(), c.initial_cluster.end(),
            [](const InitialMember& a, const InitialMember& b) { return a.name < b.name; });
  for (InitialMember& m : c.initial_cluster) std::sort(m.peer_urls.begin(), m.peer_urls.end());
  if (c.initial_cluster.size() > 9)
    return r.fail(
        fmt::format("--initial-cluster names {} members; at most 9 vote", c.initial_cluster.size()));
  const auto own = std::find_if(c.initial_cluster.begin(), c.initial_cluster.end(),
                                [&](const InitialMember& m) { return m.name == c.name; });
  if (own == c.initial_cluster.end())
    return r.fail(fmt::format("--initial-cluster does not contain this member's --name={}", c.name));
  std::vector<std::string> advertised = c.advertise_peer_urls;
  std::sort(advertised.begin(), advertised.end());
  if (advertised != own->peer_urls)
    r.fail(
        fmt::format("--initial-cluster gives {} the peer URLs {}, --initial-advertise-peer-urls gives {}: "
                    "they must be the same",
                    c.name, fmt::join(own->peer_urls, ","), fmt::join(advertised, ",")));
}

void read_addresses(Reader& r, Config& c) {
  c.insecure = r.boolean("insecure");
  c.listen_client = r.listen("listen-client-urls", c.insecure, &c.insecure_addresses);
  c.listen_peer = r.listen("listen-peer-urls", c.insecure, &c.insecure_addresses);
  c.listen_metrics = r.listen("listen-metrics-urls", c.insecure, &c.insecure_addresses);
  if (c.listen_client.empty()) r.fail("--listen-client-urls names no address");
  if (c.listen_peer.empty()) r.fail("--listen-peer-urls names no address");
  std::set<std::pair<std::string, uint16_t>> taken;
  for (const auto* list : {&c.listen_client, &c.listen_peer, &c.listen_metrics})
    for (const net::HostPort& a : *list)
      if (a.port != 0 && !taken.insert({a.host, a.port}).second)
        r.fail(fmt::format(
            "{} is given to two of --listen-client-urls, --listen-peer-urls and --listen-metrics-urls",
            net::to_string(a)));
  if (r.given("advertise-client-urls")) {
    c.advertise_client_urls = r.urls("advertise-client-urls");
  } else if (r.given("listen-client-urls")) {
    r.fail(
        "--advertise-client-urls is required when --listen-client-urls is given: it is what clients are "
        "told");
  } else {
    c.advertise_client_urls = split(r.text("listen-client-urls"), ',');
  }
  c.advertise_peer_urls = r.urls("initial-advertise-peer-urls");
  if (c.advertise_peer_urls.empty()) r.fail("--initial-advertise-peer-urls names no address");
}

}  // namespace

Result<ConfigRequest> parse_config(const std::vector<std::string>& arguments,
                                   const Environment& environment) {
  Result<FlagValues> flags = collect_flags(arguments, environment);
  if (!flags) return flags.error();
  ConfigRequest request;
  request.print = flags->print;
  if (!request.print.empty()) return request;
  Reader r(*flags);
  Config c;
  c.notes = flags->notes;
  c.name = r.text("name");
  if (c.name.empty() || c.name.find_first_of("=,\n/") != std::string::npos)
    r.fail(fmt::format("--name={} is empty or has one of = , / in it", c.name));
  c.data_dir = r.given("data-dir") ? r.text("data-dir") : c.name + ".decree";
  if (c.data_dir.empty()) r.fail("--data-dir is empty");
  read_addresses(r, c);
  read_limits(r, c);
  read_compaction(r, c);
  read_logging(r, c);
  c.cluster_token = r.text("initial-cluster-token");
  const std::string& state = r.text("initial-cluster-state");
  if (state != "new" && state != "existing")
    r.fail(fmt::format("--initial-cluster-state={} is neither new nor existing", state));
  c.joins_existing = state == "existing";
  read_initial_cluster(r, c);
  const std::string& damaged = r.text("damaged-data");
  if (damaged != "repair" && damaged != "refuse")
    r.fail(fmt::format("--damaged-data={} is neither repair nor refuse", damaged));
  c.repairs_damage = damaged == "repair";
  c.scrub_bytes_per_second = static_cast<uint64_t>(r.number("scrub-rate", 0, 1 << 30));
  for (const char* flag :
       {"initial-cluster", "initial-cluster-state", "initial-cluster-token", "initial-advertise-peer-urls"})
    if (r.given(flag)) c.bootstrap_flags.emplace_back(std::string("--") + flag);
  c.has_bootstrap_flags = r.given("initial-cluster");
  if (r.problem()) return *r.problem();
  request.config = std::move(c);
  return request;
}

Options protocol_options(const Config& config) {
  Options o;
  const auto part = [&](uint32_t percent) {
    return std::max<uint32_t>(2, config.election_ms * percent / 100 / kTickMs);
  };
  o.beat_ticks = std::max<uint32_t>(1, config.heartbeat_ms / kTickMs);
  // Several beats must be lost before a member counts as silent, whatever the ratio of the two flags.
  o.suspicion_ticks = std::max(part(40), 3 * o.beat_ticks);
  o.election_retry_ticks = part(30);
  o.duel_backoff_ticks = part(4);
  o.retransmit_ticks = part(15);
  o.stalled_bill_ticks = part(100);
  o.stalled_sync_ticks = part(100);
  o.takeover_delay_ticks = config.takeover_delay_ms / kTickMs;
  o.replace_silence_ticks = 2 * part(100);
  o.confirm_genesis = true;
  return o;
}

}  // namespace decree::server
