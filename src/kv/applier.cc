#include "kv/applier.h"

#include <array>
#include <set>

#include <xxhash.h>
#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "etcd/rpc.pb.h"
#include "kv/command.h"
#include "kv/encode.h"
#include "kv/mvcc.h"
#include "kv/range_query.h"
#include "kv/request_check.h"
#include "kv/snapshot.h"
#include "kv/status.h"
#include "kv/txn.h"

namespace decree::kv {

using etcdserverpb::AlarmRequest;
using etcdserverpb::AlarmResponse;

namespace {

// What one turn of the loop can afford: see RangeJob for the rest.
constexpr RangeBudget kInlineRange{.visits = 60000, .bytes = 1u << 20};
constexpr size_t kCompactionWorkPerSlice = 20000;
constexpr size_t kReleasesPerSlice = 5000;

bool is_alarm(int kind) {
  return kind == static_cast<int>(AlarmKind::no_space) || kind == static_cast<int>(AlarmKind::corrupt);
}

}  // namespace

struct Store::State {
  explicit State(const StoreConfig& c) : config(c), mvcc(std::make_shared<Mvcc>()) {}

  HeaderFields header(uint64_t term) const {
    return {.cluster_id = config.cluster_id,
            .member_id = config.member_id,
            .revision = mvcc->revision(),
            .term = term};
  }
  bool has_alarm(AlarmKind kind) const {
    for (const Alarm& alarm : alarms) {
      if (alarm.kind == kind) return true;
    }
    return false;
  }
  // A write is refused whole and without effect: on another member the state is the same, so is the refusal.
  Refusal check_write(bool has_put, uint64_t cost_bytes, uint64_t quota_bytes) const {
    if (has_alarm(AlarmKind::corrupt)) return kCorrupt;
    if (!has_put) return kAccepted;
    if (has_alarm(AlarmKind::no_space)) return kNoSpace;
    return quota_bytes != 0 && mvcc->in_use_bytes() + cost_bytes > quota_bytes ? kNoSpace : kAccepted;
  }

  Refusal apply_put(const Command& command, Executor* executor, std::string* body);
  Refusal apply_txn(const Command& command, Executor* executor, std::string* body);
  Refusal apply_compact(const Command& command, uint64_t term, std::string* body);
  Refusal apply_alarm(const Command& command, uint64_t term, std::string* body);
  Refusal apply_member(const Command& command);
  void chain_changes();
  void chain_command(const Command& command);
  void chain(const std::array<uint64_t, 6>& link);

  StoreConfig config;
  std::shared_ptr<Mvcc> mvcc;
  Digest128 digest;
  std::set<Alarm> alarms;
  std::map<uint64_t, MemberAttributes> members;
  std::string cluster_version;
  std::vector<std::shared_ptr<Mvcc>>
      retired;  // replaced by a restore; freed in slices when no job reads them

