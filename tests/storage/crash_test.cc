// Dies at every single operation of a canonical life, loses a random part of what was not synced, starts
// again (dying at every operation of that start, too), and compares: everything acknowledged is there,
// nothing is invented.
#include <functional>

#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

struct Model {
  std::map<Slot, AcceptedEntry> accepted;
  Ballot promised;
  Membership membership;
  bool has_membership = false;
  Slot snapshot;  // newest durable file
  Slot recorded;  // newest SnapshotRecord
  uint64_t boot = 0;
};

void accept_into(Model* model, const AcceptRecord& record) {
  Slot slot = record.first;
  for (const Entry& entry : record.entries) {
    model->accepted[slot] = AcceptedEntry{record.ballot, model->accepted[slot].law, entry};
    slot = slot.next();
  }
  model->promised = std::max(model->promised, record.ballot);
}

// One step of a life: what it does, and what it means when it was acknowledged.
struct Step {
  std::function<Result<void>(DataDir&)> act;
  std::function<void(Model*)> mean;
};

Result<void> write_snapshot(DataDir& dir, uint64_t index) {
  SnapshotMeta meta{test_identity().cluster,
                    Slot(index),
                    {index, 1},
                    1,
                    dir.wal().poisoned() ? Membership{} : three_members()};
  auto writer = dir.snapshots().begin(meta);
  if (!writer) return writer.error();
  if (auto r = (*writer)->append(std::string(700, 's')); !r) return r;
  auto info = (*writer)->finish();
  if (!info) return info.error();
  return {};
}

Step commit(std::vector<Record> records) {
  auto shared = std::make_shared<std::vector<PersistedRecord>>(batch(std::move(records)));
  Step step;
  step.act = [shared](DataDir& dir) { return dir.wal().commit(*shared); };
  step.mean = [shared](Model* model) {
    for (const PersistedRecord& persisted : *shared) {
      if (const auto* a = std::get_if<AcceptRecord>(&persisted.record)) accept_into(model, *a);
      if (const auto* p = std::get_if<PromiseRecord>(&persisted.record))
        model->promised = std::max(model->promised, p->promised);
      if (const auto* s = std::get_if<SnapshotRecord>(&persisted.record)) model->recorded = s->index;
      if (const auto* e = std::get_if<EpochRecord>(&persisted.record)) {
        model->membership = e->membership;
        model->has_membership = true;
        model->promised = std::max(model->promised, e->initial_ballot);
        std::erase_if(model->accepted, [&](const auto& held) {
          return held.first >= e->membership.base && held.second.ballot.epoch < e->membership.epoch;
        });
      }
    }
  };
  return step;
}

Step work(std::function<Result<void>(DataDir&)> act) {
  return Step{std::move(act), [](Model*) {}};
}

Step snapshot(uint64_t index) {
  return Step{[index](DataDir& dir) { return write_snapshot(dir, index); },
              [index](Model* model) { model->snapshot = Slot(index); }};
}

std::vector<Step> life() {
  std::vector<Step> steps;
  steps.push_back(commit({EpochRecord{three_members(), {}}}));
  steps.push_back(commit({PromiseRecord{ballot(1)}, accept(ballot(1), 1, 3, "a")}));
  steps.push_back(work([](DataDir& dir) { return dir.wal().prepare_reserve(); }));
  for (uint64_t i = 0; i < 6; ++i)
    steps.push_back(commit({accept(ballot(1), 4 + 2 * i, 2, std::string(500, 'b'))}));
  steps.push_back(commit({PromiseRecord{ballot(2, 2)}}));
  steps.push_back(commit({accept(ballot(2, 2), 9, 4, "c"), DecidedRecord{Slot(8)}}));
  steps.push_back(work([](DataDir& dir) { return dir.wal().mark_idle(); }));
  steps.push_back(snapshot(8));
  steps.push_back(commit({SnapshotRecord{Slot(8), {8, 1}}}));
  steps.push_back(work([](DataDir& dir) { return dir.wal().truncate_behind(Slot(8)); }));
  for (uint64_t i = 0; i < 8; ++i)
    steps.push_back(commit({accept(ballot(2, 2), 13 + 2 * i, 2, std::string(600, 'd'))}));
  steps.push_back(work([](DataDir& dir) { return dir.wal().prepare_reserve(); }));
  steps.push_back(snapshot(20));
  steps.push_back(commit({SnapshotRecord{Slot(20), {20, 1}}, DecidedRecord{Slot(22)}}));
  steps.push_back(work([](DataDir& dir) { return dir.wal().truncate_behind(Slot(20)); }));
  steps.push_back(work([](DataDir& dir) { return dir.snapshots().drop_older(1); }));
  steps.push_back(commit({EpochRecord{three_members(1, Slot(27)), ballot(1, 2, 1)}}));
  steps.push_back(commit({PromiseRecord{ballot(1, 2, 1)}, accept(ballot(1, 2, 1), 27, 3, "e")}));
  steps.push_back(work([](DataDir& dir) { return dir.close(); }));
  return steps;
}

