// Random histories against a naive model: a std::map per revision, copied at every write.
// Run one again with DECREE_SEED=<seed> build/asan/kv_tests --gtest_filter='Model.*'
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>

#include <google/protobuf/util/message_differencer.h>
#include "store_fixture.h"

namespace decree::kv {
namespace {

using Pairs = std::map<std::string, mvccpb::KeyValue>;

// Every rule in its most literal form; nothing is shared with the store but the messages.
class Model {
 public:
  const Pairs& at(int64_t revision) const { return states_[static_cast<size_t>(revision)]; }
  int64_t revision() const { return static_cast<int64_t>(states_.size()) - 1; }
  int64_t compacted = -1;

  static bool in_range(const std::string& k, const std::string& key, const std::string& end) {
    if (end.empty()) return k == key;
    return k >= key && (end == kToEnd || k < end);
  }

  // Returns the error's text, empty if none.
  std::string range(const pb::RangeRequest& r, pb::RangeResponse* response) const {
    const Pairs& now = writing_ ? next_ : at(revision());
    const int64_t current = writing_ && changed_ ? revision() + 1 : revision();
    if (r.revision() > current) return std::string(kFutureRevision.text);
    if (r.revision() > 0 && r.revision() < compacted) return std::string(kCompacted.text);
    const Pairs& seen = r.revision() > 0 && r.revision() <= revision() ? at(r.revision()) : now;
    std::vector<mvccpb::KeyValue> kvs;
    for (const auto& [key, kv] : seen) {
      if (in_range(key, r.key(), r.range_end())) kvs.push_back(kv);
    }
    response->set_count(static_cast<int64_t>(kvs.size()));
    if (r.count_only()) kvs.clear();
    const bool sorted =
        r.sort_order() != pb::RangeRequest::NONE &&
        !(r.sort_target() == pb::RangeRequest::KEY && r.sort_order() == pb::RangeRequest::ASCEND);
    const bool filtered = r.min_mod_revision() != 0 || r.max_mod_revision() != 0 ||
                          r.min_create_revision() != 0 || r.max_create_revision() != 0;
    if (!sorted && !filtered && r.limit() > 0 && kvs.size() > static_cast<size_t>(r.limit()) + 1) {
      kvs.resize(static_cast<size_t>(r.limit()) + 1);
    }
    const auto drop = [&](const mvccpb::KeyValue& kv) {
      return (r.min_mod_revision() != 0 && kv.mod_revision() < r.min_mod_revision()) ||
             (r.max_mod_revision() != 0 && kv.mod_revision() > r.max_mod_revision()) ||
             (r.min_create_revision() != 0 && kv.create_revision() < r.min_create_revision()) ||
             (r.max_create_revision() != 0 && kv.create_revision() > r.max_create_revision());
    };
    kvs.erase(std::remove_if(kvs.begin(), kvs.end(), drop), kvs.end());
    std::stable_sort(kvs.begin(), kvs.end(), [&](const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
      const bool down = r.sort_order() == pb::RangeRequest::DESCEND;
      const auto& x = down ? b : a;
      const auto& y = down ? a : b;
      switch (r.sort_target()) {
        case pb::RangeRequest::VERSION:
          return x.version() < y.version();
        case pb::RangeRequest::CREATE:
          return x.create_revision() < y.create_revision();
        case pb::RangeRequest::MOD:
          return x.mod_revision() < y.mod_revision();
        case pb::RangeRequest::VALUE:
          return x.value() < y.value();
        default:
          return x.key() < y.key();
      }
    });
    if (r.limit() > 0 && kvs.size() > static_cast<size_t>(r.limit())) {
      kvs.resize(static_cast<size_t>(r.limit()));
      response->set_more(true);
    }
    for (auto& kv : kvs) {
      if (r.keys_only()) kv.clear_value();
      *response->add_kvs() = kv;
    }
    response->mutable_header()->set_revision(current);
    return {};
  }