  // Parsed into again and again: their buffers stay.
  etcdserverpb::PutRequest put;
  etcdserverpb::DeleteRangeRequest delete_range;
  etcdserverpb::TxnRequest txn;
};

void Store::State::chain(const std::array<uint64_t, 6>& link) {
  const std::array<uint64_t, 8> block{digest.hi, digest.lo, link[0], link[1],
                                      link[2],   link[3],   link[4], link[5]};
  const XXH128_hash_t next = XXH3_128bits(block.data(), sizeof block);
  digest = {next.high64, next.low64};
}

void Store::State::chain_changes() {
  for (const Record* r : mvcc->changes()) {
    const std::string_view content = r->content();
    const XXH128_hash_t h = XXH3_128bits(content.data(), content.size());
    chain({h.high64, h.low64, static_cast<uint64_t>(r->mod()),
           r->sub() | (r->tombstone() ? uint64_t{1} << 32 : 0), r->key().size(),
           static_cast<uint64_t>(r->version())});
  }
}

// For changes outside the multi-version map: the command itself stands for its effect.
void Store::State::chain_command(const Command& command) {
  const XXH128_hash_t h = XXH3_128bits(command.request.data(), command.request.size());
  chain({h.high64, h.low64, static_cast<uint64_t>(mvcc->revision()),
         uint64_t{1} << 40 | static_cast<uint64_t>(command.type), command.request.size(), 0});
}

Refusal Store::State::apply_put(const Command& command, Executor* executor, std::string* body) {
  if (!put.ParseFromArray(command.request.data(), static_cast<int>(command.request.size())))
    return kMalformed;
  if (planted(PlantedBug::state_depends_on_member) && config.member_id % 2 == 0 &&
      command.request.size() % 3 == 0)
    return kAccepted;
  const Refusal refusal = check_write(true, quota_cost_bytes(put), command.quota_bytes);
  return refusal.ok() ? executor->put(put, body) : refusal;
}

Refusal Store::State::apply_txn(const Command& command, Executor* executor, std::string* body) {
  if (!txn.ParseFromArray(command.request.data(), static_cast<int>(command.request.size())))
    return kMalformed;
  const bool has_put = txn_has_put(txn);
  const Refusal refusal = check_write(has_put, has_put ? quota_cost_bytes(txn) : 0, command.quota_bytes);
  return refusal.ok() ? executor->txn(txn, body) : refusal;
}

Refusal Store::State::apply_compact(const Command& command, uint64_t term, std::string* body) {
  etcdserverpb::CompactionRequest request;
  if (!request.ParseFromArray(command.request.data(), static_cast<int>(command.request.size())))
    return kMalformed;
  if (has_alarm(AlarmKind::corrupt)) return kCorrupt;
  DECREE_SOMETIMES("a compaction comes twice", request.revision() <= mvcc->compacted());
  if (request.revision() <= mvcc->compacted()) return kCompacted;
  if (request.revision() > mvcc->revision()) return kFutureRevision;
  mvcc->compact(request.revision());
  chain_command(command);
  if (body != nullptr) put_header(body, header(term));
  return kAccepted;
}

Refusal Store::State::apply_alarm(const Command& command, uint64_t term, std::string* body) {
  AlarmRequest request;
  if (!request.ParseFromArray(command.request.data(), static_cast<int>(command.request.size())))
    return kMalformed;
  AlarmResponse response;
  const auto report = [&response](const Alarm& alarm) {
    auto* member = response.add_alarms();
    member->set_memberid(alarm.member_id);
    member->set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.kind));
  };
  switch (request.action()) {
    case AlarmRequest::ACTIVATE:
      if (is_alarm(request.alarm())) {
        const Alarm alarm{request.memberid(), static_cast<AlarmKind>(request.alarm())};
        if (alarms.insert(alarm).second) chain_command(command);
        report(alarm);
      }
      break;
    case AlarmRequest::DEACTIVATE: {
      // Member 0 means every member, NONE every kind.
      bool changed = false;
      for (auto it = alarms.begin(); it != alarms.end();) {
        const bool meant =
            (request.memberid() == 0 || it->member_id == request.memberid()) &&
            (request.alarm() == etcdserverpb::NONE || static_cast<int>(it->kind) == request.alarm());
        if (!meant) {
          ++it;
          continue;
        }
        report(*it);
        it = alarms.erase(it);
        changed = true;
      }
      if (changed) chain_command(command);
      break;
    }
    default:
      for (const Alarm& alarm : alarms) {
        if (request.alarm() == etcdserverpb::NONE || static_cast<int>(alarm.kind) == request.alarm())
          report(alarm);
      }
      break;
  }
  if (body != nullptr) {
    put_header(body, header(term));
    response.AppendToString(body);
  }
  return kAccepted;
}

Refusal Store::State::apply_member(const Command& command) {
  etcdserverpb::Member request;
  if (!request.ParseFromArray(command.request.data(), static_cast<int>(command.request.size())))
    return kMalformed;
  MemberAttributes attributes{request.name(), {request.clienturls().begin(), request.clienturls().end()}};
  MemberAttributes& known = members[request.id()];
  if (known == attributes) return kAccepted;
  known = std::move(attributes);
  chain_command(command);
  return kAccepted;
}

Store::Store(const StoreConfig& config) : state_(std::make_unique<State>(config)) {}
Store::~Store() = default;

