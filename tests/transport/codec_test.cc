#include "transport/codec.h"

#include <random>

#include "gtest/gtest.h"
#include "tests/transport/random_messages.h"

namespace decree::transport {
namespace {

constexpr size_t kKinds = std::variant_size_v<Message>;

std::string encoded(uint32_t epoch, const Message& message) {
  std::string out;
  encode_message(epoch, message, out);
  return out;
}

// The encoding is a function of the value, so equal bytes after a round trip mean that nothing was lost.
TEST(Codec, EveryMessageSurvivesARoundTrip) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    testing::RandomMessages random(seed);
    for (size_t kind = 0; kind < kKinds; ++kind) {
      const Message message = random.make(kind);
      ASSERT_EQ(message.index(), kind);
      const std::string bytes = encoded(7, message);
      Result<Decoded> decoded = decode_message(bytes);
      ASSERT_TRUE(decoded.ok()) << message_name(message) << " seed " << seed << ": "
                                << decoded.error().message;
      EXPECT_EQ(decoded->epoch, 7U);
      ASSERT_EQ(decoded->message.index(), kind);
      EXPECT_EQ(encoded(7, decoded->message), bytes) << message_name(message) << " seed " << seed;
    }
  }
}

TEST(Codec, FieldsArriveWhereTheyWereSent) {
  Accept accept;
  accept.ballot = Ballot{1, 2, 3, NodeId(4)};
  accept.base = Slot(5);
  accept.first = Slot(6);
  accept.decided = Slot(7);
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = RequestId{NodeId(8), 9, 10};
  entry.digest = Digest128{11, 12};
  entry.payload = std::make_shared<const std::string>("thirteen");
  accept.entries = {entry, entry};
  Result<Decoded> decoded = decode_message(encoded(0, accept));
  ASSERT_TRUE(decoded.ok());
  const auto& got = std::get<Accept>(decoded->message);
  EXPECT_EQ(got.ballot, accept.ballot);
  EXPECT_EQ(got.base, accept.base);
  EXPECT_EQ(got.first, accept.first);
  EXPECT_EQ(got.decided, accept.decided);
  EXPECT_EQ(got.entries, accept.entries);
}

TEST(Codec, TruncatedMessagesAreRefused) {
  testing::RandomMessages random(42);
  for (size_t kind = 0; kind < kKinds; ++kind) {
    const std::string bytes = encoded(1, random.make(kind));
    // Every cut of the raw part and of the header; cuts are never accepted, whatever the protobuf part says.
    for (size_t keep = 0; keep < bytes.size(); keep += 1 + bytes.size() / 64)
      EXPECT_FALSE(decode_message(std::string_view(bytes).substr(0, keep)).ok())
          << kind << " cut at " << keep;
  }
}

TEST(Codec, TrailingBytesAreRefused) {
  testing::RandomMessages random(43);
  for (size_t kind = 0; kind < kKinds; ++kind) {
    std::string bytes = encoded(1, random.make(kind));
    bytes += 'x';
    EXPECT_FALSE(decode_message(bytes).ok()) << kind;
  }
}

TEST(Codec, ChangedBytesNeverDoHarm) {
  std::mt19937_64 random(44);
  testing::RandomMessages messages(45);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = encoded(1, messages.make(random() % kKinds));
    for (size_t flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)decode_message(bytes).ok();  // accepted or refused, nothing else
  }
}

TEST(Codec, APayloadLengthBeyondTheMessageIsRefusedWithoutAllocation) {
  Accept accept;
  Entry entry;
  entry.kind = EntryKind::command;
  entry.payload = std::make_shared<const std::string>("0123456789");
  accept.entries = {entry};
  std::string bytes = encoded(0, accept);
  // The field payload_bytes = 10 is the last of the entry: make it 0x7f.
  const size_t at = bytes.rfind('\x0a', bytes.size() - 11);
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '\x7f';
  EXPECT_FALSE(decode_message(bytes).ok());
}

}  // namespace
}  // namespace decree::transport
