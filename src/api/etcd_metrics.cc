#include "api/etcd_metrics.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "api/version.h"

namespace decree::api {

namespace {

double number(uint64_t value) { return static_cast<double>(value); }
double truth(bool value) { return value ? 1 : 0; }

double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return -1;
  long long size = 0;
  long long resident = 0;
  const int n = std::fscanf(file, "%lld %lld", &size, &resident);
  std::fclose(file);
  return n == 2 ? static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) : -1;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  double count = -3;  // ".", ".." and the directory itself
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

double descriptors_max() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

void register_process_metrics(Metrics& metrics) {
  metrics.add_gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident_bytes);
  metrics.add_counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                      cpu_seconds);
  metrics.add_gauge("process_open_fds", "Number of open file descriptors.", open_descriptors);
  metrics.add_gauge("process_max_fds", "Maximum number of open file descriptors.", descriptors_max);
  metrics.add_gauge("os_fd_used", "The number of used file descriptors.", open_descriptors);
  metrics.add_gauge("os_fd_limit", "The file descriptor limit.", descriptors_max);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  metrics.add_gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
                    [now] { return now; });
}

void register_etcd_metrics(Context& context, const http::Server& server, const net::EventLoop& loop,
                           const HttpPages& pages, Metrics& metrics) {
  const http::Server* port = &server;
  const net::EventLoop* sockets = &loop;
  Context* c = &context;
  const auto gauge = [&](const char* name, const char* help, Metrics::Source source) {
    metrics.add_gauge(name, help, std::move(source));
  };
  const auto counter = [&](const char* name, const char* help, Metrics::Source source) {
    metrics.add_counter(name, help, std::move(source));
  };
  gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
        [c] { return truth(c->has_leader()); });
  gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        [c] { return truth(c->is_leader()); });
  gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", [c] {
    for (const PeerStatus& peer : c->status().members)
      if (peer.member.member_id == c->status().identity.member_id)
        return truth(peer.member.role == MemberRole::learner);
    return 0.0;
  });
  counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.",
          [c] { return number(c->status().replica.leader_changes); });
  counter("etcd_server_proposals_committed_total", "Slots decided, as known here.",
          [c] { return number(c->status().replica.decided.value); });
  counter("etcd_server_proposals_applied_total", "Slots applied here.",
          [c] { return number(c->status().replica.applied.value); });
  gauge("etcd_server_proposals_pending", "Proposals of this member's clients that wait for their outcome.",
        [c] { return number(c->pending.counters().proposals_waiting); });
  Metrics* m = &metrics;
  counter("decree_proposals_submitted_again_total", "Proposals whose leader went before it could take them.",
          [c] { return number(c->pending.counters().proposals_again); });
  counter("etcd_server_proposals_failed_total", "Proposals refused, timed out or of unknown outcome.",
          [c, m] { return number(c->pending.counters().proposals_failed + m->proposals_failed); });
  counter("etcd_server_slow_read_indexes_total", "Reads that had to be confirmed again.",
          [c] { return number(c->pending.counters().slow_reads); });
  counter("etcd_server_read_indexes_failed_total", "Linearizable reads that failed.",
          [c] { return number(c->pending.counters().reads_failed); });
  counter("etcd_server_health_success", "The total number of successful health checks.",
          [&pages] { return number(pages.health_successes()); });
  counter("etcd_server_health_failures", "The total number of failed health checks.",
          [&pages] { return number(pages.health_failures()); });
  gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.",
        [c] { return number(c->options.quota_bytes); });
  gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of all versions in memory.",
        [c] { return number(c->store.sizes().held_bytes); });
  gauge("etcd_mvcc_db_total_size_in_use_in_bytes",
        "The same after logical compaction; what the quota counts.",
        [c] { return number(c->store.sizes().in_use_bytes); });
  gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.",
        [c] { return number(c->store.sizes().keys); });
  gauge("etcd_debugging_mvcc_current_revision", "The current revision of the store.",
        [c] { return static_cast<double>(c->store.current_revision()); });
  gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in the store.",
        [c] { return static_cast<double>(std::max<int64_t>(c->store.compacted_revision(), 0)); });
  gauge("decree_log_bytes", "Size of the log on disk.", [c] { return number(c->status().log_bytes); });
  gauge("decree_disk_full", "1 while this member's disk is full and its writes are refused.",
        [c] { return truth(c->status().disk_full); });
  gauge("decree_client_connections", "Open client connections.",
        [port] { return number(port->counters().connections_open); });
  counter("decree_client_connections_refused_total", "Client connections refused over a limit.",
          [port] { return number(port->counters().connections_refused); });
  counter("decree_client_connections_dropped_total",
          "Client connections closed for bad bytes, floods or deadlines.",
          [port] { return number(port->counters().connections_dropped); });
  counter("decree_client_calls_refused_total", "Calls refused over a memory limit.",
          [port] { return number(port->counters().calls_refused); });
  gauge("decree_client_calls", "Client calls in flight.",
        [port] { return number(port->counters().calls_open); });
  gauge("decree_client_bytes_held", "Bytes of client requests and answers in memory.",
        [port] { return number(port->counters().bytes_held); });
  gauge("decree_client_output_bytes", "Bytes of frames that wait for client sockets.",
        [port] { return number(port->counters().output_bytes); });
  gauge("decree_long_answers", "Big ranges and hashes being worked on.",
        [c] { return number(c->long_answers.size()); });
  counter("decree_socket_received_bytes_total", "Bytes read from all sockets, clients and peers.",
          [sockets] { return number(sockets->counters().bytes_received); });
  counter("decree_socket_sent_bytes_total", "Bytes written to all sockets, clients and peers.",
          [sockets] { return number(sockets->counters().bytes_sent); });
  metrics.add_gauge("etcd_server_version", "Which version is running.", [] { return 1.0; },
                    {{"server_version", kServerVersion}});
  metrics.add_gauge("etcd_cluster_version", "Which version is running.", [] { return 1.0; },
                    {{"cluster_version", kClusterVersion}});
  metrics.add_gauge("decree_version", "Which release of decreed is running.", [] { return 1.0; },
                    {{"version", kDecreeVersion}});
  metrics.add_gauge("etcd_server_id", "Server or member ID in hexadecimal format.", [] { return 1.0; },
                    {{"server_id", fmt::format("{:x}", context.status().identity.member_id)}});
  for (const PeerStatus& peer : context.status().members) {
    const uint64_t id = peer.member.member_id;
    if (id == context.status().identity.member_id) continue;
    const auto of_peer = [c, id](double (*value)(const PeerStatus&)) {
      return [c, id, value] {
        for (const PeerStatus& p : c->status().members)
          if (p.member.member_id == id) return value(p);
        return -1.0;
      };
    };
    const std::string hex = fmt::format("{:x}", id);
    metrics.add_gauge("etcd_network_active_peers", "1 while connected.",
                      of_peer([](const PeerStatus& p) { return truth(p.connected); }), {{"Remote", hex}});
    metrics.add_gauge(
        "decree_peer_round_trip_seconds", "Last measured round trip of a beat.",
        of_peer([](const PeerStatus& p) { return static_cast<double>(p.round_trip_us) * 1e-6; }),
        {{"To", hex}});
  }
}

void register_grpc_metrics(const http::Server& server, Metrics& metrics) {
  for (const auto& owned : server.routes()) {
    const http::GrpcRoute* route = owned.get();
    const size_t slash = route->path.rfind('/');
    const Metrics::Labels labels{{"grpc_type", route->streaming ? "bidi_stream" : "unary"},
                                 {"grpc_service", route->path.substr(1, slash - 1)},
                                 {"grpc_method", route->path.substr(slash + 1)}};
    metrics.add_counter(
        "grpc_server_started_total", "Total number of RPCs started on the server.",
        [route] { return number(route->started); }, labels);
    for (int code = 0; code < http::grpc_codes; ++code) {
      Metrics::Labels with_code = labels;
      with_code.emplace_back("grpc_code", http::grpc_code_name(code));
      const auto index = static_cast<size_t>(code);
      metrics.add_counter(
          "grpc_server_handled_total",
          "Total number of RPCs completed on the server, regardless of success or failure.",
          [route, index] { return route->handled[index] == 0 ? -1.0 : number(route->handled[index]); },
          with_code);
    }
  }
}

}  // namespace decree::api