Reply Store::apply(const ApplyContext& context, std::string_view bytes) {
  State& s = *state_;
  const Result<Command> parsed = parse_command(bytes);
  // Decided by a majority and unreadable here: going on would make this member's state differ from the
  // others'.
  DECREE_CHECK(parsed.ok(), parsed.ok() ? "" : parsed.error().message.c_str());
  const Command& command = parsed.value();
  Reply reply;
  std::string* body = context.wants_reply ? &reply.body : nullptr;
  Executor executor(*s.mvcc, s.header(context.term));
  s.mvcc->forget_changes();
  Refusal refusal = kAccepted;
  switch (command.type) {
    case CommandType::put:
      refusal = s.apply_put(command, &executor, body);
      break;
    case CommandType::delete_range:
      if (!s.delete_range.ParseFromArray(command.request.data(), static_cast<int>(command.request.size()))) {
        refusal = kMalformed;
      } else {
        refusal = s.check_write(false, 0, 0);
        if (refusal.ok()) refusal = executor.delete_range(s.delete_range, body);
      }
      break;
    case CommandType::txn:
      refusal = s.apply_txn(command, &executor, body);
      break;
    case CommandType::compact:
      refusal = s.apply_compact(command, context.term, body);
      break;
    case CommandType::alarm:
      refusal = s.apply_alarm(command, context.term, body);
      break;
    case CommandType::member_attributes:
      refusal = s.apply_member(command);
      break;
    case CommandType::cluster_version:
      if (s.cluster_version != command.request) {
        s.cluster_version = command.request;
        s.chain_command(command);
      }
      break;
  }
  s.chain_changes();
  if (refusal.ok()) return reply;
  return context.wants_reply ? refusal.reply() : Reply{static_cast<int>(refusal.code), {}};
}

// Of the history of changes and of what lies in memory now.
Digest128 Store::digest() const {
  const Digest128 live = state_->mvcc->live_digest();
  const std::array<uint64_t, 5> block{state_->digest.hi, state_->digest.lo, live.hi, live.lo,
                                      static_cast<uint64_t>(state_->mvcc->revision())};
  const XXH128_hash_t both = XXH3_128bits(block.data(), sizeof block);
  return {both.high64, both.low64};
}

uint64_t Store::version() const { return static_cast<uint64_t>(state_->mvcc->revision()); }

std::unique_ptr<SnapshotSource> Store::begin_snapshot() {
  SnapshotState snapshot;
  snapshot.revision = state_->mvcc->revision();
  snapshot.compacted = state_->mvcc->compacted();
  snapshot.digest = state_->digest;
  snapshot.alarms = alarms();
  snapshot.members = state_->members;
  snapshot.cluster_version = state_->cluster_version;
  return make_snapshot_source(state_->mvcc, std::move(snapshot));
}

std::unique_ptr<SnapshotSink> Store::begin_restore() {
  State* s = state_.get();
  return make_snapshot_sink(
      [s](SnapshotState snapshot, std::shared_ptr<Mvcc> mvcc) {
        s->retired.push_back(std::move(s->mvcc));
        s->mvcc = std::move(mvcc);
        s->digest = snapshot.digest;
        s->alarms = {snapshot.alarms.begin(), snapshot.alarms.end()};
        s->members = std::move(snapshot.members);
        s->cluster_version = std::move(snapshot.cluster_version);
      },
      [s](std::shared_ptr<Mvcc> mvcc) { s->retired.push_back(std::move(mvcc)); });
}

void Store::begin_new_cluster(int64_t revision_bump) {
  State& s = *state_;
  if (revision_bump > 0) {
    s.mvcc->skip_revisions(revision_bump);
    s.mvcc->compact(s.mvcc->revision());
  }
  s.alarms.clear();
  s.members.clear();
}

uint64_t Store::snapshot_bytes_estimate() const { return 256 + state_->mvcc->in_use_bytes(); }

bool Store::background_slice() {
  State& s = *state_;
  bool more = s.mvcc->compact_slice(kCompactionWorkPerSlice);
  for (auto it = s.retired.begin(); it != s.retired.end(); ++it) {
    DECREE_SOMETIMES("a replaced state is still read", it->use_count() > 1);
    if (it->use_count() > 1) continue;  // a job still reads it; it will be looked at again
    if (!(*it)->release_slice(kReleasesPerSlice)) s.retired.erase(it);
    return true;
  }
  return more;
}

