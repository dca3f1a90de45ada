// Memory for the records of one store: blocks of 64 KiB, each cut into pieces of one size.
//
// Sizes go up by 8 bytes, because records are most of what a member holds: general allocators round 300 bytes
// up to 320 or 384. A block whose pieces are all free gives its memory back. Blocks are aligned to their
// size, so that a piece finds its block without a table. One thread. Under AddressSanitizer every piece is an
// allocation of its own, to be watched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)  // gcc
#define DECREE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)  // clang
#define DECREE_ADDRESS_SANITIZER 1
#endif
#endif

namespace decree::kv {

#ifdef DECREE_ADDRESS_SANITIZER
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

class RecordPool {
 public:
  RecordPool() : RecordPool(kAddressSanitizer) {}
  explicit RecordPool(bool watched) : watched_(watched) {}
  ~RecordPool();
  RecordPool(const RecordPool&) = delete;
  RecordPool& operator=(const RecordPool&) = delete;

  // Aligned to 8. Throws std::bad_alloc.
  void* allocate(size_t bytes);
  // `bytes` as it was asked for.
  void free(void* piece, size_t bytes);

  // From the system, pieces above the largest size not counted. For tests.
  size_t resident_blocks() const { return blocks_in_use_ + spare_.size(); }

  static constexpr size_t kBlockBytes = 64 << 10;
  static constexpr size_t kPieceBytesMax = 1024;  // above: the general allocator

 private:
  struct Block;
  static constexpr size_t kStep = 8;
  static constexpr size_t kBlocksInChunk = 16;
  static constexpr size_t kSpareMax = 4;

  Block* new_block(size_t size_class);
  void map_chunk();
  void link(Block* block);
  void unlink(Block* block);
  void retire(Block* block);

  const bool watched_;                                          // every piece an allocation of its own
  std::array<Block*, kPieceBytesMax / kStep + 1> with_room_{};  // by class: blocks with a free piece
  std::vector<Block*> spare_;                                   // whole and free, memory still there
  std::vector<Block*> returned_;                                // whole and free, memory given back
  std::vector<void*> chunks_;
  size_t blocks_in_use_ = 0;
};

}  // namespace decree::kv
