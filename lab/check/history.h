// What clients asked and what they were told: the input of the checkers.
//
// A history is a file of JSON lines, one per operation, in any order. Tools that test real processes
// write it, `decree-lab check-history FILE` judges it. All strings are UTF-8; times are nanoseconds of
// one monotonic clock, best counted from the start of the test. Fields of a line:
//
//   "client"    number of the client; a client has one operation in flight at a time
//   "member"    number of the member that was asked, 1..; 0 or absent when not known
//   "invoke"    when the request was sent
//   "return"    when the answer was there; absent or 0 for outcome "unknown"
//   "op"        "put" | "delete" | "range" | "txn"
//   "outcome"   "ok"       the answer arrived and says done;
//               "fail"     surely never done (refused before it was proposed);
//               "unknown"  time-out, broken connection, or an answer that says it may still happen
//   "revision"  header.revision of the answer (outcome ok). For an unknown operation: the revision it
//               took, when the tool found that out later (from the log); else absent
//
//   put:    "key" "value"
//   delete: "key" ["range_end"]                 answer: "deleted": n
//   range:  "key" ["range_end"] ["serializable": true] ["limit": n] ["at": revision]
//           answer: "count": n, "kvs": [{"key","value","create","mod","version"}, ...]
//   txn:    "compare": [{"key", "target": "version"|"create"|"mod"|"value", "is": "="|"!="|"<"|">",
//                        "number": n  or  "value": text}, ...]
//           "then": [op, ...]  "else": [op, ...]  each op an object with "op": put|delete|range and its
//           fields answer: "succeeded": bool, "results": [{} | {"deleted": n} | {"count": n, "kvs": [...]},
//           ...]
//
// "range_end" as in etcd: absent = the one key; "\u0000" = every key from "key" on.
// The store is expected to start empty at revision 1, and to be written by nobody else.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "decree/result.h"

namespace decree::lab {

enum class OpKind : uint8_t { put, remove, range, txn };
enum class OpOutcome : uint8_t { ok, fail, unknown };
enum class CompareTarget : uint8_t { version, create, mod, value };
enum class CompareIs : uint8_t { equal, not_equal, less, greater };

struct SeenKv {
  std::string key;
  std::string value;
  int64_t create = 0;
  int64_t mod = 0;
  int64_t version = 0;
  friend bool operator==(const SeenKv&, const SeenKv&) = default;
};

struct Comparison {
  std::string key;
  CompareTarget target = CompareTarget::version;
  CompareIs is = CompareIs::equal;
  int64_t number = 0;
  std::string value;
};

// One request of the store: a whole operation, or a branch entry of a transaction.
struct SimpleRequest {
  OpKind kind = OpKind::range;  // not txn
  std::string key;
  std::string range_end;
  std::string value;
  int64_t limit = 0;
  int64_t at_revision = 0;  // 0 = now
};
constexpr int64_t kFarFuture = 1'000'000'000;  // a revision that is never reached

struct SimpleAnswer {
  int64_t deleted = 0;
  int64_t count = 0;
  std::vector<SeenKv> kvs;
  friend bool operator==(const SimpleAnswer&, const SimpleAnswer&) = default;
};

struct Operation {
  uint32_t client = 0;
  uint32_t member = 0;
  int64_t invoke_ns = 0;
  int64_t return_ns = 0;  // meaningless for unknown
  OpKind kind = OpKind::range;
  OpOutcome outcome = OpOutcome::unknown;
  bool serializable = false;
  int64_t revision = 0;  // 0 = not known

  SimpleRequest request;            // put, delete, range
  std::vector<Comparison> compare;  // txn
  std::vector<SimpleRequest> then_branch;
  std::vector<SimpleRequest> else_branch;

  bool succeeded = false;             // txn
  std::vector<SimpleAnswer> answers;  // one for put, delete, range; one per entry of the branch for txn

  // A transaction that reads a revision far ahead: refused whole, and the same by every member.
  bool asks_for_the_future() const;
  // May it change the store at all?
  bool may_write() const;
};
using History = std::vector<Operation>;

// etcd's reading of (key, range_end).
bool in_range(std::string_view key, std::string_view first, std::string_view range_end);

// One line without its newline.
std::string encode_operation(const Operation& op);
// The error names what is wrong with the line.
Result<Operation> decode_operation(std::string_view line);
// The error names the line's number.
Result<History> read_history(std::istream& in);

// For reports: "client 3 at member 1: put k1=v7, ok, revision 12 [100..250 ns]".
std::string describe(const Operation& op);

}  // namespace decree::lab
