#include "kv/record_pool.h"

#include <sys/mman.h>

#include <new>

#include "decree/check.h"

namespace decree::kv {

namespace {

struct FreePiece {
  FreePiece* next;
};

}  // namespace

// Begins every block.
struct RecordPool::Block {
  uint32_t size_class;
  uint32_t live;       // pieces given out
  uint32_t untouched;  // offset of the first byte that was never part of a piece
  FreePiece* free;     // pieces that came back
  Block* next;         // among the blocks with room
  Block* previous;

  size_t piece_bytes() const { return size_class * kStep; }
  bool has_room() const { return free != nullptr || untouched + piece_bytes() <= kBlockBytes; }
};

RecordPool::~RecordPool() {
  for (void* chunk : chunks_) munmap(chunk, kBlocksInChunk * kBlockBytes);
}

void* RecordPool::allocate(size_t bytes) {
  if (watched_ || bytes > kPieceBytesMax) return ::operator new(bytes);
  const size_t size_class = (bytes + kStep - 1) / kStep;
  Block* block = with_room_[size_class];
  if (block == nullptr) block = new_block(size_class);
  void* piece = block->free;
  if (piece != nullptr) {
    block->free = block->free->next;
  } else {
    piece = reinterpret_cast<char*>(block) + block->untouched;
    block->untouched += static_cast<uint32_t>(block->piece_bytes());
  }
  ++block->live;
  if (!block->has_room()) unlink(block);
  return piece;
}

void RecordPool::free(void* piece, size_t bytes) {
  if (watched_ || bytes > kPieceBytesMax) return ::operator delete(piece);
  auto* block = reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(piece) & ~(kBlockBytes - 1));
  DECREE_CHECK(block->size_class == (bytes + kStep - 1) / kStep && block->live > 0,
               "a piece comes back to its block");
  if (!block->has_room()) link(block);
  auto* freed = static_cast<FreePiece*>(piece);
  freed->next = block->free;
  block->free = freed;
  if (--block->live == 0) retire(block);
}

RecordPool::Block* RecordPool::new_block(size_t size_class) {
  if (spare_.empty() && returned_.empty()) map_chunk();
  std::vector<Block*>& from = spare_.empty() ? returned_ : spare_;
  Block* block = from.back();
  from.pop_back();
  constexpr auto kFirst = static_cast<uint32_t>((sizeof(Block) + 15) & ~size_t{15});
  *block = {.size_class = static_cast<uint32_t>(size_class),
            .live = 0,
            .untouched = kFirst,
            .free = nullptr,
            .next = nullptr,
            .previous = nullptr};
  ++blocks_in_use_;
  link(block);
  return block;
}

// Room for one block more than is used, so that the blocks can be aligned.
void RecordPool::map_chunk() {
  constexpr size_t kBytes = kBlocksInChunk * kBlockBytes;
  chunks_.reserve(chunks_.size() + 1);
  returned_.reserve((chunks_.size() + 1) * kBlocksInChunk);
  spare_.reserve(kSpareMax);
  void* mapped =
      mmap(nullptr, kBytes + kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  const auto from = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t begin = (from + kBlockBytes - 1) & ~(kBlockBytes - 1);
  if (begin != from) munmap(mapped, begin - from);
  const size_t behind = from + kBlockBytes - begin;
  if (behind != 0) munmap(reinterpret_cast<void*>(begin + kBytes), behind);
  chunks_.push_back(reinterpret_cast<void*>(begin));
  for (size_t i = kBlocksInChunk; i-- > 0;)
    returned_.push_back(reinterpret_cast<Block*>(begin + i * kBlockBytes));
}

void RecordPool::link(Block* block) {
  Block*& first = with_room_[block->size_class];
  block->previous = nullptr;
  block->next = first;
  if (first != nullptr) first->previous = block;
  first = block;
}

void RecordPool::unlink(Block* block) {
  if (block->previous != nullptr)
    block->previous->next = block->next;
  else
    with_room_[block->size_class] = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
}

void RecordPool::retire(Block* block) {
  unlink(block);
  --blocks_in_use_;
  if (spare_.size() < kSpareMax) return spare_.push_back(block);
  // Only a hint to the system: when it fails the memory stays, and is used again.
  madvise(block, kBlockBytes, MADV_DONTNEED);
  returned_.push_back(block);
}

}  // namespace decree::kv
