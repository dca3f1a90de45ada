// Store: the state machine of decreed. Deterministic: state depends on the decided entries alone.
//
// PUBLIC API in short (all from the loop's thread; every Reply body is a serialized etcd response incl. its
// header, or the error text when code != 0; `term` fills header.raft_term):
//   before proposing  kv/request_check.h: check_put(...), check_txn(...) ...; quota: over_quota(cost, quota)
//   the entry         kv/command.h: encode_command(CommandType::put, raw_request_bytes, quota_bytes)
//   applying          apply(context, entry) -> Reply
//   reading           range(request, term) -> Reply at once, or a RangeJob (kv/range.h) when the answer is
//   long
//                     read_txn(request, term), hash_kv(revision, term) or a HashJob, alarm_list(request,
//                     term)
//   looking           current_revision(), compacted_revision(), compaction_done(rev), sizes(), alarms(),
//   members(),
//                     cluster_version(), digest()
//   slices            background_slice(): physical compaction and the freeing of replaced states
//   snapshots         begin_snapshot(), begin_restore() (format: kv/snapshot.h)
// Jobs and snapshot sources keep the state they read alive by themselves; a sink must not outlive its Store.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "decree/state_machine.h"
#include "kv/hash_kv.h"
#include "kv/range.h"

namespace etcdserverpb {
class AlarmRequest;
class RangeRequest;
class TxnRequest;
}  // namespace etcdserverpb

namespace decree::kv {

class Mvcc;
class Record;

// This member's identity, for the headers of its own answers; never part of the replicated state.
struct StoreConfig {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
};

// etcdserverpb.AlarmType's numbers.
enum class AlarmKind : uint8_t { none = 0, no_space = 1, corrupt = 2 };

struct Alarm {
  uint64_t member_id = 0;
  AlarmKind kind = AlarmKind::none;
  friend auto operator<=>(const Alarm&, const Alarm&) = default;
};

struct MemberAttributes {
  std::string name;
  std::vector<std::string> client_urls;
  friend bool operator==(const MemberAttributes&, const MemberAttributes&) = default;
};

struct StoreSizes {
  uint64_t held_bytes =
      0;  // all versions in memory, those waiting for physical compaction too (Status.dbSize)
  uint64_t in_use_bytes =
      0;              // after logical compaction; equal on all members; what the quota counts (dbSizeInUse)
  uint64_t keys = 0;  // live keys now
  uint64_t versions = 0;  // versions held, tombstones included
};

class Store final : public StateMachine {
 public:
  explicit Store(const StoreConfig& config);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // ---- StateMachine
  Reply apply(const ApplyContext& context, std::string_view command) override;
  Digest128 digest() const override;
  uint64_t version() const override;  // the revision
  std::unique_ptr<SnapshotSource> begin_snapshot() override;
  std::unique_ptr<SnapshotSink> begin_restore() override;
  // The state becomes that of a new cluster (restore from a backup): revisions go on `revision_bump` (>= 0)
  // later and everything before is compacted, so that no client of the old cluster sees a revision twice or
  // watches across the gap; alarms and members' announcements of the old cluster go. Not part of a decided
  // history: only before the first entry.
  void begin_new_cluster(int64_t revision_bump);
  uint64_t snapshot_bytes_estimate() const override;
  bool background_slice() override;

  // ---- Reads of the applied state. Requests must have passed kv/request_check.h.
  using RangeOutcome = std::variant<Reply, std::unique_ptr<RangeJob>>;
  // A Reply when it is done within a slice, else a job to be driven in slices (see RangeJob).
  RangeOutcome range(const etcdserverpb::RangeRequest& request, uint64_t term) const;
  // Whatever it takes, at once: tests and tools.
  Reply range_whole(const etcdserverpb::RangeRequest& request, uint64_t term) const;
  // txn_is_read_only(request) must hold.
  Reply read_txn(const etcdserverpb::TxnRequest& request, uint64_t term) const;
  // HashKV at `revision` (0 = current); the job form works in slices.
  Reply hash_kv(int64_t revision, uint64_t term) const;
  std::variant<Reply, std::unique_ptr<HashJob>> start_hash_kv(int64_t revision, uint64_t term) const;
  // Alarm GET without the log.
  Reply alarm_list(const etcdserverpb::AlarmRequest& request, uint64_t term) const;

  int64_t current_revision() const;
  int64_t compacted_revision() const;  // -1: never compacted
  // True when versions below `revision` are physically gone (CompactionRequest.physical waits for this).
  bool compaction_done(int64_t revision) const;

  // ---- Quota and alarms
  // `quota_bytes` 0 = none. True: raise the alarm (AlarmRequest ACTIVATE, own member id) and answer kNoSpace.
  bool over_quota(uint64_t cost_bytes, uint64_t quota_bytes) const;
  bool has_alarm(AlarmKind kind) const;  // of any member
  std::vector<Alarm> alarms() const;     // ordered by member, kind

  StoreSizes sizes() const;
  const std::map<uint64_t, MemberAttributes>& members() const;
  const std::string& cluster_version() const;  // empty: not decided yet

  // Changes of the last apply() in order, all of current_revision(), none if it made no revision (for
  // watchers). Valid until the next apply(), background_slice() or restore.
  const std::vector<const Record*>& last_changes() const;
  const Mvcc& mvcc() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace decree::kv
