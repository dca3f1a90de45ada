#include "api/http_pages.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/version.h"

namespace decree::api {

namespace {

const char* const check_names[] = {"data_corruption", "serializable_read", "linearizable_read",
                                   "non_learner"};
constexpr uint32_t check_count = 4;
constexpr uint32_t linearizable_check = 2;
constexpr uint32_t livez_checks = 1u << 1;
constexpr uint32_t readyz_checks = (1u << check_count) - 1;

constexpr char json[] = "application/json";

// Values of `name` in a query; no percent decoding, these are plain words.
std::vector<std::string_view> values(std::string_view query, std::string_view name) {
  std::vector<std::string_view> found;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) found.push_back(pair.substr(std::min(equals + 1, pair.size())));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return found;
}

bool is_true(const std::vector<std::string_view>& found) { return !found.empty() && found.back() == "true"; }

const char* alarm_name(kv::AlarmKind kind) {
  return kind == kv::AlarmKind::no_space ? "NOSPACE" : kind == kv::AlarmKind::corrupt ? "CORRUPT" : "UNKNOWN";
}

}  // namespace

HttpPages::HttpPages(Context& context, http::Server& server, Metrics& metrics)
    : context_(context), server_(server), metrics_(metrics) {
  for (const char* path :
       {"/health", "/version", "/metrics", "/livez", "/readyz", "/livez/serializable_read"})
    server.add_http(path, this);
  for (const char* check : check_names) server.add_http(fmt::format("/readyz/{}", check), this);
}

void HttpPages::on_request(http::CallId call, const http::HttpRequest& request) {
  if (request.method != "GET" && !(request.method == "HEAD" && request.path != "/health"))
    return server_.answer(call, {405, "text/plain; charset=utf-8", "Method Not Allowed\n", "GET"});
  if (request.path == "/health") return health(call, request);
  if (request.path == "/metrics")
    return server_.answer(call, {200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text(), {}});
  if (request.path != "/version") return checks(call, request);
  const std::string& agreed = context_.store.cluster_version();
  server_.answer(
      call,
      {200,
       json,
       fmt::format(R"({{"etcdserver":"{}","etcdcluster":"{}","storage":"{}","decree":"{}"}})", kServerVersion,
                   agreed.empty() ? kClusterVersion : agreed, kStorageVersion, kDecreeVersion),
       {}});
}

// ---- /health: alarms, leader, then a read, in etcd's order

void HttpPages::health(http::CallId call, const http::HttpRequest& request) {
  const bool local = is_true(values(request.query, "serializable"));
  const std::vector<std::string_view> excluded = values(request.query, "exclude");
  for (const kv::Alarm& alarm : context_.store.alarms()) {
    const char* name = alarm_name(alarm.kind);
    if (std::find(excluded.begin(), excluded.end(), name) == excluded.end())
      return finish_health(call, fmt::format("ALARM {}", name));
  }
  if (local)
    return finish_health(call, context_.status().replica.ready ? "" : "RANGE ERROR:etcdserver: not ready");
  if (!context_.has_leader()) return finish_health(call, "RAFT NO LEADER");
  ask({call, true, false, 0});
}

void HttpPages::ask(const Probe& probe) {
  uint32_t tag = static_cast<uint32_t>(probes_.size());
  if (free_probes_.empty()) {
    probes_.push_back(probe);
  } else {
    tag = free_probes_.back();
    free_probes_.pop_back();
    probes_[tag] = probe;
  }
  context_.pending.read({}, this, tag);
}

HttpPages::Probe HttpPages::take(uint32_t tag) {
  free_probes_.push_back(tag);
  return probes_[tag];
}

void HttpPages::finish_health(http::CallId call, const std::string& reason) {
  ++(reason.empty() ? health_successes_ : health_failures_);
  server_.answer(
      call, {reason.empty() ? 200 : 503,
             json,
             fmt::format(R"({{"health":"{}","reason":"{}"}})", reason.empty() ? "true" : "false", reason),
             {}});
}

// ---- /livez, /readyz

void HttpPages::checks(http::CallId call, const http::HttpRequest& request) {
  uint32_t wanted = request.path.substr(0, 6) == "/livez" ? livez_checks : readyz_checks;
  const size_t slash = request.path.find('/', 1);
  const std::vector<std::string_view> excluded = values(request.query, "exclude");
  for (uint32_t i = 0; i < check_count; ++i) {
    const bool left_out = std::find(excluded.begin(), excluded.end(), check_names[i]) != excluded.end();
    const bool another = slash != std::string_view::npos && request.path.substr(slash + 1) != check_names[i];
    if (left_out || another) wanted &= ~(1u << i);
  }
  const Probe probe{call, false, !values(request.query, "verbose").empty(), wanted};
  if ((wanted & (1u << linearizable_check)) != 0 && context_.has_leader()) return ask(probe);
  finish_checks(probe, context_.has_leader() ? "" : "etcdserver: no leader");
}

std::string HttpPages::run_check(const std::string& name, const std::string& read_error) {
  if (name == "data_corruption")
    return context_.store.has_alarm(kv::AlarmKind::corrupt) ? "alarm activated: CORRUPT" : "";
  if (name == "serializable_read")
    return context_.status().replica.ready ? "" : "range error: the member is catching up";
  if (name == "linearizable_read") return read_error.empty() ? "" : "range error: " + read_error;
  for (const PeerStatus& peer : context_.status().members)
    if (peer.member.member_id == context_.status().identity.member_id &&
        peer.member.role == MemberRole::learner)
      return "The local node is learner";
  return {};
}

void HttpPages::finish_checks(const Probe& probe, const std::string& read_error) {
  std::string lines;
  bool good = true;
  for (uint32_t i = 0; i < check_count; ++i) {
    if ((probe.checks & (1u << i)) == 0) continue;
    const std::string problem = run_check(check_names[i], read_error);
    good = good && problem.empty();
    lines += problem.empty() ? fmt::format("[+]{} ok\n", check_names[i])
                             : fmt::format("[-]{} failed: {}\n", check_names[i], problem);
  }
  const bool list = !good || probe.verbose;
  server_.answer(
      probe.call,
      {good ? 200 : 503, "text/plain; charset=utf-8", (list ? lines : "") + (good ? "ok\n" : ""), {}});
}

void HttpPages::on_read(http::CallId /*call*/, uint32_t tag) {
  const Probe probe = take(tag);
  if (probe.health) return finish_health(probe.call, "");
  finish_checks(probe, "");
}

void HttpPages::on_failed(http::CallId /*call*/, uint32_t tag, const EtcdError& error) {
  const Probe probe = take(tag);
  if (probe.health) return finish_health(probe.call, fmt::format("RANGE ERROR:{}", error.text));
  finish_checks(probe, std::string(error.text));
}

}  // namespace decree::api
