#include "client/endpoint.h"

#include <gtest/gtest.h>

namespace decree::client {
namespace {

std::string round_trip(std::string_view text) {
  Result<net::HostPort> parsed = parse_endpoint(text);
  return parsed ? net::to_string(*parsed) : "error: " + parsed.error().message;
}

TEST(Endpoint, IsReadInEveryFormPeopleWrite) {
  EXPECT_EQ(round_trip("127.0.0.1:2379"), "127.0.0.1:2379");
  EXPECT_EQ(round_trip("http://db1:22379"), "db1:22379");
  EXPECT_EQ(round_trip("http://db1:22379/"), "db1:22379");
  EXPECT_EQ(round_trip(" db1 "), "db1:2379");
  EXPECT_EQ(round_trip("[::1]:80"), "[::1]:80");
  EXPECT_EQ(round_trip("[::1]"), "[::1]:2379");
}

TEST(Endpoint, IsRefusedWithTheReason) {
  const auto refused = [](std::string_view text, std::string_view why) {
    Result<net::HostPort> parsed = parse_endpoint(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message.find(why), std::string::npos) << parsed.error().message;
  };
  refused("", "the host is missing");
  refused("https://db1:2379", "TLS");
  refused("unix:///tmp/x", "scheme");
  refused("db1:0", "port");
  refused("db1:65536", "port");
  refused("db1:12ab", "port");
  refused("db1:", "port");
  refused(":2379", "host");
  refused("::1", "brackets");
  refused("[::1", "]");
  refused("[::1]x", "]");
  refused("a b:1", "host");
  refused("db1/path:1", "host");
}

TEST(Endpoints, AreSeparatedByCommas) {
  Result<std::vector<net::HostPort>> parsed = parse_endpoints("a:1, http://b:2,[::1]:3");
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->size(), 3u);
  EXPECT_EQ((*parsed)[1].host, "b");
  EXPECT_EQ((*parsed)[2].port, 3);
  EXPECT_FALSE(parse_endpoints("a:1,,b:2").ok());
  EXPECT_FALSE(parse_endpoints("").ok());
}

}  // namespace
}  // namespace decree::client