OpenOptions tiny() {
  OpenOptions options = small_options();
  options.wal.segment_bytes = 6 * 1024;
  options.wal.opening_segment_bytes = 4 * 1024;
  return options;
}

std::string difference(const RecoveredState& found, const Model& model) {
  if (found.has_membership != model.has_membership) return "membership there or not";
  if (found.has_membership && !(found.membership == model.membership)) return "membership";
  for (const auto& [slot, held] : model.accepted) {
    if (slot <= found.snapshot_index) continue;
    const auto it = found.accepted.find(slot);
    if (it == found.accepted.end()) return "slot " + std::to_string(slot.value) + " is lost";
    if (!(it->second.entry == held.entry)) return "slot " + std::to_string(slot.value) + " has another value";
    if (it->second.ballot != held.ballot) return "slot " + std::to_string(slot.value) + " has another ballot";
  }
  for (const auto& [slot, held] : found.accepted)
    if (!model.accepted.contains(slot)) return "slot " + std::to_string(slot.value) + " is invented";
  return "";
}

// `before`: everything acknowledged; `after`: with the step that was under way.
void expect_between(const RecoveredState& found, const Model& before, const Model& after,
                    const std::string& where) {
  const std::string one = difference(found, before);
  const std::string other = difference(found, after);
  EXPECT_TRUE(one.empty() || other.empty())
      << where << ": acknowledged: " << one << "; with the one under way: " << other;
  EXPECT_GE(found.promised, before.promised) << where;
  EXPECT_LE(found.promised, after.promised) << where;
  EXPECT_GE(found.snapshot_index, before.snapshot) << where;
  EXPECT_LE(found.snapshot_index, after.snapshot) << where;
  EXPECT_GE(found.boot, before.boot + 1) << where << ": a boot number was used twice";
}

// Lives until operation `die_at` (0: to the end). Fills in what was acknowledged before and with the last
// step.
void live(MemoryFileSystem& files, uint64_t die_at, Model* before, Model* after) {
  if (die_at > 0) files.fail_after(die_at);
  auto dir = open_dir(files, tiny());
  if (!dir.ok()) {
    ASSERT_GT(die_at, 0u) << dir.error().message;
    return;
  }
  before->boot = after->boot = (*dir)->boot();
  for (const Step& step : life()) {
    *before = *after;
    step.mean(after);
    const Result<void> done = step.act(**dir);
    if (!done.ok()) {
      ASSERT_TRUE(files.failed()) << done.error().message;
      return;
    }
    *before = *after;
  }
}

