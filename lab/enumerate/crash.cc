#include <bit>
#include <vector>

#include "lab/enumerate/enumerate.h"
#include "lab/enumerate/workload.h"
#include "lab/sim/random.h"

namespace decree::lab {

namespace {

using storage::CrashMode;
using storage::DataDir;
using storage::MemoryFileSystem;

constexpr uint64_t kExhaustivePieces = 8;

// Calls visit(bits) for every subset of `pieces`, or, beyond eight, for: none, all, each alone, all but each,
// and a random sample.
template <class Visit>
void for_subsets(uint64_t pieces, uint64_t samples, Random& random, const Visit& visit) {
  if (pieces <= kExhaustivePieces) {
    for (uint64_t set = 0; set < (uint64_t{1} << pieces); ++set) {
      std::vector<bool> bits(pieces);
      for (uint64_t i = 0; i < pieces; ++i) bits[i] = (set >> i & 1) != 0;
      visit(bits);
    }
    return;
  }
  visit(std::vector<bool>(pieces, false));
  visit(std::vector<bool>(pieces, true));
  const uint64_t step = (pieces + 31) / 32;
  for (uint64_t i = 0; i < pieces; i += step) {
    std::vector<bool> one(pieces, false);
    one[i] = true;
    visit(one);
    one.flip();
    visit(one);
  }
  for (uint64_t n = 0; n < samples; ++n) {
    std::vector<bool> bits(pieces);
    // Mostly kept, mostly lost, or half and half: a prefix of a batch matters as much as a salad of it.
    const uint64_t share = 1 + random.below(7);
    for (uint64_t i = 0; i < pieces; ++i) bits[i] = random.below(8) < share;
    visit(bits);
  }
}

class Crashes {
 public:
  Crashes(const Workload& workload, const EnumerateOptions& options)
      : workload_(workload), options_(options), random_(options.seed) {}

  void run() {
    MemoryFileSystem whole;
    const LifeResult result = live(workload_, whole, 0);
    if (!result.problem.empty() || result.died) {
      crashes.bad(workload_.name, "the life did not come to its end: " + result.problem);
      return;
    }
    const uint64_t operations = whole.operations();
    for (uint64_t die_at = 1; die_at <= operations; ++die_at) at_boundary(die_at);
  }

  Tally crashes;
  Tally during_start;
  uint64_t boundaries = 0;
  uint64_t exhaustive = 0;

 private:
  void at_boundary(uint64_t die_at) {
    MemoryFileSystem dead;
    const LifeResult result = live(workload_, dead, die_at);
    if (!result.problem.empty()) {
      crashes.bad(workload_.name + ", operation " + std::to_string(die_at), result.problem);
      return;
    }
    ++boundaries;
    const uint64_t pieces = dead.unsynced_pieces();
    if (pieces <= kExhaustivePieces) ++exhaustive;
    for_subsets(pieces, options_.subsets_max, random_, [&](const std::vector<bool>& keep) {
      if (count_++ % options_.every != options_.seed % options_.every) return;
      MemoryFileSystem files(dead);
      files.crash_keeping(keep);
      const std::string where = describe(die_at, keep);
      set_current_case(workload_.name, where);
      ++crashes.cases;
      if (start(files, result, where, &crashes) && crashes.cases % 61 == 0) {
        crash_of_the_start(result, where, [&] {
          MemoryFileSystem again(dead);
          again.crash_keeping(keep);
          return again;
        });
      }
    });
    if (die_at % (7 * options_.every) != options_.seed % 7) return;
    const std::string where = workload_.name + ", kill -9 at operation " +
                              std::to_string(die_at);  // what was not synced is seen, and unsynced
    crash_of_the_start(result, where, [&] {
      MemoryFileSystem again(dead);
      again.crash(0, CrashMode::process_only);
      return again;
    });
  }

