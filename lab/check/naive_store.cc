#include "lab/check/naive_store.h"

#include <algorithm>

#include "decree/check.h"

namespace decree::lab {

const SeenKv* NaiveStore::find(const std::string& key, int64_t at_revision) const {
  const auto it = keys_.find(key);
  if (it == keys_.end()) return nullptr;
  for (auto v = it->second.rbegin(); v != it->second.rend(); ++v)
    if (v->mod <= at_revision) return v->version == 0 ? nullptr : &*v;
  return nullptr;
}

void NaiveStore::write(const std::string& key, SeenKv kv) {
  std::vector<SeenKv>& versions = keys_[key];
  changes_.back().push_back(key);
  versions.push_back(std::move(kv));
}

SimpleAnswer NaiveStore::run(const SimpleRequest& r, int64_t write_revision) {
  SimpleAnswer answer;
  if (r.kind == OpKind::put) {
    const SeenKv* old = find(r.key, write_revision);
    SeenKv kv{r.key, r.value, old ? old->create : write_revision, write_revision, old ? old->version + 1 : 1};
    write(r.key, std::move(kv));
    return answer;
  }
  const int64_t at = r.at_revision != 0 ? r.at_revision : write_revision;
  std::vector<const SeenKv*> found;
  for (auto it = keys_.lower_bound(r.key); it != keys_.end() && in_range(it->first, r.key, r.range_end); ++it)
    if (const SeenKv* kv = find(it->first, at)) found.push_back(kv);
  if (r.kind == OpKind::range) {
    answer.count = static_cast<int64_t>(found.size());
    for (const SeenKv* kv : found) {
      if (r.limit != 0 && static_cast<int64_t>(answer.kvs.size()) == r.limit) break;
      answer.kvs.push_back(*kv);
    }
    return answer;
  }
  std::vector<std::string> doomed;
  doomed.reserve(found.size());
  for (const SeenKv* kv : found) doomed.push_back(kv->key);
  for (const std::string& key : doomed) write(key, SeenKv{key, "", 0, write_revision, 0});
  answer.deleted = static_cast<int64_t>(doomed.size());
  return answer;
}

bool NaiveStore::compare(const Comparison& c) const {
  const SeenKv* kv = find(c.key, revision_);
  int order = 0;
  if (c.target == CompareTarget::value) {
    if (kv == nullptr) return false;  // etcd: a missing key has no value to compare
    order = kv->value.compare(c.value);
  } else {
    int64_t seen = 0;
    if (kv != nullptr) {
      seen = c.target == CompareTarget::version  ? kv->version
             : c.target == CompareTarget::create ? kv->create
                                                 : kv->mod;
    }
    order = seen < c.number ? -1 : seen > c.number ? 1 : 0;
  }
  switch (c.is) {
    case CompareIs::equal:
      return order == 0;
    case CompareIs::not_equal:
      return order != 0;
    case CompareIs::less:
      return order < 0;
    case CompareIs::greater:
      return order > 0;
  }
  return false;
}

Executed NaiveStore::execute(const Operation& op) {
  Executed done;
  const int64_t next = revision_ + 1;
  changes_.emplace_back();
  if (op.kind == OpKind::txn) {
    done.succeeded =
        std::all_of(op.compare.begin(), op.compare.end(), [&](const Comparison& c) { return compare(c); });
    for (const SimpleRequest& r : done.succeeded ? op.then_branch : op.else_branch)
      done.answers.push_back(run(r, next));
  } else {
    done.answers.push_back(run(op.request, next));
  }
  done.changed = !changes_.back().empty();
  if (done.changed)
    revision_ = next;
  else
    changes_.pop_back();
  done.revision = revision_;
  return done;
}

Executed NaiveStore::dry_run(const Operation& op) {
  Executed done = execute(op);
  if (done.changed) undo();
  return done;
}

void NaiveStore::undo() {
  DECREE_CHECK(!changes_.empty(), "nothing to take back");
  for (const std::string& key : changes_.back()) {
    const auto it = keys_.find(key);
    it->second.pop_back();
    if (it->second.empty()) keys_.erase(it);
  }
  changes_.pop_back();
  --revision_;
}

}  // namespace decree::lab
