// The smallest store that does what etcd's does: the specification the checkers replay against.
//
// Independent of src/kv on purpose, and naive on purpose: every version of every key in a vector.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lab/check/history.h"

namespace decree::lab {

struct Executed {
  bool changed = false;  // took a revision of its own
  bool succeeded = false;
  int64_t revision = 0;
  std::vector<SimpleAnswer> answers;
};

class NaiveStore {
 public:
  int64_t revision() const { return revision_; }

  // Executes `op` on the present state; with `changed`, the revision went up by one.
  Executed execute(const Operation& op);
  // What `op` would answer and whether it would change anything; the state stays.
  Executed dry_run(const Operation& op);
  // Takes back the last revision. Only down to 1.
  void undo();

  // The key as of `revision`, or nullptr when it did not exist.
  const SeenKv* find(const std::string& key, int64_t at_revision) const;
  // Keys the last revision wrote or deleted.
  const std::vector<std::string>& last_changed() const { return changes_.back(); }

 private:
  SimpleAnswer run(const SimpleRequest& r, int64_t write_revision);
  bool compare(const Comparison& c) const;
  void write(const std::string& key, SeenKv kv);

  int64_t revision_ = 1;
  std::map<std::string, std::vector<SeenKv>> keys_;  // version 0 = deleted
  std::vector<std::vector<std::string>> changes_;    // per revision from 2 on
};

}  // namespace decree::lab
