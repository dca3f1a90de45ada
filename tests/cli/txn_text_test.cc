#include "cli/txn_text.h"

#include <gtest/gtest.h>

#include <random>

namespace decree::cli {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;

TxnRequest parsed(std::string_view text) {
  Result<TxnRequest> result = parse_txn(text);
  EXPECT_TRUE(result.ok()) << text << "\n" << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value() : TxnRequest();
}

void refused(std::string_view text, std::string_view part) {
  Result<TxnRequest> result = parse_txn(text);
  ASSERT_FALSE(result.ok()) << text;
  EXPECT_NE(result.error().message.find(part), std::string::npos) << text << "\n" << result.error().message;
}

TEST(TxnText, ReadsConditionsAndBothBranches) {
  const TxnRequest txn = parsed(
      "if value(config/a) = \"1\" and mod(config/b) < 17 then put config/a \"2 3\"; get config/b else get "
      "config/a");
  ASSERT_EQ(txn.compare_size(), 2);
  EXPECT_EQ(txn.compare(0).target(), Compare::VALUE);
  EXPECT_EQ(txn.compare(0).result(), Compare::EQUAL);
  EXPECT_EQ(txn.compare(0).key(), "config/a");
  EXPECT_EQ(txn.compare(0).value(), "1");
  EXPECT_EQ(txn.compare(1).target(), Compare::MOD);
  EXPECT_EQ(txn.compare(1).result(), Compare::LESS);
  EXPECT_EQ(txn.compare(1).mod_revision(), 17);
  ASSERT_EQ(txn.success_size(), 2);
  EXPECT_EQ(txn.success(0).request_put().value(), "2 3");
  EXPECT_EQ(txn.success(1).request_range().key(), "config/b");
  ASSERT_EQ(txn.failure_size(), 1);
  EXPECT_EQ(txn.failure(0).request_range().key(), "config/a");
}

TEST(TxnText, KnowsEveryTargetAndRelation) {
  const TxnRequest txn = parsed(
      "if version(a) > 3, create(b) != 0 and lease(c) = ff and value(d) < zz and exists(e) and missing(f) "
      "then get a");
  ASSERT_EQ(txn.compare_size(), 6);
  EXPECT_EQ(txn.compare(0).version(), 3);
  EXPECT_EQ(txn.compare(0).result(), Compare::GREATER);
  EXPECT_EQ(txn.compare(1).target_union_case(), Compare::kCreateRevision);
  EXPECT_EQ(txn.compare(1).result(), Compare::NOT_EQUAL);
  EXPECT_EQ(txn.compare(2).lease(), 255);
  EXPECT_EQ(txn.compare(3).value(), "zz");
  EXPECT_EQ(txn.compare(4).result(), Compare::GREATER);
  EXPECT_EQ(txn.compare(4).target_union_case(), Compare::kVersion);
  EXPECT_EQ(txn.compare(5).result(), Compare::EQUAL);
  EXPECT_EQ(txn.compare(5).version(), 0);
}

TEST(TxnText, ComparesWholePrefixes) {
  const TxnRequest txn = parsed("if version(prefix a/) > 0 then get a/ prefix");
  EXPECT_EQ(txn.compare(0).key(), "a/");
  EXPECT_EQ(txn.compare(0).range_end(), "a0");
  EXPECT_EQ(txn.success(0).request_range().range_end(), "a0");
}

TEST(TxnText, WithoutConditionTheThenPartIsAll) {
  const TxnRequest txn = parsed("then put a 1; put b 2\n del old/ prefix prev;");
  EXPECT_EQ(txn.compare_size(), 0);
  ASSERT_EQ(txn.success_size(), 3);
  EXPECT_EQ(txn.success(2).request_delete_range().range_end(), "old0");
  EXPECT_TRUE(txn.success(2).request_delete_range().prev_kv());
}

TEST(TxnText, NestsInParentheses) {
  const TxnRequest txn =
      parsed("if missing(a) then put c 1 else get a; (if exists(a) then del b else (then get z))");
  ASSERT_EQ(txn.failure_size(), 2);
  const TxnRequest& inner = txn.failure(1).request_txn();
  EXPECT_EQ(inner.compare_size(), 1);
  EXPECT_EQ(inner.success(0).request_delete_range().key(), "b");
  EXPECT_EQ(inner.failure(0).request_txn().success(0).request_range().key(), "z");
}

TEST(TxnText, QuotesCarryAnyByte) {
  const TxnRequest txn = parsed(R"(then put "a key" "line\n\t\"q\" \\ \x00\xFF"; put 'it is' 'raw \n')");
  EXPECT_EQ(txn.success(0).request_put().key(), "a key");
  EXPECT_EQ(txn.success(0).request_put().value(), std::string("line\n\t\"q\" \\ \0\xff", 14));
  EXPECT_EQ(txn.success(1).request_put().key(), "it is");
  EXPECT_EQ(txn.success(1).request_put().value(), "raw \\n");
}

TEST(TxnText, QuotedWordsAreNeverKeywords) {
  const TxnRequest txn = parsed("then put \"then\" \"else\"; get \"prefix\" prefix");
  EXPECT_EQ(txn.success(0).request_put().key(), "then");
  EXPECT_EQ(txn.success(0).request_put().value(), "else");
  EXPECT_EQ(txn.success(1).request_range().key(), "prefix");
  EXPECT_FALSE(txn.success(1).request_range().range_end().empty());
}

TEST(TxnText, TakesOptions) {
  const TxnRequest txn = parsed(
      "then get a z limit 3 rev 7 keys-only; put k v lease 1f prev; put k2 ignore-value --ignore-value; get "
      "x count-only");
  const auto& range = txn.success(0).request_range();
  EXPECT_EQ(range.range_end(), "z");
  EXPECT_EQ(range.limit(), 3);
  EXPECT_EQ(range.revision(), 7);
  EXPECT_TRUE(range.keys_only());
  EXPECT_EQ(txn.success(1).request_put().lease(), 31);
  EXPECT_TRUE(txn.success(1).request_put().prev_kv());
  EXPECT_TRUE(txn.success(3).request_range().count_only());
}

TEST(TxnText, ReadsEtcdctlsThreeBlocks) {
  const TxnRequest txn = parsed(
      "mod(\"key1\") > \"0\"\nval(\"key2\") = \"x y\"\n\nput key1 \"overwritten\"\nget key1 --prefix "
      "--limit=5\n\nget key1\ndel key2\n\n");
  ASSERT_EQ(txn.compare_size(), 2);
  EXPECT_EQ(txn.compare(0).mod_revision(), 0);
  EXPECT_EQ(txn.compare(0).target_union_case(), Compare::kModRevision);
  EXPECT_EQ(txn.compare(1).value(), "x y");
  ASSERT_EQ(txn.success_size(), 2);
  EXPECT_EQ(txn.success(0).request_put().value(), "overwritten");
  EXPECT_EQ(txn.success(1).request_range().limit(), 5);
  EXPECT_EQ(txn.success(1).request_range().range_end(), "key2");
  ASSERT_EQ(txn.failure_size(), 2);
}

TEST(TxnText, EtcdctlsBlocksMayBeEmpty) {
  const TxnRequest txn = parsed("\nput a 1\n\n\n");
  EXPECT_EQ(txn.compare_size(), 0);
  EXPECT_EQ(txn.success_size(), 1);
  EXPECT_EQ(txn.failure_size(), 0);
}

TEST(TxnText, RefusesWithThePlace) {
  refused("if foo(a) = 1 then get a", "line 1, column 4");
  refused("if value(a) ~ 1 then get a", "expected =");
  refused("if value(a) = 1 get a", "\"then\"");
  refused("if value(a = 1 then get a", "expected )");
  refused("if mod(a) = x then get a", "whole number");
  refused("then put a", "put needs a value");
  refused("then put a b c", "put knows");
  refused("then get a limit x", "whole number");
  refused("then get a limit", "expected a number");
  refused("then\n  frob a", "line 2, column 3");
  refused("then get \"a", "quote");
  refused("then put a \"\\q\"", "escape");
  refused("then get \"\"", "must not be empty");
  refused("then (if exists(a) then get b", "closing )");
  refused("then get a) then get b", "nothing may follow");
  refused("mod(a) > 0\n\nget a\n\nget b\n\nget c\n", "three blocks");
  refused("mod(a) > 0 get a\n", "end of the line");
  std::string deep = "then ";
  for (int i = 0; i < 100; ++i) deep += "(then ";
  refused(deep, "nested too deeply");
}

// Whatever is typed, there is an answer: a request or a sentence.
TEST(TxnText, SurvivesAnyMixture) {
  const std::vector<std::string> pieces = {
      "if",     "then",  "else",     "and",     "put", "get",  "del", "(",  ")",
      ";",      "\n",    "value(a)", "=",       "!=",  "\"x",  "\"",  "k",  "17",
      "prefix", "limit", "--limit=", "exists(", "\\",  "\x01", "!",   "''", ","};
  const unsigned seed = 20240601;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()] + " ";
    Result<TxnRequest> result = parse_txn(text);
    if (!result.ok()) {
      EXPECT_FALSE(result.error().message.empty()) << text;
    }
  }
}

}  // namespace
}  // namespace decree::cli
