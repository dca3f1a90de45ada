#include "http/grpc_framing.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace decree::http {
namespace {

std::string framed(std::string_view message) {
  std::string bytes;
  append_grpc_prefix(&bytes, message.size());
  return bytes.append(message);
}

TEST(MessageReader, FindsTheSameMessagesHoweverTheBytesAreCut) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed) + ": set it in this test to run it again");
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> sent;
    std::string stream;
    for (int i = 0; i < 10; ++i) {
      sent.emplace_back(random() % 300, static_cast<char>('a' + i));
      stream += framed(sent.back());
    }
    MessageReader reader(1000);
    std::vector<std::string> got;
    for (size_t at = 0; at < stream.size();) {
      const size_t n = std::min<size_t>(1 + random() % 40, stream.size() - at);
      std::string_view piece = std::string_view(stream).substr(at, n);
      at += n;
      while (reader.feed(&piece) == MessageReader::Outcome::message) got.push_back(reader.message());
      ASSERT_TRUE(piece.empty());
    }
    ASSERT_EQ(got, sent);
    EXPECT_TRUE(reader.between_messages());
  }
}

TEST(MessageReader, AnAnnouncedLengthAboveTheLimitKeepsNothing) {
  MessageReader reader(100);
  const std::string stream = framed(std::string(101, 'x'));
  std::string_view bytes = stream;
  EXPECT_EQ(reader.feed(&bytes), MessageReader::Outcome::too_large);
  EXPECT_EQ(reader.buffered_bytes(), 0u);
  EXPECT_EQ(reader.announced_bytes(), 101u);
}

TEST(MessageReader, AnAnnouncedLengthReservesNoMemory) {
  MessageReader reader(1u << 30);
  std::string stream;
  append_grpc_prefix(&stream, 1u << 30);
  std::string_view bytes = stream;
  EXPECT_EQ(reader.feed(&bytes), MessageReader::Outcome::need_more);
  EXPECT_LT(reader.message().capacity(), 1024u);
}

TEST(MessageReader, CompressedAndUnknownFlagsAreToldApart) {
  for (const auto& [flag, outcome] : {std::pair{'\1', MessageReader::Outcome::compressed},
                                      std::pair{'\2', MessageReader::Outcome::malformed},
                                      std::pair{'\xff', MessageReader::Outcome::malformed}}) {
    MessageReader reader(100);
    std::string stream = framed("abc");
    stream[0] = flag;
    std::string_view bytes = stream;
    EXPECT_EQ(reader.feed(&bytes), outcome);
  }
}

TEST(PercentEncoding, RoundTripsEveryByteAndLeavesPlainTextAlone) {
  EXPECT_EQ(percent_encode("etcdserver: mvcc: required revision"), "etcdserver: mvcc: required revision");
  EXPECT_EQ(percent_encode("50%\n"), "50%25%0A");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
}

TEST(GrpcTimeout, IsParsedStrictly) {
  using std::chrono::nanoseconds;
  EXPECT_EQ(parse_grpc_timeout("100m"), nanoseconds(100'000'000));
  EXPECT_EQ(parse_grpc_timeout("7S"), nanoseconds(7'000'000'000));
  EXPECT_EQ(parse_grpc_timeout("1H"), nanoseconds(3'600'000'000'000));
  EXPECT_EQ(parse_grpc_timeout("5n"), nanoseconds(5));
  EXPECT_GT(parse_grpc_timeout("99999999H").value(), nanoseconds(0));
  for (const char* bad : {"", "5", "m", "5x", "-5m", "123456789S", "5 m", "+5m"})
    EXPECT_FALSE(parse_grpc_timeout(bad)) << bad;
}

TEST(GrpcTimeout, WhatIsFormattedIsNeverShorterThanWhatWasAsked) {
  for (const int64_t ns : {1LL, 999LL, 100'000'000LL, 7'000'000'123LL, 86'400'000'000'000LL}) {
    const auto back = parse_grpc_timeout(format_grpc_timeout(std::chrono::nanoseconds(ns)));
    ASSERT_TRUE(back.has_value());
    EXPECT_GE(back->count(), ns);
    EXPECT_LE(back->count(), ns + ns / 1000 + 1);
  }
}

}  // namespace
}  // namespace decree::http
