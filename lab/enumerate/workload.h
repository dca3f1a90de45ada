// Canonical lives of a data directory: each a short list of steps, run on a simulated disk to its end or
// until the disk's n-th operation kills it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lab/enumerate/expected.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::lab {

inline constexpr const char* kEnumeratedDir = "/data/m1";

// The directory's owner in the middle of its life; `dir` is empty between a stop and the next start.
struct Life {
  storage::MemoryFileSystem* files = nullptr;
  storage::OpenOptions options;
  std::unique_ptr<storage::DataDir> dir;
};

// One step: what it does, and what it means once it was acknowledged: one stage, or several that become
// durable one after the other (an epoch that opens ends a batch of its own).
struct LifeStep {
  std::function<Result<void>(Life&)> act;
  std::vector<std::function<void(Expected*)>> stages;
  bool kill = false;  // ends in kill -9: what was not synced stays visible and unsynced
};

struct Workload {
  std::string name;
  storage::OpenOptions options;
  std::vector<LifeStep> steps;
};

std::vector<Workload> canonical_workloads();

struct LifeResult {
  // What a start may find: the acknowledged state, then with each stage of the step that was under way.
  std::vector<Expected> possible{Expected{}};
  bool died = false;
  std::string problem;  // a step failed although nobody killed it
};
// Kills at the disk's operation `die_at`, which is begun and never answered; 0: lives to its end.
LifeResult live(const Workload& workload, storage::MemoryFileSystem& files, uint64_t die_at);

// Building blocks, used by the enumeration of damages as well.
storage::OpenOptions enumerated_options(uint32_t block_bytes, uint64_t segment_bytes, uint64_t opening_bytes);
Ballot enumerated_ballot(uint32_t round, uint32_t epoch = 0);
Membership enumerated_members(uint32_t epoch, Slot base);
AcceptRecord accept_record(const Ballot& ballot, uint64_t first, uint64_t count, uint64_t bytes_each);
Result<void> commit_records(storage::DataDir& dir, const std::vector<Record>& records);
Result<void> write_snapshot(storage::DataDir& dir, uint64_t index, uint64_t body_bytes);

}  // namespace decree::lab
