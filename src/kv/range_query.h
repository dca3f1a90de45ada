// A range request in the store's terms, and its evaluation in one go.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kv/mvcc.h"
#include "kv/range.h"
#include "kv/status.h"

namespace decree::kv {

enum class SortTarget : uint8_t { key, version, create, mod, value };

// Views point into the request: it must outlive the query.
struct RangeQuery {
  explicit RangeQuery(const etcdserverpb::RangeRequest& request);

  KeyRange range;
  int64_t limit = 0;     // <= 0: none
  int64_t revision = 0;  // <= 0: newest
  SortTarget target = SortTarget::key;
  bool descending = false;
  bool reorder = false;    // the answer is not in key order
  bool cut_first = false;  // the limit cuts in key order, before any sorting (etcd: order NONE and no filter)
  bool keys_only = false;
  bool count_only = false;
  int64_t mod_min = 0;
  int64_t mod_max = 0;
  int64_t create_min = 0;
  int64_t create_max = 0;

  bool passes(const Record& r) const {
    return !(mod_max != 0 && r.mod() > mod_max) && !(mod_min != 0 && r.mod() < mod_min) &&
           !(create_max != 0 && r.create() > create_max) && !(create_min != 0 && r.create() < create_min);
  }
  // A strict order; ties go by key.
  bool before(const Record* a, const Record* b) const;
  // Answered while walking, nothing need be kept.
  bool streams() const { return count_only || (!reorder && cut_first); }
};

struct RangeAnswer {
  std::vector<const Record*> kvs;
  int64_t count = 0;
  bool more = false;
};

// Stops an evaluation that would take too long or too many bytes in one go.
struct RangeBudget {
  size_t visits = SIZE_MAX;
  size_t bytes = SIZE_MAX;
};

// Future or compacted, seen from the present read revision (inside a writing transaction: its own).
Refusal check_range_revision(const Mvcc& mvcc, int64_t revision);

// False: over budget, `answer` is half done. The revision must have been checked.
bool evaluate_range(const Mvcc& mvcc, const RangeQuery& query, RangeBudget budget, RangeAnswer* answer);

// RangeResponse: header, kvs, more, count.
void put_range_response(std::string* out, const HeaderFields& header, const RangeQuery& query,
                        const RangeAnswer& answer);

}  // namespace decree::kv