  void begin() {
    writing_ = true;
    changed_ = false;
    next_ = at(revision());
  }
  void end() {
    writing_ = false;
    if (changed_) states_.push_back(next_);
  }
  std::string check_put(const pb::PutRequest& r) const {
    if ((r.ignore_value() || r.ignore_lease()) && at(revision()).count(r.key()) == 0)
      return std::string(kKeyNotFound.text);
    return r.lease() != 0 ? std::string(kLeaseNotFound.text) : "";
  }
  void put(const pb::PutRequest& r, pb::PutResponse* response) {
    const auto old = next_.find(r.key());
    mvccpb::KeyValue kv;
    kv.set_key(r.key());
    kv.set_value(!r.ignore_value() ? r.value() : old != next_.end() ? old->second.value() : "");
    kv.set_mod_revision(revision() + 1);
    kv.set_create_revision(old == next_.end() ? revision() + 1 : old->second.create_revision());
    kv.set_version(old == next_.end() ? 1 : old->second.version() + 1);
    if (r.prev_kv() && old != next_.end()) *response->mutable_prev_kv() = old->second;
    next_[r.key()] = kv;
    changed_ = true;
    response->mutable_header()->set_revision(revision() + 1);
  }
  void del(const pb::DeleteRangeRequest& r, pb::DeleteRangeResponse* response) {
    for (auto it = next_.begin(); it != next_.end();) {
      if (!in_range(it->first, r.key(), r.range_end())) {
        ++it;
        continue;
      }
      if (r.prev_kv()) *response->add_prev_kvs() = it->second;
      it = next_.erase(it);
      response->set_deleted(response->deleted() + 1);
      changed_ = true;
    }
    response->mutable_header()->set_revision(revision() + (changed_ ? 1 : 0));
  }
  bool holds(const pb::Compare& c) const {
    bool any = false;
    bool all = true;
    for (const auto& [key, kv] : at(revision())) {
      if (!in_range(key, c.key(), c.range_end())) continue;
      any = true;
      all = all && holds(c, kv);
    }
    if (any) return all;
    return c.target() != pb::Compare::VALUE && holds(c, {});
  }
  static bool holds(const pb::Compare& c, const mvccpb::KeyValue& kv) {
    int64_t order = 0;
    switch (c.target()) {
      case pb::Compare::VERSION:
        order = kv.version() - c.version();
        break;
      case pb::Compare::CREATE:
        order = kv.create_revision() - c.create_revision();
        break;
      case pb::Compare::MOD:
        order = kv.mod_revision() - c.mod_revision();
        break;
      case pb::Compare::VALUE:
        order = kv.value().compare(c.value());
        break;
      default:
        order = kv.lease() - c.lease();
        break;
    }
    switch (c.result()) {
      case pb::Compare::EQUAL:
        return order == 0;
      case pb::Compare::NOT_EQUAL:
        return order != 0;
      case pb::Compare::GREATER:
        return order > 0;
      default:
        return order < 0;
    }
  }
  bool branch(const pb::TxnRequest& r) const {
    return std::all_of(r.compare().begin(), r.compare().end(),
                       [this](const pb::Compare& c) { return holds(c); });
  }
  // Compares do not change while a transaction is checked, and run() asks them of the state before it.
  std::string check(const pb::TxnRequest& r) const {
    for (const auto& op : branch(r) ? r.success() : r.failure()) {
      std::string error;
      if (op.has_request_range()) {
        const int64_t revision_asked = op.request_range().revision();
        if (revision_asked > revision()) error = kFutureRevision.text;
        if (revision_asked != 0 && revision_asked < compacted) error = kCompacted.text;
      } else if (op.has_request_put()) {
        error = check_put(op.request_put());
      } else if (op.has_request_txn()) {
        error = check(op.request_txn());
      }
      if (!error.empty()) return error;
    }
    return {};
  }
  void run(const pb::TxnRequest& r, pb::TxnResponse* response) {
    response->set_succeeded(branch(r));
    for (const auto& op : branch(r) ? r.success() : r.failure()) {
      auto* answer = response->add_responses();
      if (op.has_request_range()) {
        range(op.request_range(), answer->mutable_response_range());
      } else if (op.has_request_put()) {
        put(op.request_put(), answer->mutable_response_put());
      } else if (op.has_request_delete_range()) {
        del(op.request_delete_range(), answer->mutable_response_delete_range());
      } else {
        run(op.request_txn(), answer->mutable_response_txn());
        answer->mutable_response_txn()->mutable_header();
      }
    }
  }

