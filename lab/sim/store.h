// The state machine under test, as the simulator's clients see it: operations in, answers out.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "decree/state_machine.h"
#include "lab/check/history.h"

namespace decree::kv {
class Store;
}

namespace decree::lab {

class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual StateMachine& machine() = 0;
  virtual int64_t revision() const = 0;
  // The command of a put, delete or txn.
  virtual std::string encode(const Operation& op) const = 0;
  // Fills answers, succeeded and revision. False: the reply is an error.
  virtual bool decode(const Reply& reply, Operation* op) const = 0;
  // Answers a range here and now. False: an error.
  virtual bool read(Operation* op) const = 0;

  // ---- for the request layer; null and empty for stores that have none ----
  virtual kv::Store* kv() { return nullptr; }
  // The request's bytes and the name of its method.
  virtual std::string encode_request(const Operation& /*op*/, std::string_view* /*method*/) const {
    return {};
  }
  // Fills answers, succeeded and revision from an answer's bytes.
  virtual bool decode_answer(const std::string& /*bytes*/, Operation* /*op*/) const { return false; }
  // A request to compact.
  virtual std::string encode_compaction(int64_t /*revision*/, bool /*physical*/) const { return {}; }
};

std::unique_ptr<StoreUnderTest> make_toy_store();  // the naive store of the checkers
std::unique_ptr<StoreUnderTest> make_kv_store();   // kv::Store, as decreed runs it

}  // namespace decree::lab