  // A start after the crash: nothing acknowledged lost, nothing invented. Then one more vote, and a power
  // failure that keeps only what was synced: what the start relied on must have been durable.
  bool start(MemoryFileSystem& files, const LifeResult& life, const std::string& where, Tally* tally) {
    auto dir = DataDir::open(files, kEnumeratedDir, workload_.options);
    if (!dir.ok()) {
      tally->bad(where, "a crash must never make a start refuse: " + dir.error().message);
      return false;
    }
    const RecoveredState found = (*dir)->recovered();
    if (const std::string problem = compare(found, life.possible); !problem.empty()) {
      tally->bad(where, problem);
      return false;
    }
    ++((*dir)->notes().empty() ? tally->harmless : tally->repaired);
    const Ballot last = enumerated_ballot(7, 9);
    const Result<void> more = commit_records(**dir, {EpochRecord{enumerated_members(9, Slot(1000)), {}},
                                                     PromiseRecord{last}, accept_record(last, 1000, 1, 20)});
    if (!more.ok()) {
      tally->bad(where, "cannot go on: " + more.error().message);
      return false;
    }
    dir->reset();
    files.crash(0, CrashMode::drop_all);
    auto again = DataDir::open(files, kEnumeratedDir, workload_.options);
    if (!again.ok()) {
      tally->bad(where, "second start: " + again.error().message);
      return false;
    }
    RecoveredState then = (*again)->recovered();
    const bool kept = then.accepted.erase(Slot(1000)) == 1 && then.promised == last &&
                      then.snapshot_index == found.snapshot_index && then.boot > found.boot;
    if (!kept || !(then.accepted == found.accepted)) {
      tally->bad(where, "what the first start saw was gone at the second");
      return false;
    }
    return true;
  }

  // The start on that disk dies, too: at each of its operations, with none, all and samples of what is
  // unsynced.
  template <class Disk>
  void crash_of_the_start(const LifeResult& life, const std::string& where, const Disk& disk) {
    for (uint64_t again_at = 1;; ++again_at) {
      MemoryFileSystem second = disk();
      second.fail_after(again_at);
      const bool opened = DataDir::open(second, kEnumeratedDir, workload_.options).ok();
      if (!second.failed()) {
        if (!opened) during_start.bad(where, "refused although nothing failed");
        return;
      }
      const uint64_t pieces = second.unsynced_pieces();
      const auto one = [&](const std::vector<bool>& kept) {
        MemoryFileSystem third(second);
        third.crash_keeping(kept);
        const std::string deeper =
            where + "; operation " + std::to_string(again_at) + " of the start: " + text(kept);
        set_current_case(workload_.name, deeper);
        ++during_start.cases;
        start(third, life, deeper, &during_start);
      };
      one(std::vector<bool>(pieces, false));
      one(std::vector<bool>(pieces, true));
      for (int n = 0; n < 4; ++n) {
        std::vector<bool> bits(pieces);
        for (uint64_t i = 0; i < pieces; ++i) bits[i] = random_.below(2) == 1;
        one(bits);
      }
    }
  }

  static std::string text(const std::vector<bool>& keep) {
    std::string bits;
    for (const bool bit : keep) bits += bit ? '1' : '0';
    return "kept " + (bits.empty() ? "nothing" : bits);
  }
  std::string describe(uint64_t die_at, const std::vector<bool>& keep) const {
    return workload_.name + ", operation " + std::to_string(die_at) + ", " + text(keep);
  }

  const Workload& workload_;
  const EnumerateOptions& options_;
  Random random_;
  uint64_t count_ = 0;
};

}  // namespace

void enumerate_crashes(const EnumerateOptions& options, const Report& report) {
  for (const Workload& workload : canonical_workloads()) {
    Crashes crashes(workload, options);
    crashes.run();
    report("crash: " + workload.name + " (" + std::to_string(crashes.boundaries) + " boundaries, " +
               std::to_string(crashes.exhaustive) + " with every subset)",
           crashes.crashes);
    if (crashes.during_start.cases > 0)
      report("crash of the start after it: " + workload.name, crashes.during_start);
  }
}

}  // namespace decree::lab