 private:
  std::vector<Pairs> states_ = std::vector<Pairs>(2);
  Pairs next_;
  bool writing_ = false;
  bool changed_ = false;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return random_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  std::string key() { return std::string(1, static_cast<char>('a' + below(6))) + (one_in(3) ? "x" : ""); }
  std::string end() {
    switch (below(5)) {
      case 0:
        return kToEnd;
      case 1:
        return key();
      case 2:
        return "z";
      default:
        return "";
    }
  }
  pb::PutRequest put() {
    pb::PutRequest r;
    r.set_key(key());
    r.set_prev_kv(one_in(2));
    if (one_in(8)) {
      r.set_ignore_value(true);
    } else {
      r.set_value(std::to_string(below(12)));
    }
    r.set_ignore_lease(one_in(12));
    if (!r.ignore_lease() && one_in(40)) r.set_lease(1);
    return r;
  }
  pb::DeleteRangeRequest del() {
    pb::DeleteRangeRequest r;
    r.set_key(key());
    r.set_range_end(end());
    r.set_prev_kv(one_in(2));
    return r;
  }
  int64_t some_revision(int64_t current) {
    return static_cast<int64_t>(below(static_cast<uint64_t>(current) + 3)) - 1;
  }
  pb::RangeRequest range(int64_t current) {
    pb::RangeRequest r;
    r.set_key(key());
    r.set_range_end(end());
    if (one_in(3)) r.set_limit(static_cast<int64_t>(below(5)));
    if (one_in(3)) r.set_revision(some_revision(current));
    if (one_in(2)) r.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(below(3)));
    if (one_in(2)) r.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(below(5)));
    r.set_keys_only(one_in(5));
    r.set_count_only(one_in(9));
    if (one_in(6)) r.set_min_mod_revision(some_revision(current));
    if (one_in(6)) r.set_max_mod_revision(some_revision(current));
    if (one_in(6)) r.set_min_create_revision(some_revision(current));
    if (one_in(6)) r.set_max_create_revision(some_revision(current));
    return r;
  }
  pb::Compare compare(int64_t current) {
    pb::Compare c;
    c.set_key(key());
    if (one_in(4)) c.set_range_end(end());
    c.set_result(static_cast<pb::Compare::CompareResult>(below(4)));
    c.set_target(static_cast<pb::Compare::CompareTarget>(below(5)));
    switch (c.target()) {
      case pb::Compare::VERSION:
        c.set_version(static_cast<int64_t>(below(3)));
        break;
      case pb::Compare::CREATE:
        c.set_create_revision(some_revision(current));
        break;
      case pb::Compare::MOD:
        c.set_mod_revision(some_revision(current));
        break;
      case pb::Compare::VALUE:
        c.set_value(std::to_string(below(12)));
        break;
      default:
        c.set_lease(0);
        break;
    }
    return c;
  }
  pb::TxnRequest txn(int64_t current, int depth) {
    pb::TxnRequest r;
    while (!one_in(2)) *r.add_compare() = compare(current);
    for (auto* ops : {r.mutable_success(), r.mutable_failure()}) {
      while (!one_in(3)) {
        auto* op = ops->Add();
        switch (below(depth < 3 ? 4 : 3)) {
          case 0:
            *op->mutable_request_put() = put();
            break;
          case 1:
            *op->mutable_request_delete_range() = del();
            break;
          case 2:
            *op->mutable_request_range() = range(current);
            if (!one_in(8)) op->mutable_request_range()->set_revision(0);
            break;
          default:
            *op->mutable_request_txn() = txn(current, depth + 1);
            break;
        }
      }
    }
    return r;
  }

 private:
  std::mt19937_64 random_;
};

void strip(pb::ResponseHeader* header) {
  header->clear_cluster_id();
  header->clear_member_id();
  header->clear_raft_term();
}

// Same error text, or the same answer.
template <class Response>
void expect_same(const Reply& got, const std::string& error, const Response& want) {
  if (!error.empty()) {
    ASSERT_NE(got.code, 0);
    ASSERT_EQ(got.body, error);
    return;
  }
  Response response;
  ASSERT_EQ(got.code, 0) << got.body;
  ASSERT_TRUE(response.ParseFromString(got.body));
  // Written by hand, yet byte for byte what the library would write.
  ASSERT_EQ(response.SerializeAsString(), got.body);
  strip(response.mutable_header());
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  ASSERT_TRUE(differencer.Compare(want, response)) << difference;
}

class History {
 public:
  explicit History(uint64_t seed) : generate_(seed) {}

