// A whole member in this process, on a temporary directory and free ports.
#include "server/member.h"
#include "server/identity.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "net/tcp.h"

namespace decree::server {
namespace {

namespace fs = std::filesystem;

struct MemberTest : ::testing::Test {
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "decree-member-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override { fs::remove_all(folder); }

  static uint16_t free_port() {
    net::EventLoop loop;
    auto listener = net::listen_tcp(loop, net::HostPort{"127.0.0.1", 0},
                                    [](std::shared_ptr<net::Connection> c) { c->close("test"); });
    return (*listener)->port();
  }
  Config config(const std::string& name = "m1", const std::string& token = "t") {
    Config c;
    c.name = name;
    c.data_dir = (folder / "data").string();
    c.listen_client = {net::HostPort{"127.0.0.1", 0}};
    const uint16_t port = free_port();
    c.listen_peer = {net::HostPort{"127.0.0.1", port}};
    c.advertise_peer_urls = {"http://127.0.0.1:2380"};
    c.advertise_client_urls = {"http://127.0.0.1:2379"};
    c.initial_cluster = {InitialMember{name, c.advertise_peer_urls}};
    c.cluster_token = token;
    c.has_bootstrap_flags = true;
    c.log_outputs = {"stderr"};
    return c;
  }
  std::optional<StartProblem> start(const Config& c) {
    net::EventLoop loop;
    Member member(loop, c);
    return member.start();
  }
  // Long enough for the genesis record to be in the log.
  void run_once(const Config& c) {
    net::EventLoop loop;
    Member member(loop, c);
    const std::optional<StartProblem> problem = member.start();
    ASSERT_FALSE(problem.has_value()) << problem->sentence;
    loop.post([&] { member.stop("test"); });
    EXPECT_EQ(member.run(), ExitCode::ok);
  }

  static bool takes_clients(uint16_t port) {
    net::EventLoop loop;
    std::optional<bool> answer;
    net::connect_tcp(loop, {"127.0.0.1", port}, std::chrono::milliseconds(2000),
                     [&](Result<std::shared_ptr<net::Connection>> c) { answer = c.ok(); });
    while (!answer) loop.wait(std::chrono::milliseconds(10));
    return *answer;
  }

  fs::path folder;
};

// Clients of a new member wrote through it before it had caught up, and never heard what became of it.
TEST_F(MemberTest, ADiskThatHasNeverServedRefusesClientsUntilItHasCaughtUp) {
  Config c = config();
  const uint16_t port = free_port();
  c.listen_client = {net::HostPort{"127.0.0.1", port}};
  for (const char* other : {"m2", "m3"})
    c.initial_cluster.push_back(InitialMember{other, {std::string("http://127.0.0.1:1/") + other}});
  for (const bool first_start : {true, false}) {
    net::EventLoop loop;
    Member member(loop, c);
    const std::optional<StartProblem> problem = member.start();
    ASSERT_FALSE(problem.has_value()) << problem->sentence;
    // The others are not there, so it never catches up; a member that comes back answers what it can.
    EXPECT_EQ(takes_clients(port), !first_start);
    loop.post([&] { member.stop("test"); });
    EXPECT_EQ(member.run(), ExitCode::ok);
  }
}

TEST_F(MemberTest, AnUnfinishedFirstStartNeedsTheSameFlagsOnceMore) {
  ASSERT_FALSE(start(config("m1", "one")).has_value());
  Config other = config("m2", "two");
  other.has_bootstrap_flags = false;
  const std::optional<StartProblem> problem = start(other);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->code, ExitCode::identity);
  EXPECT_FALSE(start(config("m1", "one")).has_value());
}

TEST_F(MemberTest, StartsTwiceOnItsOwnDirectory) {
  EXPECT_FALSE(start(config()).has_value());
  EXPECT_FALSE(start(config()).has_value());
}

TEST_F(MemberTest, StopsWhenAsked) {
  net::EventLoop loop;
  Member member(loop, config());
  ASSERT_FALSE(member.start().has_value());
  loop.post([&] { member.stop("test"); });
  EXPECT_EQ(member.run(), ExitCode::ok);
}

TEST_F(MemberTest, RefusesTheDirectoryOfAnotherMember) {
  run_once(config("m1"));
  Config other = config("m2");
  other.has_bootstrap_flags = false;
  const std::optional<StartProblem> problem = start(other);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->code, ExitCode::identity);
  EXPECT_NE(problem->sentence.find("belongs to member m1"), std::string::npos) << problem->sentence;
}

