#include "server/recovery.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include "storage/data_dir.h"

namespace decree::server {
namespace {

Slot snapshot_of(const Survivor& s) { return s.found.snapshot ? s.found.snapshot->meta.index : Slot(0); }

// Everything up to here is held: the snapshot and the log behind it, up to the first hole.
Slot contiguous_of(const storage::Salvage& found) {
  Slot at = found.snapshot ? found.snapshot->meta.index : Slot(0);
  while (found.accepted.contains(at.next())) at = at.next();
  return at;
}

Result<Survivor> read_survivor(storage::FileSystem& files, const std::string& path) {
  Result<std::unique_ptr<storage::FileLock>> lock = files.lock(storage::join_path(path, "lock"));
  if (!lock) return lock.error();
  Result<storage::Salvage> found = storage::salvage(files, path);
  if (!found) return found.error();
  Survivor s;
  s.path = path;
  s.found = std::move(*found);
  s.whole = s.found.problems.empty();
  s.contiguous = contiguous_of(s.found);
  return s;
}

// As an Election over all survivors would choose: a Law, else the value of the highest ballot. What was
// accepted in an epoch before the newest one, at or behind its base, is void.
std::map<Slot, Entry> choose_entries(const RecoveryPlan& plan, Slot behind) {
  std::map<Slot, AcceptedEntry> best;
  for (const Survivor& s : plan.survivors) {
    for (auto it = s.found.accepted.upper_bound(behind); it != s.found.accepted.end(); ++it) {
      const auto& [slot, held] = *it;
      const bool is_void =
          !held.law && slot >= plan.membership.base && held.ballot.epoch < plan.membership.epoch;
      if (is_void) continue;
      const auto [at, is_new] = best.emplace(slot, held);
      if (is_new || at->second.law) continue;
      if (held.law || held.ballot > at->second.ballot) at->second = held;
    }
  }
  std::map<Slot, Entry> entries;
  for (Slot slot = behind.next(); best.contains(slot); slot = slot.next())
    entries.emplace(slot, best.at(slot).entry);
  return entries;
}

void judge_voters(RecoveryPlan* plan) {
  std::set<NodeId> whole;
  for (Survivor& s : plan->survivors) {
    if (!s.found.superblock) continue;
    const Identity& identity = s.found.superblock->identity;
    const decree::Member* m = plan->membership.find(identity.node);
    if (m == nullptr) continue;
    s.name = m->name;
    s.votes = m->role == MemberRole::voter &&
              (m->incarnation == Incarnation(0) || m->incarnation == identity.incarnation);
    if (s.votes && s.whole) whole.insert(identity.node);
  }
  plan->acknowledged_on = plan->membership.bill_quorum;
  plan->voters_missing = plan->membership.voter_count() - static_cast<uint32_t>(whole.size());
}

Result<void> restore_snapshot(storage::FileSystem& files, const Survivor& base, kv::Store& store) {
  if (!base.found.snapshot) return {};
  Result<std::unique_ptr<storage::SnapshotReader>> reader =
      storage::SnapshotReader::open(files, base.found.snapshot_path);
  if (!reader) return reader.error();
  const std::unique_ptr<SnapshotSink> sink = store.begin_restore();
  std::string chunk;
  for (;;) {
    Result<bool> more = (*reader)->next(&chunk);
    if (!more) return more.error();
    if (!*more) return sink->finish();
    if (Result<void> written = sink->write(chunk); !written) return written;
  }
}

}  // namespace

Result<RecoveryPlan> plan_recovery(storage::FileSystem& files, const std::vector<std::string>& paths) {
  RecoveryPlan plan;
  for (const std::string& path : paths) {
    Result<Survivor> survivor = read_survivor(files, path);
    if (!survivor) return survivor.error();
    plan.survivors.push_back(std::move(*survivor));
  }
  std::optional<ClusterId> cluster;
  for (const Survivor& s : plan.survivors) {
    std::optional<ClusterId> own;
    if (s.found.superblock) own = s.found.superblock->identity.cluster;
    if (!own && s.found.snapshot) own = s.found.snapshot->meta.cluster;
    if (own && cluster && *own != *cluster)
      return Error{ErrorCode::identity,
                   s.path + " belongs to another cluster than the directories before it"};
    if (own) cluster = own;
    if (s.found.membership &&
        (plan.membership.members.empty() || s.found.membership->epoch > plan.membership.epoch))
      plan.membership = *s.found.membership;
  }
  if (plan.membership.members.empty())
    return Error{ErrorCode::corrupt, "none of the directories holds anything that can be read"};
  judge_voters(&plan);
  for (size_t i = 0; i < plan.survivors.size(); ++i) {
    const Survivor& s = plan.survivors[i];
    if (snapshot_of(s) > snapshot_of(plan.survivors[plan.base])) plan.base = i;
    plan.decided = std::max(plan.decided, s.found.decided);
    plan.last = std::max(
        {plan.last, s.contiguous, s.found.accepted.empty() ? Slot(0) : s.found.accepted.rbegin()->first});
  }
  const Slot behind = snapshot_of(plan.survivors[plan.base]);
  plan.entries = choose_entries(plan, behind);
  plan.upto = plan.entries.empty() ? behind : plan.entries.rbegin()->first;
  return plan;
}

std::vector<std::string> describe(const RecoveryPlan& plan) {
  std::vector<std::string> lines;
  for (const Survivor& s : plan.survivors) {
    lines.push_back(fmt::format(
        "{}: {}{}, snapshot at slot {}, everything up to slot {}, known decided up to slot {}", s.path,
        s.name.empty() ? "member unknown" : "member " + s.name, s.votes ? " (votes)" : " (does not vote)",
        snapshot_of(s).value, s.contiguous.value, s.found.decided.value));
    for (const std::string& problem : s.found.problems) lines.push_back("  damaged: " + problem);
  }
  lines.push_back(fmt::format(
      "epoch {} has {} voters; an acknowledged write is on the disks of {} of them; the whole disks of {} "
      "are not here",
      plan.membership.epoch, plan.membership.voter_count(), plan.acknowledged_on, plan.voters_missing));
  lines.push_back(fmt::format("the new cluster would hold everything up to slot {}", plan.upto.value));
  if (plan.upto > plan.decided)
    lines.push_back(fmt::format(
        "slots {}..{} were accepted here and are not known to be decided: they are kept, clients may "
        "have been told nothing about them",
        plan.decided.value + 1, plan.upto.value));
  if (plan.upto < plan.last)
    lines.push_back(fmt::format("LOST: slots {}..{}, because slot {} can be read nowhere",
                                plan.upto.value + 1, plan.last.value, plan.upto.value + 1));
  if (plan.voters_missing >= plan.acknowledged_on)
    lines.push_back(
        "MAY BE LOST: acknowledged writes that only the missing disks held, from about the moment they were "
        "lost");
  if (plan.is_complete()) lines.push_back("no acknowledged write is missing");
  return lines;
}

Result<BackupFacts> recover_cluster(storage::FileSystem& files, const RecoveryPlan& plan,
                                    const Config& config, int64_t revision_bump) {
  kv::Store store(kv::StoreConfig{});
  const Survivor& base = plan.survivors[plan.base];
  if (Result<void> restored = restore_snapshot(files, base, store); !restored) return restored.error();
  const uint64_t term = base.found.snapshot ? base.found.snapshot->meta.term : 0;
  for (const auto& [slot, entry] : plan.entries)
    if (entry.kind == EntryKind::command) store.apply(ApplyContext{slot, term, false}, entry.bytes());
  store.begin_new_cluster(revision_bump);
  return write_new_cluster(files, config, store, base.found.snapshot ? base.found.snapshot->size_bytes : 0);
}

}  // namespace decree::server
