// Serialized etcd messages, straight from records.
#pragma once

#include <string>

#include "kv/range.h"
#include "kv/record.h"
#include "kv/wire.h"

namespace decree::kv {

// ResponseHeader as field 1 of any answer.
inline void put_header(std::string* out, const HeaderFields& h) {
  std::string body;
  wire::put_int_field(&body, 1, h.cluster_id);
  wire::put_int_field(&body, 2, h.member_id);
  wire::put_int_field(&body, 3, static_cast<uint64_t>(h.revision));
  wire::put_int_field(&body, 4, h.term);
  wire::put_message_field(out, 1, body);
}

// mvccpb.KeyValue of a live version; of a tombstone only key and mod_revision are ever asked for.
inline size_t kv_body_bytes(const Record& r, bool keys_only) {
  return wire::bytes_field_bytes(r.key().size()) + wire::int_field_bytes(static_cast<uint64_t>(r.create())) +
         wire::int_field_bytes(static_cast<uint64_t>(r.mod())) +
         wire::int_field_bytes(static_cast<uint64_t>(r.version())) +
         (keys_only ? 0 : wire::bytes_field_bytes(r.value().size())) +
         wire::int_field_bytes(static_cast<uint64_t>(r.lease()));
}
inline void put_kv_body(std::string* out, const Record& r, bool keys_only) {
  wire::put_bytes_field(out, 1, r.key());
  wire::put_int_field(out, 2, static_cast<uint64_t>(r.create()));
  wire::put_int_field(out, 3, static_cast<uint64_t>(r.mod()));
  wire::put_int_field(out, 4, static_cast<uint64_t>(r.version()));
  if (!keys_only) wire::put_bytes_field(out, 5, r.value());
  wire::put_int_field(out, 6, static_cast<uint64_t>(r.lease()));
}
inline void put_kv(std::string* out, uint32_t field, const Record& r, bool keys_only = false) {
  wire::put_length_tag(out, field, kv_body_bytes(r, keys_only));
  put_kv_body(out, r, keys_only);
}

}  // namespace decree::kv
