#include "server/config.h"

#include <map>

#include "gtest/gtest.h"
#include "server/flag_table.h"
#include "server/flag_values.h"
#include "server/identity.h"
#include "server/logical_clock.h"

namespace decree::server {
namespace {

using Variables = std::map<std::string, std::string>;

Result<ConfigRequest> parse(std::vector<std::string> arguments, const Variables& variables = {}) {
  return parse_config(arguments, [&](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional<std::string>(it->second);
  });
}

TEST(Config, WithoutFlagsItIsOneMemberOnLoopback) {
  Result<ConfigRequest> request = parse({});
  ASSERT_TRUE(request.ok()) << request.error().message;
  const Config& c = *request->config;
  EXPECT_EQ(c.name, "default");
  EXPECT_EQ(c.data_dir, "default.decree");
  ASSERT_EQ(c.listen_client.size(), 1U);
  EXPECT_EQ(c.listen_client[0].port, 2379);
  EXPECT_EQ(c.listen_peer[0].port, 2380);
  EXPECT_EQ(c.initial_cluster.size(), 1U);
  EXPECT_EQ(c.snapshot_log_bytes, 16U << 20);
  EXPECT_EQ(c.quota_bytes, 2ULL << 30);
  EXPECT_EQ(c.compaction_mode, CompactionMode::off);
  EXPECT_TRUE(c.bootstrap_flags.empty());
}

const std::vector<std::string> kThree = {"--name",
                                         "m2",
                                         "--data-dir",
                                         "d",
                                         "--listen-client-urls",
                                         "http://127.0.0.1:1",
                                         "--advertise-client-urls",
                                         "http://127.0.0.1:1",
                                         "--listen-peer-urls=http://127.0.0.1:2",
                                         "--initial-advertise-peer-urls=http://127.0.0.1:2",
                                         "--initial-cluster",
                                         "m3=http://127.0.0.1:3,m1=http://127.0.0.1:9,m2=http://127.0.0.1:2",
                                         "--initial-cluster-token",
                                         "t"};

TEST(Config, ThreeMembersAsEtcdIsStarted) {
  Result<ConfigRequest> request = parse(kThree);
  ASSERT_TRUE(request.ok()) << request.error().message;
  const Config& c = *request->config;
  ASSERT_EQ(c.initial_cluster.size(), 3U);
  EXPECT_EQ(c.initial_cluster[0].name, "m1");
  EXPECT_EQ(c.initial_cluster[2].name, "m3");
  EXPECT_TRUE(c.has_bootstrap_flags);
}

struct Bad {
  std::vector<std::string> arguments;
  const char* says;
};

class ConfigRefusal : public ::testing::TestWithParam<Bad> {};

TEST_P(ConfigRefusal, NamesTheFlagAndTheRemedyInOneSentence) {
  Result<ConfigRequest> request = parse(GetParam().arguments);
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(request.error().code, ErrorCode::invalid);
  EXPECT_NE(request.error().message.find(GetParam().says), std::string::npos) << request.error().message;
  EXPECT_EQ(request.error().message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ConfigRefusal,
    ::testing::Values(
        Bad{{"--nonsense"}, "unknown flag or word `--nonsense`"},
        Bad{{"word"}, "unknown flag or word `word`"}, Bad{{"--name"}, "name"},
        Bad{{"--name", "a", "--name", "b"}, "given twice"},
        Bad{{"--cert-file", "x"}, "--cert-file is not supported: TLS"},
        Bad{{"--client-cert-auth"}, "--client-cert-auth=true"}, Bad{{"--auto-tls=true"}, "TLS"},
        Bad{{"--auth-token", "jwt"}, "--auth-token=jwt is not supported"},
        Bad{{"--discovery", "x"}, "--initial-cluster"}, Bad{{"--proxy", "on"}, "--proxy=on"},
        Bad{{"--experimental-foo=1"}, "experimental"}, Bad{{"--force-new-cluster"}, "--force-new-cluster"},
        Bad{{"--unsafe-no-fsync"}, "durable"}, Bad{{"--wal-dir", "x"}, "--wal-dir"},
        Bad{{"--listen-client-urls", "http://127.0.0.1:1"}, "--advertise-client-urls is required"},
        Bad{{"--listen-peer-urls", "http://10.0.0.1:2380"}, "--insecure"},
        Bad{{"--listen-peer-urls", "http://0.0.0.0:2380"}, "--insecure"},
        Bad{{"--listen-peer-urls", "https://127.0.0.1:2380"}, "TLS"},
        Bad{{"--listen-peer-urls", "http://example.org:2380"}, "names a host"},
        Bad{{"--listen-peer-urls", "127.0.0.1:2380"}, "not a URL"},
        Bad{{"--listen-peer-urls", "unix://x"}, "not a URL"},
        Bad{{"--listen-peer-urls", "http://127.0.0.1:99999"}, "not a URL"},
        Bad{{"--listen-peer-urls", "http://127.0.0.1:2380/path"}, "path"},
        Bad{{"--listen-peer-urls", "http://127.0.0.1:2379"}, "two of"},
        Bad{{"--listen-peer-urls", ""}, "names no address"},
        Bad{{"--heartbeat-interval", "300"}, "five times"},
        Bad{{"--heartbeat-interval", "abc"}, "whole number"},
        Bad{{"--election-timeout", "60000"}, "whole number from"},
        Bad{{"--snapshot-count", "0"}, "whole number"}, Bad{{"--max-txn-ops", "-1"}, "whole number"},
        Bad{{"--quota-backend-bytes", "1e9"}, "whole number"},
        Bad{{"--auto-compaction-mode", "x"}, "neither"},
        Bad{{"--auto-compaction-retention", "soon"}, "not a time"},
        Bad{{"--auto-compaction-mode", "revision", "--auto-compaction-retention", "1h"}, "whole number"},
        Bad{{"--log-level", "loud"}, "--log-level"}, Bad{{"--logger", "capnslog"}, "--logger=capnslog"},
        Bad{{"--initial-cluster", "a=http://127.0.0.1:2380"}, "does not contain this member"},
        Bad{{"--initial-cluster", "default=http://127.0.0.1:1"}, "must be the same"},
        Bad{{"--initial-cluster", "default"}, "not name=http"},
        Bad{{"--initial-cluster", "default=http://127.0.0.1:2380,b=http://127.0.0.1:2380"}, "appears twice"},
        Bad{{"--initial-cluster-state", "maybe"}, "neither new nor existing"},
        Bad{{"--name", "a=b"}, "--name"}, Bad{{"--insecure=perhaps"}, "neither true nor false"},
        Bad{{"--config-file", "/nowhere/at/all"}, "cannot be read"}));

TEST(Config, EveryUnsupportedFlagIsRefusedByName) {
  for (const FlagSpec& spec : flag_table()) {
    if (spec.support != FlagSupport::no) continue;
    const std::string flag = std::string("--") + spec.name;
    const Result<ConfigRequest> request = spec.is_switch ? parse({flag}) : parse({flag, "x"});
    ASSERT_FALSE(request.ok()) << flag;
    EXPECT_NE(request.error().message.find(flag), std::string::npos) << request.error().message;
  }
}

TEST(Config, ATimeForEtcdsHashCheckIsSaidToChangeNothing) {
  Result<ConfigRequest> request = parse({"--experimental-corrupt-check-time", "1h"});
  ASSERT_TRUE(request.ok()) << request.error().message;
  ASSERT_EQ(request->config->notes.size(), 1U);
  EXPECT_NE(request->config->notes[0].find("--experimental-corrupt-check-time=1h changes nothing"),
            std::string::npos);
  EXPECT_FALSE(parse({"--experimental-corrupt-check-time", "soon"}).ok());
}

TEST(Config, InsecureAllowsPlainAddressesAndRemembersThem) {
  Result<ConfigRequest> request = parse({"--insecure", "--listen-peer-urls", "http://0.0.0.0:2380"});
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->config->insecure_addresses, std::vector<std::string>{"http://0.0.0.0:2380"});
}

TEST(Config, FlagBeatsDecreeBeatsEtcdEnvironment) {
  EXPECT_EQ(parse({"--name", "f"}, {{"DECREE_NAME", "d"}, {"ETCD_NAME", "e"}})->config->name, "f");
  EXPECT_EQ(parse({}, {{"DECREE_NAME", "d"}, {"ETCD_NAME", "e"}})->config->name, "d");
  EXPECT_EQ(parse({}, {{"ETCD_NAME", "e"}})->config->name, "e");
  const Result<ConfigRequest> refused = parse({}, {{"ETCD_CERT_FILE", "x"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("ETCD_CERT_FILE"), std::string::npos);
}

TEST(Config, AFileIsReadAndItsMistakesAreLocated) {
  auto good =
      parse_config_file("# note\nname: 'm1'\nheartbeat-interval: 50 # fast\n\ndata-dir: \"a b\"\n", "f.yml");
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ((*good)["name"], "m1");
  EXPECT_EQ((*good)["heartbeat-interval"], "50");
  EXPECT_EQ((*good)["data-dir"], "a b");
  for (const char* bad : {"name m1", "\nclient-transport-security:\n  cert-file: x", "nonsense: 1",
                          "name: a\nname: b", "name: 'a"}) {
    auto parsed = parse_config_file(bad, "f.yml");
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_NE(parsed.error().message.find("f.yml line"), std::string::npos) << parsed.error().message;
  }
}

TEST(Config, EtcdsTimesBecomeTicks) {
  Config c;
  Options o = protocol_options(c);
  const Options standard;
  EXPECT_EQ(o.beat_ticks, standard.beat_ticks);
  EXPECT_EQ(o.suspicion_ticks, standard.suspicion_ticks);
  EXPECT_EQ(o.election_retry_ticks, standard.election_retry_ticks);
  EXPECT_EQ(o.duel_backoff_ticks, standard.duel_backoff_ticks);
  EXPECT_EQ(o.retransmit_ticks, standard.retransmit_ticks);
  EXPECT_EQ(o.stalled_bill_ticks, standard.stalled_bill_ticks);
  c.heartbeat_ms = 500;
  c.election_ms = 5000;
  o = protocol_options(c);
  EXPECT_EQ(o.beat_ticks, 50U);
  EXPECT_EQ(o.suspicion_ticks, 200U);
}

TEST(Config, DurationsAreHoursOrGoDurations) {
  const auto seconds = [](const char* text) {
    return parse({"--auto-compaction-retention", text})->config->compaction_seconds;
  };
  EXPECT_EQ(seconds("1"), 3600U);
  EXPECT_EQ(seconds("1h30m"), 5400U);
  EXPECT_EQ(seconds("90s"), 90U);
  EXPECT_EQ(seconds("0"), 0U);
}

TEST(Config, HelpAndVersionPrintAndEndWell) {
  EXPECT_NE(parse({"--help"})->print.find("--initial-cluster"), std::string::npos);
  EXPECT_NE(parse({"--version"})->print.find("decreed"), std::string::npos);
}

TEST(Genesis, IsTheSameOnAllMembersWhateverTheOrderOfFlags) {
  std::vector<std::string> other = kThree;
  other[11] = "m1=http://127.0.0.1:9,m2=http://127.0.0.1:2,m3=http://127.0.0.1:3";
  const Genesis a = make_genesis(*parse(kThree)->config);
  const Genesis b = make_genesis(*parse(other)->config);
  EXPECT_EQ(a.identity, b.identity);
  EXPECT_EQ(a.membership, b.membership);
  EXPECT_EQ(a.identity.node, NodeId(2));
  EXPECT_TRUE(membership_problem(a.membership).empty());
  other[13] = "another token";
  const Genesis c = make_genesis(*parse(other)->config);
  EXPECT_NE(a.identity.cluster, c.identity.cluster);
  EXPECT_NE(a.identity.member_id, c.identity.member_id);
}

TEST(LogicalClock, CountsRunningTimeAndSkipsStalls) {
  using std::chrono::milliseconds;
  const LogicalClock::Time start{};
  LogicalClock clock(start);
  EXPECT_EQ(clock.look(start + milliseconds(9)), Tick(0));
  EXPECT_EQ(clock.look(start + milliseconds(10)), Tick(1));
  EXPECT_EQ(clock.look(start + milliseconds(35)), Tick(3));
  EXPECT_EQ(clock.next(), start + milliseconds(40));
  // Stopped for ten seconds: only as much as one look may take.
  EXPECT_EQ(clock.look(start + milliseconds(10035)), Tick(3 + LogicalClock::kTicksPerLookMax));
  EXPECT_EQ(clock.lost_ticks(), 1000 - LogicalClock::kTicksPerLookMax);
  EXPECT_EQ(clock.look(start + milliseconds(10040)), Tick(4 + LogicalClock::kTicksPerLookMax));
}

}  // namespace
}  // namespace decree::server