TEST(Crash, AtEveryOperationNothingAcknowledgedIsLostAndNothingInvented) {
  MemoryFileSystem whole;
  Model before;
  Model after;
  live(whole, 0, &before, &after);
  const uint64_t operations = whole.operations();
  ASSERT_GT(operations, 100u);
  for (uint64_t die_at = 1; die_at <= operations; ++die_at) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      MemoryFileSystem files;
      Model was;
      Model under_way;
      live(files, die_at, &was, &under_way);
      if (seed == 0) {
        files.crash(seed, CrashMode::drop_all);
      } else if (seed == 1) {
        files.crash(seed, CrashMode::keep_all);
      } else {
        files.crash(die_at * 1000 + seed);
      }
      const std::string where = "operation " + std::to_string(die_at) + " seed " + std::to_string(seed);
      auto dir = open_dir(files, tiny());
      ASSERT_TRUE(dir.ok()) << where << ": " << error_of(dir);
      expect_between((*dir)->recovered(), was, under_way, where);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(Crash, AtEveryOperationOfTheNextStartToo) {
  MemoryFileSystem whole;
  Model before;
  Model after;
  live(whole, 0, &before, &after);
  const uint64_t operations = whole.operations();
  for (uint64_t die_at = 1; die_at <= operations; die_at += 3) {
    MemoryFileSystem files;
    Model was;
    Model under_way;
    live(files, die_at, &was, &under_way);
    files.crash(die_at);
    for (uint64_t again_at = 1;; ++again_at) {
      MemoryFileSystem second(files);
      const std::string where =
          "operation " + std::to_string(die_at) + ", of the next start " + std::to_string(again_at);
      second.fail_after(again_at);
      const bool opened = open_dir(second, tiny()).ok();
      if (opened && !second.failed()) break;
      second.crash(die_at * 7919 + again_at);
      auto dir = open_dir(second, tiny());
      ASSERT_TRUE(dir.ok()) << where << ": " << error_of(dir);
      expect_between((*dir)->recovered(), was, under_way, where);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// kill -9 at every operation, a start that believes what it sees and acknowledges more, then the power fails:
// what was seen may have lived in the page cache alone.
TEST(Crash, WhatAStartFoundInThePageCacheIsDurableBeforeItIsReliedOn) {
  MemoryFileSystem whole;
  Model before;
  Model after;
  live(whole, 0, &before, &after);
  const uint64_t operations = whole.operations();
  for (uint64_t die_at = 1; die_at <= operations; ++die_at) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      MemoryFileSystem files;
      Model was;
      Model under_way;
      live(files, die_at, &was, &under_way);
      files.crash(0, CrashMode::process_only);
      const std::string where = "operation " + std::to_string(die_at) + " seed " + std::to_string(seed);
      RecoveredState seen;
      const Ballot last = ballot(7, 3, 9);
      {
        auto dir = open_dir(files, tiny());
        ASSERT_TRUE(dir.ok()) << where << ": " << error_of(dir);
        seen = (*dir)->recovered();
        expect_between(seen, was, under_way, where);
        must((*dir)->wal().commit(batch({EpochRecord{three_members(9, Slot(1000)), {}}, PromiseRecord{last},
                                         accept(last, 1000, 1, "z")})));
      }
      files.crash(die_at * 31 + seed, seed == 0 ? CrashMode::drop_all : CrashMode::random);
      auto dir = open_dir(files, tiny());
      ASSERT_TRUE(dir.ok()) << where << ", after the power failure: " << error_of(dir);
      RecoveredState found = (*dir)->recovered();
      EXPECT_EQ(found.promised, last) << where;
      EXPECT_EQ(found.snapshot_index, seen.snapshot_index) << where;
      EXPECT_EQ(found.accepted.erase(Slot(1000)), 1u) << where;
      EXPECT_TRUE(found.accepted == seen.accepted) << where;
      EXPECT_GT(found.boot, seen.boot) << where;
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// Many short lives one after the other on one disk, each ending at a random operation.
TEST(Crash, ALongChainOfLivesKeepsEverythingAcknowledged) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    MemoryFileSystem files;
    Model model;
    model.membership = three_members();
    uint64_t slot = 1;
    uint64_t random = seed * 0x9e3779b97f4a7c15ULL;
    const auto draw = [&random](uint64_t below) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      return (random >> 33) % below;
    };
    for (int boot = 0; boot < 12; ++boot) {
      if (draw(8) != 0) files.fail_after(1 + draw(120));
      Model before = model;
      auto dir = open_dir(files, tiny());
      if (dir.ok()) {
        const std::string where = "seed " + std::to_string(seed) + " boot " + std::to_string(boot) +
                                  " (rerun: change the loop to this seed)";
        const RecoveredState found = (*dir)->recovered();
        ASSERT_GE(found.promised, model.promised) << where;
        for (const auto& [s, held] : model.accepted) {
          if (s <= found.snapshot_index) continue;
          ASSERT_TRUE(found.accepted.contains(s)) << where << " slot " << s.value;
          ASSERT_TRUE(found.accepted.at(s).ballot >= held.ballot) << where << " slot " << s.value;
        }
        ASSERT_GE(found.snapshot_index, model.snapshot) << where;
        ASSERT_GT(found.boot, model.boot) << where;
        model.boot = found.boot;
        model.promised = found.promised;
        model.accepted = found.accepted;
        model.snapshot = found.snapshot_index;
        slot = std::max(found.snapshot_index.value,
                        found.accepted.empty() ? 0 : found.accepted.rbegin()->first.value) +
               1;
        const Ballot b = ballot(found.promised.round + 1);
        if ((*dir)->wal().commit(batch({PromiseRecord{b}})).ok()) model.promised = b;
        for (int i = 0; i < 20 && !files.failed(); ++i) {
          const uint64_t first = draw(4) == 0 && slot > model.snapshot.value + 2 ? slot - 1 : slot;
          const uint64_t count = 1 + draw(3);
          const AcceptRecord record = accept(b, first, count, std::string(1 + draw(900), 'v'));
          if (!(*dir)->wal().commit(batch({record})).ok()) break;
          accept_into(&model, record);
          slot = first + count;
          if (draw(6) == 0) (void)(*dir)->wal().prepare_reserve();
          if (draw(6) == 0) (void)(*dir)->wal().mark_idle();
          if (draw(8) == 0 && write_snapshot(**dir, slot - 1).ok()) {
            model.snapshot = Slot(slot - 1);
            if ((*dir)->wal().commit(batch({SnapshotRecord{Slot(slot - 1), {slot - 1, 1}}})).ok()) {
              (void)(*dir)->wal().truncate_behind(Slot(slot - 1));
              (void)(*dir)->snapshots().drop_older(1 + draw(2));
            }
          }
        }
        dir = Error{ErrorCode::io, "closed"};
      } else {
        ASSERT_TRUE(files.failed()) << "seed " << seed << " boot " << boot << ": " << error_of(dir);
      }
      files.crash(seed * 100 + static_cast<uint64_t>(boot),
                  draw(3) == 0 ? CrashMode::process_only : CrashMode::random);
    }
  }
}

}  // namespace
}  // namespace decree::storage
