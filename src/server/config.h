// What the operator asked for: flags, environment and file, checked and typed. etcd's flag names; precedence
// is flag, DECREE_<NAME>, ETCD_<NAME>, --config-file, default. docs/operations.md lists them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "decree/options.h"
#include "decree/result.h"
#include "net/tcp.h"

namespace decree::server {

struct InitialMember {
  std::string name;
  std::vector<std::string> peer_urls;  // sorted
};

enum class CompactionMode : uint8_t { off, periodic, revision };

struct Config {
  std::string name;
  std::string data_dir;
  std::vector<net::HostPort> listen_client;
  std::vector<net::HostPort> listen_peer;
  std::vector<net::HostPort> listen_metrics;
  std::vector<std::string> advertise_client_urls;
  std::vector<std::string> advertise_peer_urls;
  std::vector<InitialMember> initial_cluster;  // sorted by name
  std::string cluster_token;
  bool joins_existing = false;               // --initial-cluster-state existing
  bool has_bootstrap_flags = false;          // --initial-cluster or --initial-cluster-token was given
  std::vector<std::string> bootstrap_flags;  // those given that only matter at the first start
  uint32_t heartbeat_ms = 100;
  uint32_t election_ms = 1000;
  uint32_t takeover_delay_ms = 0;
  uint64_t snapshot_count = 100000;
  uint64_t snapshot_log_bytes = 16u << 20;
  uint64_t quota_bytes = 0;  // 0 = none
  CompactionMode compaction_mode = CompactionMode::off;
  uint64_t compaction_seconds = 0;   // periodic
  int64_t compaction_revisions = 0;  // revision
  uint64_t request_bytes_max = 1572864;
  uint32_t txn_ops_max = 128;
  uint32_t explain_slots = 16384;              // slots whose story is remembered; 0: none
  bool repairs_damage = true;                  // --damaged-data repair
  uint64_t scrub_bytes_per_second = 1u << 20;  // 0: never
  std::string log_level = "info";
  std::vector<std::string> log_outputs;  // "stderr", "stdout" or a path
  bool insecure = false;
  std::vector<std::string> insecure_addresses;  // plain and not loopback, allowed by --insecure
  std::vector<std::string> notes;               // sentences for the log once it runs
};

struct ConfigRequest {
  std::optional<Config> config;
  std::string print;  // --help or --version: print this and end well
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// `arguments` without the program's name. The error (ErrorCode::invalid) is one sentence, naming the flag.
Result<ConfigRequest> parse_config(const std::vector<std::string>& arguments, const Environment& environment);

// Times of the protocol, in ticks of kTickMs, from etcd's two flags.
constexpr uint32_t kTickMs = 10;
Options protocol_options(const Config& config);

}  // namespace decree::server
