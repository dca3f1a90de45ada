// What the recorder asks: a seeded stream of puts, transactions, deletes and reads over a small set of keys,
// every value written at most once, so that what is read names who wrote it.
#pragma once

#include <random>
#include <string>
#include <unordered_map>

#include "lab/check/history.h"

namespace decree::recorder {

struct WorkloadOptions {
  uint64_t seed = 1;
  uint32_t keys = 1000;
  uint32_t hot_keys = 16;     // a third of all operations goes to these
  uint32_t value_bytes = 32;  // at least; the unique part comes first
  // Of 1000 operations; the rest are puts.
  uint32_t txns = 300;
  uint32_t deletes = 30;
  uint32_t reads = 150;  // linearizable, one key or a short range
  uint32_t serializable_reads = 20;
};

class Workload {
 public:
  explicit Workload(const WorkloadOptions& options) : options_(options), random_(options.seed) {}

  lab::Operation next();
  // Feeds what was seen back, so that comparisons have a chance to hold.
  void learn(const lab::Operation& op);

 private:
  std::string some_key();
  std::string new_value();
  void make_range(lab::SimpleRequest* request);
  void make_txn(lab::Operation* op);

  WorkloadOptions options_;
  std::mt19937_64 random_;
  uint64_t values_ = 0;
  std::unordered_map<std::string, int64_t> last_mod_;
};

// The gRPC path and the encoded message of a request.
struct WireRequest {
  const char* path = nullptr;
  std::string message;
};
WireRequest to_wire(const lab::Operation& op);
// Fills revision and answers from the encoded answer; false when the bytes are no such answer.
bool from_wire(std::string_view body, lab::Operation* op);

}  // namespace decree::recorder
