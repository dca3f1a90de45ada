#include "server/flag_table.h"

#include <array>

namespace decree::server {
namespace {

constexpr const char* kTls =
    "TLS is not supported yet; keep to loopback addresses, or name the risk with --insecure";
constexpr const char* kProxy = "proxies are not supported; run members only";
constexpr const char* kDiscovery = "discovery is not supported; list the members with --initial-cluster";
constexpr const char* kKeepalive = "keep-alive of client connections has fixed bounds here";

using enum FlagSupport;
constexpr std::array kFlags = {
    // ---- member
    FlagSpec{"name", "default", false, yes, "name of this member"},
    FlagSpec{"data-dir", "", false, yes, "data directory (default: <name>.decree)"},
    FlagSpec{"listen-client-urls", "http://127.0.0.1:2379", false, yes,
             "addresses for clients, comma separated"},
    FlagSpec{"listen-peer-urls", "http://127.0.0.1:2380", false, yes, "addresses for the other members"},
    FlagSpec{"listen-metrics-urls", "", false, yes, "further addresses for /metrics and /health"},
    FlagSpec{"heartbeat-interval", "100", false, yes, "milliseconds between beats"},
    FlagSpec{"election-timeout", "1000", false, yes, "milliseconds until another member takes over"},
    FlagSpec{"takeover-delay", "0", false, yes,
             "milliseconds later than others that this member takes over when nobody leads"},
    FlagSpec{"snapshot-count", "100000", false, yes, "decided entries between two snapshots"},
    FlagSpec{
        "snapshot-log-bytes", "", false, yes,
        "log written between two snapshots, at least (default 16777216; 0 when --snapshot-count is given)"},
    FlagSpec{"quota-backend-bytes", "0", false, yes,
             "size of the store that raises the NOSPACE alarm; 0 = 2 GiB, negative = none"},
    FlagSpec{"max-request-bytes", "1572864", false, yes, "largest request"},
    FlagSpec{"max-txn-ops", "128", false, yes, "most operations in one transaction"},
    FlagSpec{"explain-slots", "16384", false, yes,
             "slots whose story is kept in memory for `decree explain`; 0 = none"},
    FlagSpec{"auto-compaction-mode", "periodic", false, yes, "periodic or revision"},
    FlagSpec{"auto-compaction-retention", "0", false, yes,
             "history to keep: hours or 1h30m (periodic), a number (revision); 0 = off"},
    // ---- cluster
    FlagSpec{"advertise-client-urls", "", false, yes, "client addresses told to clients"},
    FlagSpec{"initial-advertise-peer-urls", "http://127.0.0.1:2380", false, yes,
             "peer addresses told to the others"},
    FlagSpec{"initial-cluster", "", false, yes, "name=url,name=url of all members; first start only"},
    FlagSpec{"initial-cluster-state", "new", false, yes, "new or existing; first start only"},
    FlagSpec{"initial-cluster-token", "etcd-cluster", false, yes, "tells clusters apart; first start only"},
    FlagSpec{"damaged-data", "repair", false, yes,
             "repair: what is damaged comes from the other members; refuse: wait for the operator"},
    FlagSpec{"scrub-rate", "1048576", false, yes,
             "bytes per second of log and snapshots read again in the background to find damage; 0 = never"},
    // ---- logging and the rest
    FlagSpec{"log-level", "info", false, yes, "debug, info, warn, error"},
    FlagSpec{"log-outputs", "default", false, yes, "stderr, stdout or files, comma separated"},
    FlagSpec{"logger", "zap|spdlog", false, fixed, "there is one logger"},
    FlagSpec{"config-file", "", false, yes, "file of `flag: value` lines"},
    FlagSpec{"insecure", "false", true, yes, "allow plain addresses that are not loopback"},
    FlagSpec{"auth-token", "simple", false, fixed,
             "authentication is not supported yet, so only the value `simple` is taken"},
    // ---- etcd's, true here anyway
    FlagSpec{"strict-reconfig-check", "true", true, fixed, "the check is always on"},
    FlagSpec{"pre-vote", "true", true, fixed,
             "a member that cannot reach a quorum never disturbs a leader here"},
    FlagSpec{"enable-v2", "false", true, fixed, "the v2 API is not supported; use v3"},
    FlagSpec{"enable-pprof", "false", true, fixed, "there is no profiler on the client port"},
    FlagSpec{"enable-grpc-gateway", "true", true, fixed, "the HTTP port cannot be split off"},
    FlagSpec{"initial-election-tick-advance", "true", true, fixed, "the first election never waits here"},
    FlagSpec{"metrics", "basic|extensive", false, fixed, "all metrics are always there"},
    FlagSpec{"proxy", "off", false, fixed, kProxy},
    FlagSpec{"discovery-fallback", "exit|proxy", false, fixed, kDiscovery},
    FlagSpec{"client-cert-auth", "false", true, fixed, kTls},
    FlagSpec{"peer-client-cert-auth", "false", true, fixed, kTls},
    FlagSpec{"auto-tls", "false", true, fixed, kTls},
    FlagSpec{"peer-auto-tls", "false", true, fixed, kTls},
    FlagSpec{"debug", "false", true, fixed, "use --log-level debug"},
    FlagSpec{"unsafe-no-fsync", "false", true, fixed, "what is acknowledged is durable here, always"},
    FlagSpec{"force-new-cluster", "false", true, fixed,
             "rebuilding a cluster from one member is not supported yet"},
    FlagSpec{"experimental-initial-corrupt-check", "false|true", true, fixed,
             "members compare digests all the time"},
    FlagSpec{"experimental-corrupt-check-time", "", false, yes,
             "etcd's, taken and not needed: members compare digests all the time"},
    // ---- etcd's, not here
    FlagSpec{"cert-file", "", false, no, kTls},
    FlagSpec{"key-file", "", false, no, kTls},
    FlagSpec{"trusted-ca-file", "", false, no, kTls},
    FlagSpec{"client-crl-file", "", false, no, kTls},
    FlagSpec{"client-cert-allowed-hostname", "", false, no, kTls},
    FlagSpec{"peer-cert-file", "", false, no, kTls},
    FlagSpec{"peer-key-file", "", false, no, kTls},
    FlagSpec{"peer-trusted-ca-file", "", false, no, kTls},
    FlagSpec{"peer-crl-file", "", false, no, kTls},
    FlagSpec{"peer-cert-allowed-cn", "", false, no, kTls},
    FlagSpec{"peer-cert-allowed-hostname", "", false, no, kTls},
    FlagSpec{"cipher-suites", "", false, no, kTls},
    FlagSpec{"tls-min-version", "", false, no, kTls},
    FlagSpec{"tls-max-version", "", false, no, kTls},
    FlagSpec{"auth-token-ttl", "", false, no, "authentication is not supported yet"},
    FlagSpec{"bcrypt-cost", "", false, no, "authentication is not supported yet"},
    FlagSpec{"discovery", "", false, no, kDiscovery},
    FlagSpec{"discovery-srv", "", false, no, kDiscovery},
    FlagSpec{"discovery-srv-name", "", false, no, kDiscovery},
    FlagSpec{"discovery-proxy", "", false, no, kDiscovery},
    FlagSpec{"proxy-failure-wait", "", false, no, kProxy},
    FlagSpec{"proxy-refresh-interval", "", false, no, kProxy},
    FlagSpec{"proxy-dial-timeout", "", false, no, kProxy},
    FlagSpec{"proxy-write-timeout", "", false, no, kProxy},
    FlagSpec{"proxy-read-timeout", "", false, no, kProxy},
    FlagSpec{"wal-dir", "", false, no, "log and snapshots live together in --data-dir"},
    FlagSpec{"max-wals", "", false, no, "the log is cut behind every snapshot"},
    FlagSpec{"max-snapshots", "", false, no, "the newest snapshot is kept"},
    FlagSpec{"backend-batch-limit", "", false, no, "the store has no batches of its own"},
    FlagSpec{"backend-batch-interval", "", false, no, "the store has no batches of its own"},
    FlagSpec{"backend-bbolt-freelist-type", "", false, no, "the store is not bbolt"},
    FlagSpec{"cors", "", false, no, "cross-origin requests are not supported"},
    FlagSpec{"host-whitelist", "", false, no, "host lists are not supported"},
    FlagSpec{"grpc-keepalive-min-time", "", false, no, kKeepalive},
    FlagSpec{"grpc-keepalive-interval", "", false, no, kKeepalive},
    FlagSpec{"grpc-keepalive-timeout", "", false, no, kKeepalive},
    FlagSpec{"max-concurrent-streams", "", false, no, "1000 calls at once on one connection is fixed"},
    FlagSpec{"log-package-levels", "", false, no, "use --log-level"},
    FlagSpec{"log-rotation-config-json", "", false, no, "rotate the file from outside, or log to stderr"},
    FlagSpec{"enable-log-rotation", "", true, no, "rotate the file from outside, or log to stderr"},
    FlagSpec{"v2-deprecation", "", false, no, "there is no v2 store"},
    FlagSpec{"socket-reuse-port", "", true, no, "one process owns a port"},
    FlagSpec{"socket-reuse-address", "", true, no, "the option is always set"},
};

}  // namespace

std::span<const FlagSpec> flag_table() { return kFlags; }

const FlagSpec* find_flag(const std::string& name) {
  for (const FlagSpec& spec : kFlags)
    if (name == spec.name) return &spec;
  return nullptr;
}

}  // namespace decree::server
