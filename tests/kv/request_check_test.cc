// Checks before proposing: codes and texts as etcd's.
#include "store_fixture.h"

namespace decree::kv {
namespace {

TEST(RequestCheck, KeysAndOptions) {
  pb::RangeRequest range;
  EXPECT_EQ(check_range(range), kEmptyKey);
  EXPECT_EQ(check_range(range).text, "etcdserver: key is not provided");
  range.set_key("a");
  EXPECT_EQ(check_range(range), kAccepted);
  range.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(9));
  EXPECT_EQ(check_range(range), kInvalidSortOption);
  range.set_sort_order(pb::RangeRequest::NONE);
  range.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(-1));
  EXPECT_EQ(check_range(range), kInvalidSortOption);
  pb::PutRequest put;
  EXPECT_EQ(check_put(put), kEmptyKey);
  put.set_key("a");
  put.set_value("v");
  put.set_ignore_value(true);
  EXPECT_EQ(check_put(put), kValueProvided);
  put.set_ignore_value(false);
  put.set_ignore_lease(true);
  put.set_lease(1);
  EXPECT_EQ(check_put(put), kLeaseProvided);
  EXPECT_EQ(check_delete_range({}), kEmptyKey);
}

TEST(RequestCheck, OperationsAreCountedPerLevelAndChildrenGetTheRest) {
  pb::TxnRequest txn;
  for (int i = 0; i < 128; ++i) *txn.add_success() = get_op("a");
  EXPECT_EQ(check_txn(txn), kAccepted);
  *txn.add_success() = get_op("a");
  EXPECT_EQ(check_txn(txn), kTooManyOps);
  pb::TxnRequest child;
  for (int i = 0; i < 100; ++i) *child.add_failure() = get_op("a");
  pb::TxnRequest parent;
  for (int i = 0; i < 27; ++i) *parent.add_compare() = compare_value("a", pb::Compare::EQUAL, "");
  *parent.add_success() = txn_op(child);
  EXPECT_EQ(check_txn(parent), kAccepted);
  *parent.add_compare() = compare_value("a", pb::Compare::EQUAL, "");
  EXPECT_EQ(check_txn(parent), kAccepted);
  *parent.add_compare() = compare_value("a", pb::Compare::EQUAL, "");
  EXPECT_EQ(check_txn(parent), kTooManyOps);
}

TEST(RequestCheck, DepthIsBounded) {
  pb::TxnRequest txn;
  for (int i = 1; i < kTxnDepthMax; ++i) {
    pb::TxnRequest outer;
    *outer.add_success() = txn_op(txn);
    txn = outer;
  }
  EXPECT_EQ(check_txn(txn), kAccepted);
  pb::TxnRequest outer;
  *outer.add_failure() = txn_op(txn);
  EXPECT_EQ(check_txn(outer), kNestedTooDeep);
}

TEST(RequestCheck, EmptyOperationsAndKeysInside) {
  pb::TxnRequest txn;
  txn.add_failure();
  EXPECT_EQ(check_txn(txn), kKeyNotFound);
  txn.Clear();
  txn.add_compare();
  EXPECT_EQ(check_txn(txn), kEmptyKey);
  txn.Clear();
  *txn.add_success() = put_op("", "x");
  EXPECT_EQ(check_txn(txn), kEmptyKey);
}

TEST(RequestCheck, DuplicateKeys) {
  const auto verdict = [](const std::vector<pb::RequestOp>& ops) {
    pb::TxnRequest txn;
    for (const auto& op : ops) *txn.add_failure() = op;
    return check_txn(txn);
  };
  const auto nested = [](const std::vector<pb::RequestOp>& then_ops,
                         const std::vector<pb::RequestOp>& else_ops) {
    pb::TxnRequest txn;
    for (const auto& op : then_ops) *txn.add_success() = op;
    for (const auto& op : else_ops) *txn.add_failure() = op;
    return txn_op(txn);
  };
  EXPECT_EQ(verdict({put_op("a", ""), put_op("b", "")}), kAccepted);
  EXPECT_EQ(verdict({put_op("a", ""), put_op("a", "")}), kDuplicateKey);
  EXPECT_EQ(verdict({put_op("b", ""), del_op("a", "c")}), kDuplicateKey);
  EXPECT_EQ(verdict({put_op("c", ""), del_op("a", "c")}), kAccepted);
  EXPECT_EQ(verdict({put_op("a", ""), del_op("a")}), kDuplicateKey);
  // Measured on etcd 3.4.23: an open end collides with nothing.
  EXPECT_EQ(verdict({put_op("z", ""), del_op("a", kToEnd)}), kAccepted);
  EXPECT_EQ(verdict({put_op("a", ""), del_op("a", kToEnd)}), kAccepted);
  EXPECT_EQ(verdict({put_op("c", ""), del_op("c", "a")}), kAccepted);
  EXPECT_EQ(verdict({put_op("b", ""), del_op("c", "a")}), kAccepted);
  EXPECT_EQ(verdict({del_op("a", "c"), del_op("b", "d"), put_op("c", "")}), kDuplicateKey);
  EXPECT_EQ(verdict({del_op("a", "c"), del_op("e", "g"), put_op("d", "")}), kAccepted);
  EXPECT_EQ(verdict({del_op("e", "g"), del_op("a", "c"), del_op("c", "e"), put_op("f", "")}), kDuplicateKey);
  EXPECT_EQ(verdict({del_op("a", "c"), del_op("b", "d")}), kAccepted);
  EXPECT_EQ(verdict({nested({put_op("a", "")}, {put_op("a", "")})}), kAccepted);
  EXPECT_EQ(verdict({nested({put_op("a", "")}, {}), put_op("a", "")}), kDuplicateKey);
  EXPECT_EQ(verdict({nested({put_op("a", "")}, {}), nested({}, {put_op("a", "")})}), kDuplicateKey);
  EXPECT_EQ(verdict({nested({del_op("a", "c")}, {}), put_op("b", "")}), kDuplicateKey);
  EXPECT_EQ(verdict({nested({put_op("b", "")}, {}), del_op("a", "c")}), kDuplicateKey);
  EXPECT_EQ(verdict({nested({put_op("b", "")}, {del_op("b")})}), kAccepted);
}

TEST(RequestCheck, ReadOnlySerializableAndCost) {
  pb::TxnRequest txn;
  EXPECT_TRUE(txn_is_read_only(txn));
  *txn.add_success() = get_op("a");
  EXPECT_TRUE(txn_is_read_only(txn));
  EXPECT_FALSE(txn_is_serializable(txn));
  txn.mutable_success(0)->mutable_request_range()->set_serializable(true);
  EXPECT_TRUE(txn_is_serializable(txn));
  pb::TxnRequest outer;
  *outer.add_success() = txn_op(txn);
  EXPECT_FALSE(txn_is_read_only(outer));
  EXPECT_FALSE(txn_has_put(outer));
  EXPECT_EQ(quota_cost_bytes(outer), 0u);
  *outer.mutable_success(0)->mutable_request_txn()->add_failure() = put_op("abc", "defg");
  *outer.add_success() = put_op("x", "y");
  *outer.add_failure() = put_op("x", std::string(10, 'y'));
  EXPECT_TRUE(txn_has_put(outer));
  EXPECT_EQ(quota_cost_bytes(outer), 256u + 7 + 256 + 2);
}

}  // namespace
}  // namespace decree::kv