  void step() {
    Model& m = model_;
    switch (generate_.below(12)) {
      case 0:
      case 1:
      case 2:
        put();
        break;
      case 3: {
        const auto r = generate_.del();
        pb::DeleteRangeResponse want;
        m.begin();
        m.del(r, &want);
        m.end();
        expect_same(d_.apply(CommandType::delete_range, r.SerializeAsString()), "", want);
        break;
      }
      case 4:
      case 5:
      case 6:
        txn();
        break;
      case 7:
        if (generate_.one_in(4)) compact();
        break;
      case 8:
        d_.store.background_slice();
        break;
      case 9:
        if (generate_.one_in(10)) move_by_snapshot();
        break;
      default:
        range();
        break;
    }
    ASSERT_EQ(d_.store.current_revision(), m.revision());
    ASSERT_EQ(d_.store.sizes().keys, m.at(m.revision()).size());
  }

 private:
  void put() {
    const auto r = generate_.put();
    if (!check_put(r).ok()) return;
    std::string error = model_.check_put(r);
    if (r.lease() != 0) error = kLeaseNotFound.text;
    pb::PutResponse want;
    if (error.empty()) {
      model_.begin();
      model_.put(r, &want);
      model_.end();
    }
    expect_same(d_.put_reply(r), error, want);
  }
  void txn() {
    const auto r = generate_.txn(model_.revision(), 1);
    if (!check_txn(r).ok()) return;
    const std::string error = model_.check(r);
    pb::TxnResponse want;
    const bool read_only = txn_is_read_only(r);
    if (error.empty()) {
      model_.begin();
      model_.run(r, &want);
      model_.end();
      want.mutable_header()->set_revision(model_.revision());
    }
    expect_same(read_only && generate_.one_in(2) ? d_.store.read_txn(r, 1) : d_.txn_reply(r), error, want);
  }
  void range() {
    const auto r = generate_.range(model_.revision());
    pb::RangeResponse want;
    const std::string error = model_.range(r, &want);
    expect_same(d_.range_reply(r), error, want);
    if (!error.empty()) return;
    // The job form says the same.
    RangeJob job(
        std::const_pointer_cast<Mvcc>(std::shared_ptr<const Mvcc>(std::shared_ptr<void>(), &d_.store.mvcc())),
        r, {.cluster_id = 11, .member_id = 22, .revision = model_.revision(), .term = 7});
    while (!job.prepare()) {
    }
    std::string body;
    while (job.next(1 + generate_.below(40), &body)) {
    }
    ASSERT_EQ(body, d_.range_reply(r).body);
    ASSERT_EQ(body.size(), job.total_bytes());
  }
  void compact() {
    const int64_t revision = generate_.some_revision(model_.revision());
    std::string error;
    if (revision <= model_.compacted) {
      error = kCompacted.text;
    } else if (revision > model_.revision()) {
      error = kFutureRevision.text;
    } else {
      model_.compacted = revision;
    }
    pb::CompactionResponse want;
    want.mutable_header()->set_revision(model_.revision());
    expect_same(d_.compact(revision), error, want);
  }
  void move_by_snapshot() {
    std::string bytes;
    auto source = d_.store.begin_snapshot();
    while (source->next(1 + generate_.below(500), &bytes)) {
    }
    const Digest128 digest = d_.store.digest();
    const std::string hash = d_.store.hash_kv(0, 1).body;
    auto sink = d_.store.begin_restore();
    ASSERT_TRUE(sink->write(bytes).ok());
    ASSERT_TRUE(sink->finish().ok());
    ASSERT_EQ(d_.store.digest(), digest);
    ASSERT_EQ(d_.store.hash_kv(0, 1).body, hash);
    ASSERT_EQ(d_.store.mvcc().broken_invariant(), "");
  }

  Generator generate_;
  Model model_;
  Driver d_;
};

TEST(Model, RandomHistoriesAgree) {
  std::vector<uint64_t> seeds;
  if (const char* given = std::getenv("DECREE_SEED")) {
    seeds.push_back(std::strtoull(given, nullptr, 10));
  } else {
    std::random_device device;
    for (int i = 0; i < 40; ++i) seeds.push_back(device());
  }
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE("run again: DECREE_SEED=" + std::to_string(seed) + " kv_tests --gtest_filter=Model.*");
    History history(seed);
    for (int i = 0; i < 400 && !HasFailure(); ++i) history.step();
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace decree::kv
