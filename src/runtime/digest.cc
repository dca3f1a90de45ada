#include "runtime/digest.h"

#include <array>
#include <cstring>

#include <xxhash.h>

namespace decree::runtime {
namespace {

void put_le64(unsigned char* out, uint64_t v) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<unsigned char>(v >> (8 * i));
}

bool entry_holds(const Entry& entry) {
  return entry.kind != EntryKind::command ||
         entry.digest == entry_digest(entry.kind, entry.id, entry.bytes());
}

bool entries_hold(const std::vector<Entry>& entries) {
  for (const Entry& e : entries)
    if (!entry_holds(e)) return false;
  return true;
}

uint64_t weight(const std::vector<Entry>& entries) {
  uint64_t sum = 0;
  for (const Entry& e : entries) sum += e.weight_bytes();
  return sum;
}

}  // namespace

Digest128 entry_digest(EntryKind kind, const RequestId& id, std::string_view payload) {
  // Payload first, then a fixed header around its hash: two one-shot calls are cheaper than the streaming
  // form.
  const XXH128_hash_t body = XXH3_128bits(payload.data(), payload.size());
  std::array<unsigned char, 48> head{};
  head[0] = static_cast<unsigned char>(kind);
  put_le64(&head[8], id.node.value);
  put_le64(&head[16], id.boot);
  put_le64(&head[24], id.seq);
  put_le64(&head[32], body.high64);
  put_le64(&head[40], body.low64);
  const XXH128_hash_t all = XXH3_128bits(head.data(), head.size());
  return Digest128{all.high64, all.low64};
}

Entry make_command(const RequestId& id, std::shared_ptr<const std::string> payload) {
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = id;
  entry.digest = entry_digest(entry.kind, id, *payload);
  entry.payload = std::move(payload);
  return entry;
}

Entry make_command(const RequestId& id, std::string payload) {
  return make_command(id, std::make_shared<const std::string>(std::move(payload)));
}

bool digests_hold(const Message& message) {
  if (const auto* accept = std::get_if<Accept>(&message)) return entries_hold(accept->entries);
  if (const auto* chosen = std::get_if<Chosen>(&message)) return entries_hold(chosen->entries);
  if (const auto* forward = std::get_if<Forward>(&message)) return entries_hold(forward->entries);
  if (const auto* reply = std::get_if<FetchReply>(&message)) {
    for (const FetchedEntry& f : reply->entries)
      if (!entry_holds(f.accepted.entry)) return false;
  }
  return true;
}

uint64_t message_weight_bytes(const Message& message) {
  constexpr uint64_t kBase = 128;
  if (const auto* accept = std::get_if<Accept>(&message)) return kBase + weight(accept->entries);
  if (const auto* chosen = std::get_if<Chosen>(&message)) return kBase + weight(chosen->entries);
  if (const auto* forward = std::get_if<Forward>(&message)) return kBase + weight(forward->entries);
  if (const auto* promise = std::get_if<Promise>(&message)) return kBase + promise->runs.size() * 48;
  if (const auto* chunk = std::get_if<SnapshotChunk>(&message))
    return kBase + (chunk->bytes ? chunk->bytes->size() : 0);
  if (const auto* reply = std::get_if<FetchReply>(&message)) {
    uint64_t sum = kBase;
    for (const FetchedEntry& f : reply->entries) sum += f.accepted.entry.weight_bytes();
    return sum;
  }
  return kBase;
}

}  // namespace decree::runtime
