#include <sstream>

#include <gtest/gtest.h>

#include "lab/check/history.h"
#include "lab/check/linearizability.h"
#include "lab/check/naive_store.h"
#include "lab/sim/random.h"
#include "tests/lab/random_history.h"

namespace decree::lab {
namespace {

History parse_history(const std::string& text) {
  std::istringstream in(text);
  Result<History> h = read_history(in);
  EXPECT_TRUE(h.ok()) << (h.ok() ? "" : h.error().message);
  return h.ok() ? h.value() : History{};
}

void expect_both(const std::string& text, Judgement whole, Judgement keys) {
  const History h = parse_history(text);
  const Verdict a = check_whole_store(h);
  const Verdict b = check_keys(h);
  EXPECT_EQ(a.judgement, whole) << a.problem;
  EXPECT_EQ(b.judgement, keys) << b.problem;
}

const char* kPut1 =
    R"({"client":1,"member":1,"invoke":10,"return":20,"op":"put","key":"a","value":"x","outcome":"ok","revision":2})"
    "\n";
const char* kPut2 =
    R"({"client":1,"member":1,"invoke":30,"return":40,"op":"put","key":"a","value":"y","outcome":"ok","revision":3})"
    "\n";

std::string get(int from, int to, int revision, const std::string& kvs, const std::string& more = "") {
  return R"({"client":2,"member":2,"invoke":)" + std::to_string(from) + R"(,"return":)" + std::to_string(to) +
         R"(,"op":"range","key":"a","outcome":"ok","revision":)" + std::to_string(revision) + more +
         R"(,"count":)" + (kvs.empty() ? "0" : "1") + R"(,"kvs":[)" + kvs + "]}\n";
}
const char* kX = R"({"key":"a","value":"x","create":2,"mod":2,"version":1})";
const char* kY = R"({"key":"a","value":"y","create":2,"mod":3,"version":2})";

TEST(HistoryCheck, AcceptsWhatOneStoreCouldHaveDone) {
  expect_both(std::string(kPut1) + kPut2 + get(50, 60, 3, kY), Judgement::good, Judgement::good);
}
TEST(HistoryCheck, AcceptsEitherValueWhileTheWriteIsUnderWay) {
  expect_both(std::string(kPut1) + kPut2 + get(32, 38, 2, kX), Judgement::good, Judgement::good);
  expect_both(std::string(kPut1) + kPut2 + get(32, 38, 3, kY), Judgement::good, Judgement::good);
}
TEST(HistoryCheck, FindsAStaleRead) {
  expect_both(std::string(kPut1) + kPut2 + get(50, 60, 2, kX), Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, AllowsAStaleSerializableReadOfAnotherMember) {
  expect_both(std::string(kPut1) + kPut2 + get(50, 60, 2, kX, R"(,"serializable":true)"), Judgement::good,
              Judgement::good);
}
TEST(HistoryCheck, FindsASerializableReadOfSomethingThatNeverWas) {
  expect_both(std::string(kPut1) + kPut2 + get(50, 60, 2, kY, R"(,"serializable":true)"), Judgement::bad,
              Judgement::good);
}
TEST(HistoryCheck, FindsALostAcknowledgedWrite) {
  expect_both(std::string(kPut1) + get(50, 60, 1, ""), Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, FindsAReadFromTheFuture) {
  expect_both(get(1, 5, 2, kX) + kPut1, Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, FindsAWrongVersion) {
  const char* wrong = R"({"key":"a","value":"y","create":2,"mod":3,"version":3})";
  expect_both(std::string(kPut1) + kPut2 + get(50, 60, 3, wrong), Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, FindsOneRevisionGivenTwice) {
  std::string other = kPut2;
  other.replace(other.find("\"revision\":3"), 12, "\"revision\":2");
  EXPECT_EQ(check_whole_store(parse_history(kPut1 + other)).judgement, Judgement::bad);
}
TEST(HistoryCheck, FindsAMemberWhoseRevisionGoesBack) {
  const std::string fresh = get(50, 60, 3, kY, R"(,"serializable":true)");
  const std::string stale = get(70, 80, 2, kX, R"(,"serializable":true)");
  const Verdict v = check_whole_store(parse_history(std::string(kPut1) + kPut2 + fresh + stale));
  EXPECT_EQ(v.judgement, Judgement::bad);
  EXPECT_EQ(v.problem.substr(0, 3), "I21");
}

std::string lost(const std::string& key, const std::string& value, int from) {
  return R"({"client":3,"member":1,"invoke":)" + std::to_string(from) + R"(,"op":"put","key":")" + key +
         R"(","value":")" + value +
         R"(","outcome":"unknown"})"
         "\n";
}
TEST(HistoryCheck, PlacesAnUnknownWriteWhereItWasSeen) {
  expect_both(kPut1 + lost("a", "y", 25) + get(50, 60, 3, kY), Judgement::good, Judgement::good);
  expect_both(kPut1 + lost("a", "y", 25) + get(50, 60, 2, kX), Judgement::good, Judgement::good);
}
TEST(HistoryCheck, RefusesAnUnknownWriteThatComesAndGoes) {
  std::string later = get(70, 80, 2, kX);
  expect_both(kPut1 + lost("a", "y", 25) + get(50, 60, 3, kY) + later, Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, RefusesAnEffectOfARefusedOperation) {
  std::string refused = lost("a", "y", 25);
  refused.replace(refused.find("unknown"), 7, "fail");
  expect_both(kPut1 + refused + get(50, 60, 3, kY), Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, RefusesAnUnknownWriteSeenBeforeItBegan) {
  expect_both(kPut1 + get(30, 40, 3, kY) + lost("a", "y", 45), Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, ChoosesAmongUnknownWritesByTheVersionsSeenLater) {
  // Revision 3 was taken by nobody who knows; b's write would leave a at version 2, a's makes it 3.
  const std::string put4 =
      R"({"client":1,"member":1,"invoke":50,"return":60,"op":"put","key":"a","value":"z","outcome":"ok","revision":4})"
      "\n";
  const char* v3 = R"({"key":"a","value":"z","create":2,"mod":4,"version":3})";
  const char* v2 = R"({"key":"a","value":"z","create":2,"mod":4,"version":2})";
  const std::string lost_two = lost("b", "q", 11) + lost("a", "p", 12);
  expect_both(kPut1 + put4 + lost_two + get(70, 80, 4, v3), Judgement::good, Judgement::good);
  expect_both(kPut1 + put4 + lost_two + get(70, 80, 4, v2), Judgement::good, Judgement::good);
}
TEST(HistoryCheck, FindsATransactionThatShouldNotHaveSucceeded) {
  const std::string cas =
      R"({"client":2,"member":1,"invoke":50,"return":60,"op":"txn","compare":[{"key":"a","target":"value","is":"=","value":"x"}],)"
      R"("then":[{"op":"put","key":"a","value":"w"}],"else":[],"outcome":"ok","succeeded":true,"results":[{}],"revision":4})"
      "\n";
  expect_both(std::string(kPut1) + kPut2 + cas, Judgement::bad, Judgement::bad);
}
TEST(HistoryCheck, FindsATornRangeOverTwoKeys) {
  // Both keys change in one transaction; the range saw only one of the changes. No single key is wrong.
  const std::string txn =
      R"({"client":1,"member":1,"invoke":10,"return":20,"op":"txn","compare":[],"then":[{"op":"put","key":"a","value":"1"},)"
      R"({"op":"put","key":"b","value":"1"}],"else":[],"outcome":"ok","succeeded":true,"results":[{},{}],"revision":2})"
      "\n";
  const std::string range =
      R"({"client":2,"member":1,"invoke":15,"return":19,"op":"range","key":"a","range_end":"c","outcome":"ok","revision":2,)"
      R"("count":1,"kvs":[{"key":"a","value":"1","create":2,"mod":2,"version":1}]})"
      "\n";
  expect_both(txn + range, Judgement::bad, Judgement::good);
}
TEST(HistoryCheck, SaysWhichLineIsNotAHistory) {
  std::istringstream in(std::string(kPut1) + "{\"client\":1}\n");
  const Result<History> h = read_history(in);
  ASSERT_FALSE(h.ok());
  EXPECT_EQ(h.error().message, "line 2: \"invoke\" is missing");
}

// ---- random histories of a correct store, then one lie ----
struct Generated {
  History history;
};
SimpleRequest random_request(Random& rng, uint64_t unique) {
  SimpleRequest r;
  const uint64_t kind = rng.below(10);
  r.kind = kind < 4 ? OpKind::put : kind < 6 ? OpKind::remove : OpKind::range;
  r.key = std::string(1, static_cast<char>('a' + rng.below(3)));
  if (r.kind == OpKind::put) r.value = "v" + std::to_string(unique);
  if (r.kind != OpKind::put && rng.chance(0.3)) r.range_end = "d";
  return r;
}
History random_history(Random& rng) {
  // A correct store: every operation takes effect at a moment between its invoke and its return.
  std::vector<PendingOperation> all;
  for (uint32_t client = 1; client <= 4; ++client) {
    int64_t now = static_cast<int64_t>(rng.below(50));
    for (int i = 0; i < 12; ++i) {
      PendingOperation p;
      p.op.client = client;
      p.op.invoke_ns = now;
      p.at = now + static_cast<int64_t>(rng.below(50));
      p.op.return_ns = p.at + static_cast<int64_t>(rng.below(50));
      now = p.op.return_ns + 1 + static_cast<int64_t>(rng.below(30));
      if (rng.chance(0.25)) {
        p.op.kind = OpKind::txn;
        p.op.compare.push_back({std::string(1, static_cast<char>('a' + rng.below(3))), CompareTarget::version,
                                CompareIs::equal, static_cast<int64_t>(rng.below(3)), ""});
        p.op.then_branch.push_back(random_request(rng, client * 100 + i));
        if (rng.chance(0.5)) p.op.else_branch.push_back(random_request(rng, client * 100 + i + 50));
      } else {
        p.op.request = random_request(rng, client * 100 + i);
        p.op.kind = p.op.request.kind;
      }
      all.push_back(std::move(p));
    }
  }
  return happen(rng, std::move(all), 0.6);
}
TEST(HistoryCheck, AcceptsRandomHistoriesOfACorrectStore) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random rng(seed);
    const History h = random_history(rng);
    const Verdict whole = check_whole_store(h);
    ASSERT_EQ(whole.judgement, Judgement::good) << "seed " << seed << ": " << whole.problem;
    const Verdict keys = check_keys(h);
    ASSERT_EQ(keys.judgement, Judgement::good) << "seed " << seed << ": " << keys.problem;
  }
}
TEST(HistoryCheck, FindsOneChangedAnswerInARandomHistory) {
  int whole_bad = 0;
  int keys_bad = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random rng(seed);
    History h = random_history(rng);
    std::vector<SeenKv*> seen;
    for (Operation& op : h)
      for (SimpleAnswer& a : op.answers)
        for (SeenKv& kv : a.kvs) seen.push_back(&kv);
    if (seen.empty()) {
      ++whole_bad, ++keys_bad;
      continue;
    }
    seen[rng.below(seen.size())]->value = "never written";
    whole_bad += check_whole_store(h).judgement == Judgement::bad;
    keys_bad += check_keys(h).judgement == Judgement::bad;
  }
  EXPECT_EQ(whole_bad, 200);
  EXPECT_EQ(keys_bad, 200);
}
TEST(HistoryCheck, LinesSurviveTheRoundTrip) {
  Random rng(7);
  for (const Operation& op : random_history(rng)) {
    const std::string line = encode_operation(op);
    const Result<Operation> back = decode_operation(line);
    ASSERT_TRUE(back.ok()) << line << ": " << back.error().message;
    EXPECT_EQ(encode_operation(back.value()), line);
  }
}

}  // namespace
}  // namespace decree::lab
