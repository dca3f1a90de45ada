#include "lab/enumerate/workload.h"

#include <memory>

namespace decree::lab {

namespace {

using storage::CrashMode;
using storage::DataDir;
using storage::MemoryFileSystem;
using storage::OpenOptions;

Entry command(uint64_t slot, uint64_t bytes, uint64_t salt) {
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = RequestId{NodeId(1), 1 + salt, slot};
  entry.digest = Digest128{slot * 31 + bytes, salt};
  std::string payload = std::to_string(salt) + "/" + std::to_string(slot) + "/";
  payload.resize(std::max<uint64_t>(bytes, payload.size()), static_cast<char>('a' + (slot + salt) % 26));
  entry.payload = std::make_shared<const std::string>(std::move(payload));
  return entry;
}

LifeStep commit(std::vector<Record> records) {
  auto shared = std::make_shared<const std::vector<Record>>(std::move(records));
  LifeStep step;
  step.act = [shared](Life& life) { return commit_records(*life.dir, *shared); };
  for (size_t at = 0; at < shared->size();) {
    const size_t first = at;
    while (at < shared->size() && !std::holds_alternative<EpochRecord>((*shared)[at])) ++at;
    at = std::min(at + 1, shared->size());
    step.stages.emplace_back([=](Expected* expected) {
      for (size_t i = first; i < at; ++i) expected->mean((*shared)[i]);
    });
  }
  return step;
}

LifeStep work(std::function<Result<void>(DataDir&)> act) {
  return LifeStep{[act = std::move(act)](Life& life) { return act(*life.dir); }, {}};
}

LifeStep reserve() {
  return work([](DataDir& dir) { return dir.wal().prepare_reserve(); });
}
LifeStep idle() {
  return work([](DataDir& dir) { return dir.wal().mark_idle(); });
}
LifeStep truncate(uint64_t upto) {
  return work([upto](DataDir& dir) { return dir.wal().truncate_behind(Slot(upto)); });
}
LifeStep drop_older(size_t keep) {
  return work([keep](DataDir& dir) { return dir.snapshots().drop_older(keep); });
}

LifeStep snapshot(uint64_t index, uint64_t body_bytes = 700) {
  return LifeStep{
      [=](Life& life) { return write_snapshot(*life.dir, index, body_bytes); },
      {[=](Expected* expected) { expected->snapshot = std::max(expected->snapshot, Slot(index)); }}};
}

// A peer's whole file, in two pieces.
LifeStep import(uint64_t index) {
  const auto act = [index](Life& life) -> Result<void> {
    MemoryFileSystem elsewhere;
    OpenOptions options = life.options;
    auto other = DataDir::open(elsewhere, kEnumeratedDir, options);
    if (!other) return other.error();
    if (auto r = write_snapshot(**other, index, 3000); !r) return r;
    const storage::SnapshotInfo info = *(*other)->snapshots().newest();
    auto piece = (*other)->snapshots().open_piece(Slot(index));
    if (!piece) return piece.error();
    auto bytes = (*piece)->read(0, static_cast<uint32_t>(info.size_bytes));
    if (!bytes) return bytes.error();
    auto taken = life.dir->snapshots().begin_import(Slot(index), info.size_bytes, info.digest);
    if (!taken) return taken.error();
    const std::string_view all = *bytes;
    if (auto r = (*taken)->write(0, all.substr(0, 1500)); !r) return r;
    if (auto r = (*taken)->write(1500, all.substr(1500)); !r) return r;
    auto installed = (*taken)->finish();
    if (!installed) return installed.error();
    return {};
  };
  return LifeStep{
      act, {[=](Expected* expected) { expected->snapshot = std::max(expected->snapshot, Slot(index)); }}};
}

Result<void> open(Life& life) {
  auto dir = DataDir::open(*life.files, kEnumeratedDir, life.options);
  if (!dir) return dir.error();
  life.dir = std::move(*dir);
  return {};
}

LifeStep start() {
  return LifeStep{open, {[](Expected* expected) { ++expected->boot; }}};
}
LifeStep stop() {
  return LifeStep{[](Life& life) {
                    Result<void> closed = life.dir->close();
                    life.dir.reset();
                    return closed;
                  },
                  {}};
}
LifeStep kill() {
  LifeStep step{[](Life& life) -> Result<void> {
                  life.dir.reset();
                  return {};
                },
                {}};
  step.kill = true;
  return step;
}

// The disk is full for this one commit, which must be refused and leave everything as it was.
LifeStep refused_for_space(std::vector<Record> records) {
  auto shared = std::make_shared<const std::vector<Record>>(std::move(records));
  return LifeStep{[shared](Life& life) -> Result<void> {
                    life.files->set_capacity(life.files->used_bytes() + 100);
                    const Result<void> done = commit_records(*life.dir, *shared);
                    life.files->set_capacity(std::numeric_limits<uint64_t>::max());
                    if (done.ok()) return Error{ErrorCode::invalid, "a commit found room on a full disk"};
                    return done.error().code == ErrorCode::no_space ? Result<void>() : done;
                  },
                  {}};
}

LifeStep genesis() { return commit({EpochRecord{enumerated_members(0, Slot(1)), {}}}); }

Ballot b(uint32_t round, uint32_t epoch = 0) { return enumerated_ballot(round, epoch); }

LawRecord law(uint64_t first, uint64_t count, uint64_t bytes_each) {
  return LawRecord{Slot(first), accept_record(b(0), first, count, bytes_each).entries};
}

void append(std::vector<LifeStep>* steps, std::vector<LifeStep> more) {
  for (LifeStep& step : more) steps->push_back(std::move(step));
}

std::vector<LifeStep> begun(std::vector<LifeStep> more) {
  std::vector<LifeStep> steps;
  steps.push_back(start());
  steps.push_back(genesis());
  append(&steps, std::move(more));
  return steps;
}

// `count` batches of one entry each, from slot `first` on.
std::vector<LifeStep> singles(uint32_t round, uint64_t first, uint64_t count, uint64_t bytes_each) {
  std::vector<LifeStep> steps;
  for (uint64_t i = 0; i < count; ++i)
    steps.push_back(commit({accept_record(b(round), first + i, 1, bytes_each)}));
  return steps;
}

std::vector<LifeStep> joined(std::vector<std::vector<LifeStep>> parts) {
  std::vector<LifeStep> steps;
  for (auto& part : parts) append(&steps, std::move(part));
  return steps;
}

std::vector<LifeStep> long_life() {
  std::vector<LifeStep> steps =
      begun({commit({PromiseRecord{b(1)}, accept_record(b(1), 1, 3, 10)}), reserve()});
  for (uint64_t i = 0; i < 6; ++i) steps.push_back(commit({accept_record(b(1), 4 + 2 * i, 2, 500)}));
  append(&steps,
         {commit({PromiseRecord{b(2)}}), commit({accept_record(b(2), 9, 4, 20), DecidedRecord{Slot(8)}}),
          idle(), snapshot(8), commit({SnapshotRecord{Slot(8), {8, 1}}}), truncate(8)});
  for (uint64_t i = 0; i < 8; ++i) steps.push_back(commit({accept_record(b(2), 13 + 2 * i, 2, 600)}));
  append(&steps,
         {reserve(), snapshot(20), commit({SnapshotRecord{Slot(20), {20, 1}}, DecidedRecord{Slot(22)}}),
          truncate(20), drop_older(1), commit({EpochRecord{enumerated_members(1, Slot(27)), b(1, 1)}}),
          commit({PromiseRecord{b(1, 1)}, accept_record(b(1, 1), 27, 3, 30)}), stop()});
  return steps;
}

void add_log_workloads(std::vector<Workload>* all) {
  const OpenOptions small = enumerated_options(512, 8192, 4096);
  const OpenOptions tiny = enumerated_options(512, 4096, 2048);
  all->push_back({"a first start, genesis, three commands, an orderly stop", small,
                  begun(joined({singles(1, 1, 3, 10), {stop()}}))});
  all->push_back(
      {"batches of one to eight sectors", enumerated_options(512, 32768, 16384),
       begun({commit({accept_record(b(1), 1, 1, 100)}), commit({accept_record(b(1), 2, 1, 600)}),
              commit({accept_record(b(1), 3, 1, 1200)}), commit({accept_record(b(1), 4, 2, 800)}),
              commit({accept_record(b(1), 6, 1, 2200)}), commit({accept_record(b(1), 7, 3, 900)}),
              commit({accept_record(b(1), 10, 1, 3300)}), commit({accept_record(b(1), 11, 4, 850)})})});
  all->push_back(
      {"the default block of 4096 bytes", enumerated_options(4096, 65536, 32768),
       begun(joined(
           {singles(1, 1, 4, 200), {commit({PromiseRecord{b(2)}})}, singles(2, 4, 2, 300), {idle()}}))});
  all->push_back(
      {"promises between votes", small,
       begun({commit({PromiseRecord{b(1)}}), commit({PromiseRecord{b(2)}, accept_record(b(2), 1, 1, 50)}),
              commit({PromiseRecord{b(5)}}), commit({accept_record(b(5), 1, 2, 60), PromiseRecord{b(7)}}),
              commit({PromiseRecord{b(9)}, accept_record(b(9), 2, 2, 70)})})});
  all->push_back({"votes over votes, and Laws", small,
                  begun({commit({accept_record(b(1), 1, 6, 80)}), commit({accept_record(b(3), 3, 2, 90)}),
                         commit({law(1, 2, 80)}), commit({law(4, 3, 40), DecidedRecord{Slot(6)}}),
                         commit({accept_record(b(4), 7, 2, 30), law(9, 2, 33)})})});
  all->push_back(
      {"segments that fill up, with a reserve", tiny,
       begun(joined({{reserve()}, singles(1, 1, 5, 300), {reserve()}, singles(1, 6, 6, 300), {reserve()}}))});
  all->push_back({"segments that fill up, without a reserve", tiny, begun(singles(1, 1, 12, 300))});
  all->push_back(
      {"a batch larger than a segment", tiny,
       begun(joined(
           {singles(1, 1, 2, 50), {commit({accept_record(b(1), 3, 3, 2500)})}, singles(1, 6, 2, 50)}))});
  all->push_back(
      {"idle markers", small,
       begun(joined(
           {{idle()}, singles(1, 1, 2, 20), {idle(), idle()}, singles(1, 3, 1, 20), {idle(), stop()}}))});
  all->push_back({"a new epoch", small,
                  begun({commit({accept_record(b(4), 1, 6, 40)}), commit({law(1, 2, 40)}),
                         commit({EpochRecord{enumerated_members(1, Slot(4)), b(1, 1)}}),
                         commit({PromiseRecord{b(1, 1)}, accept_record(b(1, 1), 4, 2, 50)}),
                         commit({EpochRecord{enumerated_members(2, Slot(6)), b(1, 2)},
                                 accept_record(b(1, 2), 6, 1, 20)})})});
}

void add_start_and_snapshot_workloads(std::vector<Workload>* all) {
  const OpenOptions small = enumerated_options(512, 8192, 4096);
  const OpenOptions tiny = enumerated_options(512, 4096, 2048);
  all->push_back({"orderly stop and start, twice", small,
                  begun(joined({singles(1, 1, 2, 40),
                                {stop(), start()},
                                singles(1, 3, 2, 40),
                                {stop(), start()},
                                {commit({PromiseRecord{b(2)}, accept_record(b(2), 5, 1, 40)})}}))});
  all->push_back({"kill -9 and start, twice", small,
                  begun(joined({singles(1, 1, 2, 40),
                                {kill(), start()},
                                singles(1, 3, 2, 40),
                                {kill(), start()},
                                {commit({PromiseRecord{b(2)}, accept_record(b(2), 5, 1, 40)})}}))});
  all->push_back({"a snapshot, the log truncated behind it", tiny,
                  begun(joined({singles(1, 1, 10, 300),
                                {commit({DecidedRecord{Slot(9)}}), snapshot(8),
                                 commit({SnapshotRecord{Slot(8), {8, 1}}}), truncate(8)},
                                singles(1, 11, 3, 300)}))});
  all->push_back(
      {"three snapshots, the older dropped, used segments become the reserve", tiny,
       begun(joined(
           {singles(1, 1, 5, 400),
            {commit({DecidedRecord{Slot(5)}}), snapshot(4), commit({SnapshotRecord{Slot(4), {4, 1}}}),
             truncate(4), reserve()},
            singles(1, 6, 5, 400),
            {commit({DecidedRecord{Slot(10)}}), snapshot(9), commit({SnapshotRecord{Slot(9), {9, 1}}}),
             truncate(9), drop_older(1), reserve()},
            singles(1, 11, 3, 400),
            {commit({DecidedRecord{Slot(13)}}), snapshot(12, 2500),
             commit({SnapshotRecord{Slot(12), {12, 1}}}), truncate(12), drop_older(1), stop(), start()},
            singles(1, 14, 1, 400)}))});
  all->push_back(
      {"a peer's snapshot is installed", tiny,
       begun(joined(
           {singles(1, 1, 3, 100),
            {import(20), commit({SnapshotRecord{Slot(20), {20, 1}}, DecidedRecord{Slot(20)}}), truncate(20)},
            singles(1, 21, 3, 100),
            {stop()}}))});
  all->push_back({"a full disk refuses a commit, then there is room", tiny,
                  begun(joined({singles(1, 1, 3, 100),
                                {refused_for_space({accept_record(b(1), 4, 3, 2500)})},
                                singles(1, 4, 3, 300)}))});
  all->push_back({"a whole life", enumerated_options(512, 6 * 1024, 4 * 1024), long_life()});
}

}  // namespace

OpenOptions enumerated_options(uint32_t block_bytes, uint64_t segment_bytes, uint64_t opening_bytes) {
  OpenOptions options;
  options.create = Identity{ClusterId(0xc1), NodeId(1), 0xabc, Incarnation(0x1234567)};
  options.wal.block_bytes = block_bytes;
  options.wal.segment_bytes = segment_bytes;
  options.wal.opening_segment_bytes = opening_bytes;
  return options;
}

Ballot enumerated_ballot(uint32_t round, uint32_t epoch) { return Ballot{epoch, round, 0, NodeId(1)}; }

Membership enumerated_members(uint32_t epoch, Slot base) {
  std::vector<Member> members;
  for (uint32_t n = 1; n <= 3; ++n) {
    Member m;
    m.node = NodeId(n);
    m.member_id = 100 + n;
    m.name = "m" + std::to_string(n);
    members.push_back(m);
  }
  return make_membership(std::move(members), epoch, base);
}

AcceptRecord accept_record(const Ballot& ballot, uint64_t first, uint64_t count, uint64_t bytes_each) {
  AcceptRecord record;
  record.ballot = ballot;
  record.first = Slot(first);
  for (uint64_t i = 0; i < count; ++i)
    record.entries.push_back(command(first + i, bytes_each, bytes_each % 97));
  return record;
}

Result<void> commit_records(DataDir& dir, const std::vector<Record>& records) {
  std::vector<PersistedRecord> batch;
  batch.reserve(records.size());
  uint64_t token = 1;
  for (const Record& record : records) batch.push_back(PersistedRecord{LogToken(token++), record});
  return dir.wal().commit(batch);
}

Result<void> write_snapshot(DataDir& dir, uint64_t index, uint64_t body_bytes) {
  const storage::SnapshotMeta meta{
      ClusterId(0xc1), Slot(index), {index, 1}, 1, enumerated_members(0, Slot(1))};
  auto writer = dir.snapshots().begin(meta);
  if (!writer) return writer.error();
  std::string body;
  for (uint64_t i = 0; body.size() < body_bytes; ++i) body += "key" + std::to_string(i * 7919) + "=value;";
  body.resize(body_bytes);
  if (auto r = (*writer)->append(body); !r) return r;
  auto info = (*writer)->finish();
  if (!info) return info.error();
  return {};
}

std::vector<Workload> canonical_workloads() {
  std::vector<Workload> all;
  add_log_workloads(&all);
  add_start_and_snapshot_workloads(&all);
  return all;
}

LifeResult live(const Workload& workload, MemoryFileSystem& files, uint64_t die_at) {
  LifeResult result;
  Life life{&files, workload.options, nullptr};
  const auto arm = [&] {
    if (die_at > files.operations()) files.fail_after(die_at - files.operations());
  };
  arm();
  for (const LifeStep& step : workload.steps) {
    const Expected acknowledged = result.possible.back();
    result.possible = {acknowledged};
    for (const auto& stage : step.stages) {
      result.possible.push_back(result.possible.back());
      stage(&result.possible.back());
    }
    const Result<void> done = step.act(life);
    if (files.failed() || !done.ok()) {
      result.died = files.failed();
      if (!result.died) result.problem = done.error().message;
      return result;
    }
    if (step.kill) {
      files.crash(0, CrashMode::process_only);
      arm();
    }
  }
  const Expected last = result.possible.back();
  result.possible = {last};
  return result;
}

}  // namespace decree::lab
