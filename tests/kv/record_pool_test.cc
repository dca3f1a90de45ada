#include "kv/record_pool.h"

#include <cstring>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace decree::kv {
namespace {

struct Piece {
  char* at;
  size_t bytes;
  char fill;
};

void expect_untouched(const Piece& piece) {
  for (size_t i = 0; i < piece.bytes; ++i)
    ASSERT_EQ(piece.at[i], piece.fill) << "byte " << i << " of " << piece.bytes;
}

TEST(RecordPool, PiecesNeverOverlap) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  RecordPool pool(false);
  std::vector<Piece> pieces;
  for (int step = 0; step < 60'000; ++step) {
    if (pieces.empty() || random() % 5 < (step < 30'000 ? 3u : 2u)) {
      // Mostly few sizes, so that blocks fill and empty; sometimes any, the large ones among them.
      const size_t bytes = random() % 4 == 0 ? 44 + random() % 1400 : 300 + random() % 3 * 8;
      const Piece piece{static_cast<char*>(pool.allocate(bytes)), bytes, static_cast<char>(random())};
      ASSERT_EQ(reinterpret_cast<uintptr_t>(piece.at) % 8, 0u);
      std::memset(piece.at, piece.fill, bytes);
      pieces.push_back(piece);
    } else {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      expect_untouched(pieces.back());
      pool.free(pieces.back().at, pieces.back().bytes);
      pieces.pop_back();
    }
  }
  for (const Piece& piece : pieces) {
    expect_untouched(piece);
    pool.free(piece.at, piece.bytes);
  }
  EXPECT_LE(pool.resident_blocks(), 4u) << "what is empty goes back";
}

TEST(RecordPool, ABlockThatWasFullIsUsedAgainAfterOnePieceCameBack) {
  RecordPool pool(false);
  std::vector<void*> pieces;
  for (int i = 0; i < 1000; ++i) pieces.push_back(pool.allocate(320));
  const size_t blocks = pool.resident_blocks();
  for (int i = 0; i < 1000; i += 2) pool.free(pieces[static_cast<size_t>(i)], 320);
  for (int i = 0; i < 1000; i += 2) pieces[static_cast<size_t>(i)] = pool.allocate(320);
  EXPECT_EQ(pool.resident_blocks(), blocks);
  EXPECT_EQ(std::set<void*>(pieces.begin(), pieces.end()).size(), pieces.size());
  for (void* piece : pieces) pool.free(piece, 320);
}

TEST(RecordPool, SizesCostAtMostEightBytesMoreThanAskedFor) {
  RecordPool pool(false);
  const auto* a = static_cast<char*>(pool.allocate(321));
  const auto* b = static_cast<char*>(pool.allocate(321));
  EXPECT_EQ(b - a, 328);
  pool.free(const_cast<char*>(a), 321);
  pool.free(const_cast<char*>(b), 321);
}

}  // namespace
}  // namespace decree::kv