Store::RangeOutcome Store::range(const etcdserverpb::RangeRequest& request, uint64_t term) const {
  const Mvcc& mvcc = *state_->mvcc;
  const RangeQuery query(request);
  const Refusal refusal = check_range_revision(mvcc, query.revision);
  if (!refusal.ok()) return refusal.reply();
  RangeAnswer answer;
  if (!evaluate_range(mvcc, query, kInlineRange, &answer)) {
    return std::make_unique<RangeJob>(state_->mvcc, request, state_->header(term));
  }
  Reply reply;
  put_range_response(&reply.body, state_->header(term), query, answer);
  return reply;
}

Reply Store::range_whole(const etcdserverpb::RangeRequest& request, uint64_t term) const {
  const RangeQuery query(request);
  const Refusal refusal = check_range_revision(*state_->mvcc, query.revision);
  if (!refusal.ok()) return refusal.reply();
  RangeAnswer answer;
  evaluate_range(*state_->mvcc, query, RangeBudget{}, &answer);
  Reply reply;
  put_range_response(&reply.body, state_->header(term), query, answer);
  return reply;
}

Reply Store::read_txn(const etcdserverpb::TxnRequest& request, uint64_t term) const {
  DECREE_CHECK(txn_is_read_only(request), "a writing transaction goes through the log");
  Reply reply;
  Executor executor(*state_->mvcc, state_->header(term));
  const Refusal refusal = executor.txn(request, &reply.body);
  return refusal.ok() ? reply : refusal.reply();
}

std::variant<Reply, std::unique_ptr<HashJob>> Store::start_hash_kv(int64_t revision, uint64_t term) const {
  const Refusal refusal = check_range_revision(*state_->mvcc, revision);
  if (!refusal.ok()) return refusal.reply();
  return std::make_unique<HashJob>(state_->mvcc, revision, state_->header(term));
}

Reply Store::hash_kv(int64_t revision, uint64_t term) const {
  auto started = start_hash_kv(revision, term);
  if (auto* refused = std::get_if<Reply>(&started)) return *refused;
  HashJob& job = *std::get<std::unique_ptr<HashJob>>(started);
  while (!job.step()) {
  }
  return job.reply();
}

Reply Store::alarm_list(const AlarmRequest& request, uint64_t term) const {
  AlarmResponse response;
  for (const Alarm& alarm : state_->alarms) {
    if (request.alarm() != etcdserverpb::NONE && static_cast<int>(alarm.kind) != request.alarm()) continue;
    auto* member = response.add_alarms();
    member->set_memberid(alarm.member_id);
    member->set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.kind));
  }
  Reply reply;
  put_header(&reply.body, state_->header(term));
  response.AppendToString(&reply.body);
  return reply;
}

int64_t Store::current_revision() const { return state_->mvcc->revision(); }
int64_t Store::compacted_revision() const { return state_->mvcc->compacted(); }
bool Store::compaction_done(int64_t revision) const { return state_->mvcc->compaction_done(revision); }

bool Store::over_quota(uint64_t cost_bytes, uint64_t quota_bytes) const {
  return quota_bytes != 0 && state_->mvcc->in_use_bytes() + cost_bytes > quota_bytes;
}
bool Store::has_alarm(AlarmKind kind) const { return state_->has_alarm(kind); }
std::vector<Alarm> Store::alarms() const { return {state_->alarms.begin(), state_->alarms.end()}; }

StoreSizes Store::sizes() const {
  const Mvcc& m = *state_->mvcc;
  return {.held_bytes = m.held_bytes(),
          .in_use_bytes = m.in_use_bytes(),
          .keys = m.live_keys(),
          .versions = m.versions()};
}
const std::map<uint64_t, MemberAttributes>& Store::members() const { return state_->members; }
const std::string& Store::cluster_version() const { return state_->cluster_version; }
const std::vector<const Record*>& Store::last_changes() const { return state_->mvcc->changes(); }
const Mvcc& Store::mvcc() const { return *state_->mvcc; }

}  // namespace decree::kv
