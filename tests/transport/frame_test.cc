#include "transport/frame.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace decree::transport {
namespace {

std::string frame_of(const std::string& payload, FrameKind kind = FrameKind::message) {
  std::string out;
  const size_t at = open_frame(out);
  out += payload;
  close_frame(out, at, kind);
  return out;
}

// Feeds `bytes` in pieces of the given sizes (repeated) and returns the payloads.
std::vector<std::string> read_all(const std::string& bytes, const std::vector<size_t>& pieces) {
  FrameReader reader(kFramePayloadBytesMax);
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t i = 0; at < bytes.size(); ++i) {
    const size_t n = std::min(pieces[i % pieces.size()], bytes.size() - at);
    reader.feed(std::string_view(bytes).substr(at, n));
    at += n;
    Frame frame;
    while (reader.next(&frame) == FrameReader::Status::frame) out.emplace_back(frame.payload);
    EXPECT_EQ(reader.problem(), "");
  }
  return out;
}

TEST(Frame, ArrivesHoweverTheBytesAreCut) {
  std::mt19937_64 random(7);
  std::string bytes;
  std::vector<std::string> payloads;
  for (size_t i = 0; i < 40; ++i) {
    payloads.emplace_back(random() % 5 == 0 ? 0 : random() % 3000, static_cast<char>('a' + i % 26));
    bytes += frame_of(payloads.back());
  }
  EXPECT_EQ(read_all(bytes, {bytes.size()}), payloads);
  EXPECT_EQ(read_all(bytes, {1}), payloads);
  EXPECT_EQ(read_all(bytes, {15, 2, 1000}), payloads);
  for (int round = 0; round < 50; ++round) {
    std::vector<size_t> pieces;
    for (int i = 0; i < 20; ++i) pieces.push_back(1 + random() % 700);
    EXPECT_EQ(read_all(bytes, pieces), payloads) << "round " << round << " of seed 7";
  }
}

TEST(Frame, AnyChangedBitIsFound) {
  const std::string good = frame_of("some payload that matters");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    FrameReader reader(kFramePayloadBytesMax);
    reader.feed(bad);
    Frame frame;
    EXPECT_NE(reader.next(&frame), FrameReader::Status::frame) << "bit " << bit;
  }
}

TEST(Frame, AnOversizedLengthIsRefusedBeforeItsBytesCome) {
  std::string bytes = frame_of(std::string(50000, 'x'), FrameKind::hello);
  bytes.resize(kFrameHeaderBytes);
  FrameReader reader(kHandshakePayloadBytesMax);
  reader.feed(bytes);
  Frame frame;
  EXPECT_EQ(reader.next(&frame), FrameReader::Status::broken);
  EXPECT_NE(reader.problem().find("50000"), std::string::npos) << reader.problem();
  EXPECT_EQ(reader.next(&frame), FrameReader::Status::broken) << "a broken stream stays broken";
}

TEST(Frame, GarbageIsBrokenAtOnce) {
  const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03zzzzzzzzzz", 21);
  for (const std::string& garbage : {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                                     std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), tls}) {
    FrameReader reader(kHandshakePayloadBytesMax);
    reader.feed(garbage);
    Frame frame;
    EXPECT_EQ(reader.next(&frame), FrameReader::Status::broken) << garbage;
  }
}

TEST(Frame, HalfAFrameIsHeldAndNoMore) {
  const std::string whole = frame_of(std::string(1000, 'y'));
  FrameReader reader(kFramePayloadBytesMax);
  reader.feed(std::string_view(whole).substr(0, 600));
  Frame frame;
  EXPECT_EQ(reader.next(&frame), FrameReader::Status::need_more);
  EXPECT_EQ(reader.buffered_bytes(), 600U);
}

}  // namespace
}  // namespace decree::transport
