// Sizes and constants of the snapshot file (docs/wal_format.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace decree::storage::snapshot_format {

constexpr uint64_t kMagic = 0x50414e5345524344;  // "DCRESNAP"
constexpr uint64_t kSeed = 0x736e617073686f74;
constexpr uint32_t kFormat = 1;
constexpr size_t kFixedHeaderBytes = 56;
constexpr size_t kHeaderBytesMax = 1u << 20;
constexpr size_t kChunkHeaderBytes = 16;
constexpr size_t kChunkBytes = 256u << 10;   // written
constexpr size_t kChunkBytesMax = 4u << 20;  // accepted
constexpr size_t kFooterBytes = 40;
constexpr size_t kImportPiecesMax = 4096;  // separate stretches held while importing

}  // namespace decree::storage::snapshot_format
