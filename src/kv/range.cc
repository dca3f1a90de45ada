#include "kv/range.h"

#include <string>
#include <vector>

#include "etcd/rpc.pb.h"
#include "kv/encode.h"
#include "kv/range_query.h"
#include "kv/sliced_sort.h"

namespace decree::kv {

namespace {
constexpr size_t kVisitsPerSlice = 8000;
constexpr size_t kVisitsPerSortingSlice = 2048;  // one run of the sort
constexpr size_t kSortedPerSlice = 1000;
}  // namespace

// Two walks over the same pinned revision: the first counts and measures, because a gRPC message begins with
// its length; the second encodes. Sorted and filtered answers keep their records between the two.
struct RangeJob::Impl {
  Impl(std::shared_ptr<Mvcc> mvcc, const etcdserverpb::RangeRequest& r, const HeaderFields& h)
      : request(r),
        query(request),
        header(h),
        at(query.revision > 0 ? query.revision : mvcc->revision()),
        pinned(std::move(mvcc), at),
        sorter([this](const Record* a, const Record* b) { return query.before(a, b); }),
        cursor(query.range.key) {
    keep_max = query.count_only                     ? 0
               : query.cut_first && query.limit > 0 ? static_cast<uint64_t>(query.limit) + 1
                                                    : UINT64_MAX;
  }

  enum class Phase { scan, sort, ready };

  // Walks on from the cursor; `visit` returns false to stop the walk. True when the range is exhausted.
  template <class Visit>
  bool walk(size_t visits_max, const Visit& visit) {
    const Mvcc& mvcc = pinned.mvcc();
    const auto [first, last] = mvcc.bounds(query.range);
    auto it = started ? mvcc.index().lower_bound(cursor) : first;
    started = true;
    for (size_t n = 0; it != last; ++it) {
      // The bounds were made for the whole range: the cursor lies inside, so `last` is still ahead.
      if (++n > visits_max) break;
      const Record* record = mvcc.visible(*it, at);
      if (record != nullptr && !visit(*record)) break;
    }
    if (it == last) return true;
    cursor = it->record()->key();
    return false;
  }

  void scan_slice() {
    const bool done =
        walk(query.streams() ? kVisitsPerSlice : kVisitsPerSortingSlice, [this](const Record& record) {
          ++count;
          if (kept >= keep_max || !query.passes(record)) return true;
          ++kept;
          if (!query.streams()) {
            sorter.add(&record);
          } else if (query.limit <= 0 || kept <= static_cast<uint64_t>(query.limit)) {
            measure(record);
          }
          return true;
        });
    if (!done) return;
    more = query.limit > 0 && kept > static_cast<uint64_t>(query.limit);
    to_send = more ? static_cast<uint64_t>(query.limit) : kept;
    if (query.streams()) {
      finish();
    } else {
      sorter.seal();
      phase = Phase::sort;
    }
  }

  void sort_slice() {
    for (size_t n = 0; n < kSortedPerSlice && sorted.size() < to_send; ++n) {
      sorted.push_back(sorter.next());
      measure(*sorted.back());
    }
    if (sorted.size() == to_send) finish();
  }

  void measure(const Record& record) {
    bytes += wire::length_field_bytes(kv_body_bytes(record, query.keys_only));
  }

  void finish() {
    put_header(&head, header);
    wire::put_int_field(&tail, 3, more ? 1 : 0);
    wire::put_int_field(&tail, 4, static_cast<uint64_t>(count));
    bytes += head.size() + tail.size();
    started = false;
    phase = Phase::ready;
  }

  bool emit(size_t bytes_max, std::string* out) {
    const size_t begin = out->size();
    if (!head_sent) {
      out->append(head);
      head_sent = true;
    }
    const auto full = [&] { return out->size() - begin >= bytes_max; };
    if (!query.streams()) {
      for (size_t n = 0; sent < to_send && n < kSortedPerSlice && !full(); ++n) {
        put_kv(out, 2, *sorted[sent++], query.keys_only);
      }
    } else if (sent < to_send) {
      walk(kVisitsPerSlice, [&](const Record& record) {
        if (full() || sent == to_send) return false;
        put_kv(out, 2, record, query.keys_only);
        ++sent;
        return true;
      });
    }
    if (sent < to_send) return true;
    if (!tail_sent) out->append(tail);
    tail_sent = true;
    return false;
  }

  etcdserverpb::RangeRequest request;
  RangeQuery query;
  HeaderFields header;
  int64_t at;
  PinnedRevision pinned;
  SlicedSort sorter;
  std::vector<const Record*> sorted;
  uint64_t keep_max = 0;

  Phase phase = Phase::scan;
  std::string cursor;
  bool started = false;
  int64_t count = 0;
  uint64_t kept = 0;
  uint64_t to_send = 0;
  bool more = false;
  uint64_t bytes = 0;
  std::string head;
  std::string tail;
  uint64_t sent = 0;
  bool head_sent = false;
  bool tail_sent = false;
};

RangeJob::RangeJob(std::shared_ptr<Mvcc> mvcc, const etcdserverpb::RangeRequest& request,
                   const HeaderFields& header)
    : impl_(std::make_unique<Impl>(std::move(mvcc), request, header)) {}
RangeJob::~RangeJob() = default;

bool RangeJob::prepare() {
  if (impl_->phase == Impl::Phase::scan) {
    impl_->scan_slice();
  } else if (impl_->phase == Impl::Phase::sort) {
    impl_->sort_slice();
  }
  return impl_->phase == Impl::Phase::ready;
}

uint64_t RangeJob::total_bytes() const {
  DECREE_CHECK(impl_->phase == Impl::Phase::ready, "prepare() first");
  return impl_->bytes;
}

bool RangeJob::next(size_t bytes_max, std::string* out) {
  DECREE_CHECK(impl_->phase == Impl::Phase::ready, "prepare() first");
  return impl_->emit(bytes_max, out);
}

}  // namespace decree::kv
