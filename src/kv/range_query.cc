#include "kv/range_query.h"

#include <algorithm>

#include "etcd/rpc.pb.h"
#include "kv/encode.h"

namespace decree::kv {

using etcdserverpb::RangeRequest;

RangeQuery::RangeQuery(const RangeRequest& request)
    : range{request.key(), request.range_end()},
      limit(request.limit()),
      revision(request.revision()),
      keys_only(request.keys_only()),
      count_only(request.count_only()),
      mod_min(request.min_mod_revision()),
      mod_max(request.max_mod_revision()),
      create_min(request.min_create_revision()),
      create_max(request.max_create_revision()) {
  switch (request.sort_target()) {
    case RangeRequest::VERSION:
      target = SortTarget::version;
      break;
    case RangeRequest::CREATE:
      target = SortTarget::create;
      break;
    case RangeRequest::MOD:
      target = SortTarget::mod;
      break;
    case RangeRequest::VALUE:
      target = SortTarget::value;
      break;
    default:
      target = SortTarget::key;
      break;
  }
  descending = request.sort_order() == RangeRequest::DESCEND;
  reorder = target != SortTarget::key || descending;
  const bool filtered = mod_min != 0 || mod_max != 0 || create_min != 0 || create_max != 0;
  const bool natural =
      request.sort_order() == RangeRequest::NONE || (target == SortTarget::key && !descending);
  cut_first = natural && !filtered;
}

bool RangeQuery::before(const Record* a, const Record* b) const {
  int order = 0;
  const auto compare = [](int64_t x, int64_t y) { return x < y ? -1 : (x > y ? 1 : 0); };
  switch (target) {
    case SortTarget::key:
      break;
    case SortTarget::version:
      order = compare(a->version(), b->version());
      break;
    case SortTarget::create:
      order = compare(a->create(), b->create());
      break;
    case SortTarget::mod:
      order = compare(a->mod(), b->mod());
      break;
    case SortTarget::value:
      order = a->value().compare(b->value());
      break;
  }
  if (order == 0) {
    order = a->key().compare(b->key());
    if (target != SortTarget::key) return order < 0;
  }
  return descending ? order > 0 : order < 0;
}

Refusal check_range_revision(const Mvcc& mvcc, int64_t revision) {
  if (revision > mvcc.read_revision()) return kFutureRevision;
  if (revision > 0 && revision < mvcc.compacted()) return kCompacted;
  return kAccepted;
}

bool evaluate_range(const Mvcc& mvcc, const RangeQuery& query, RangeBudget budget, RangeAnswer* answer) {
  const int64_t at = query.revision > 0 ? query.revision : mvcc.read_revision();
  // One more than the limit where the cut comes before the sorting, so that the answer knows whether there is
  // more.
  const uint64_t keep_max = query.count_only                     ? 0
                            : query.cut_first && query.limit > 0 ? static_cast<uint64_t>(query.limit) + 1
                                                                 : UINT64_MAX;
  const auto [first, last] = mvcc.bounds(query.range);
  size_t visits = 0;
  size_t bytes = 0;
  for (auto it = first; it != last; ++it) {
    if (answer->kvs.size() >= keep_max && at >= mvcc.read_revision()) {
      answer->count +=
          static_cast<int64_t>(mvcc.index().count_live(it, last));  // only the count is left to find
      break;
    }
    if (++visits > budget.visits) return false;
    const Record* record = mvcc.visible(*it, at);
    if (record == nullptr) continue;
    ++answer->count;
    if (answer->kvs.size() >= keep_max || !query.passes(*record)) continue;
    visits += 16;  // an answer costs more than a count
    bytes += record->key().size() + (query.keys_only ? 0 : record->value().size());
    if (bytes > budget.bytes) return false;
    answer->kvs.push_back(record);
  }
  if (query.reorder) {
    std::sort(answer->kvs.begin(), answer->kvs.end(),
              [&query](const Record* a, const Record* b) { return query.before(a, b); });
  }
  if (query.limit > 0 && answer->kvs.size() > static_cast<uint64_t>(query.limit)) {
    answer->kvs.resize(static_cast<size_t>(query.limit));
    answer->more = true;
  }
  return true;
}

void put_range_response(std::string* out, const HeaderFields& header, const RangeQuery& query,
                        const RangeAnswer& answer) {
  size_t bytes = 64;
  for (const Record* record : answer.kvs) bytes += 8 + kv_body_bytes(*record, query.keys_only);
  out->reserve(out->size() + bytes);
  put_header(out, header);
  for (const Record* record : answer.kvs) put_kv(out, 2, *record, query.keys_only);
  wire::put_int_field(out, 3, answer.more ? 1 : 0);
  wire::put_int_field(out, 4, static_cast<uint64_t>(answer.count));
}

}  // namespace decree::kv