TEST_F(MemberTest, RefusesTheDirectoryOfAnotherClusterUnlessTheFlagsAreLeftOut) {
  run_once(config("m1", "one"));
  Config other = config("m1", "two");
  const std::optional<StartProblem> problem = start(other);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->code, ExitCode::identity);
  EXPECT_NE(problem->sentence.find("leave those two"), std::string::npos) << problem->sentence;
  other.has_bootstrap_flags = false;
  EXPECT_FALSE(start(other).has_value());
}

TEST_F(MemberTest, TwoProcessesCannotShareADirectory) {
  net::EventLoop loop;
  Member first(loop, config());
  ASSERT_FALSE(first.start().has_value());
  const std::optional<StartProblem> problem = start(config());
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->code, ExitCode::locked);
}

TEST_F(MemberTest, APortInUseIsNamed) {
  net::EventLoop loop;
  auto taken = net::listen_tcp(loop, net::HostPort{"127.0.0.1", 0},
                               [](std::shared_ptr<net::Connection> c) { c->close("test"); });
  ASSERT_TRUE(taken.ok());
  for (const bool peer : {true, false}) {
    Config c = config();
    std::vector<net::HostPort>& addresses = peer ? c.listen_peer : c.listen_client;
    addresses.assign(1, net::HostPort{"127.0.0.1", (*taken)->port()});
    const std::optional<StartProblem> problem = start(c);
    ASSERT_TRUE(problem.has_value());
    EXPECT_EQ(problem->code, ExitCode::address);
    EXPECT_NE(problem->sentence.find(std::to_string((*taken)->port())), std::string::npos)
        << problem->sentence;
  }
}

TEST_F(MemberTest, ForeignFilesAndDamageAreRefusedWithTheirOwnCodes) {
  fs::create_directory(folder / "data");
  std::ofstream(folder / "data" / "thesis.txt") << "mine";
  const std::optional<StartProblem> foreign = start(config());
  ASSERT_TRUE(foreign.has_value()) << "a directory with somebody's files was taken";
  EXPECT_TRUE(fs::exists(folder / "data" / "thesis.txt"));
}

// Found by wiping members under load: a member learned its own requests of before the wipe and answered new
// ones with them.
TEST(Identity, ANewDiskNeverUsesARequestNumberAgain) {
  EXPECT_NE(request_boot(Incarnation(0x123456789abcdef), 1, 9),
            request_boot(Incarnation(0x123456789abcdee), 1, 9));
  EXPECT_GT(request_boot(Incarnation(7), 5, 1), request_boot(Incarnation(7), 4, 9))
      << "later starts are higher";
  EXPECT_NE(request_boot(Incarnation(7), 5, 1), request_boot(Incarnation(7), 5, 2))
      << "a copy of the disk counts the same starts once more";
}

TEST_F(MemberTest, JoiningWithNobodyToAskIsRefusedInASentence) {
  Config c = config();
  c.joins_existing = true;
  const std::optional<StartProblem> problem = start(c);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->code, ExitCode::identity);
  EXPECT_NE(problem->sentence.find("--initial-cluster"), std::string::npos) << problem->sentence;
  EXPECT_FALSE(fs::exists(folder / "data")) << "nothing is created by a refused start";
}

}  // namespace
}  // namespace decree::server
