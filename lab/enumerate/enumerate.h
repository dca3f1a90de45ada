// Enumeration of crashes and of rot on the real log, superblock and snapshot code, on a simulated disk.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace decree::lab {

// What became of the cases of one row. A case is never counted twice.
struct Tally {
  uint64_t cases = 0;
  uint64_t harmless = 0;  // everything there, nothing to say
  uint64_t repaired =
      0;  // everything acknowledged and proven is there, and the operator is told what was repaired
  uint64_t refused = 0;  // with a sentence that names the file
  uint64_t wrong = 0;
  std::string first_wrong;

  void bad(const std::string& where, const std::string& problem) {
    ++wrong;
    if (first_wrong.empty()) first_wrong = where + ": " + problem;
  }
};

struct EnumerateOptions {
  uint64_t every = 1;         // only every n-th case of each row, another n-th with another seed
  uint64_t seed = 1;          // of the samples where a boundary leaves too many subsets
  uint64_t subsets_max = 64;  // so many samples there
};

// The case that is being tried, for the message when the reader crashes.
void set_current_case(const std::string& row, const std::string& where);

using Report = std::function<void(const std::string& row, const Tally& tally)>;

// A crash at every write and sync of each canonical life, with every subset of the unsynced pieces (directory
// entries, 512-byte sectors) where there are at most 8, a sample where there are more; each followed by a
// start, and some starts by a crash at each of their own operations.
void enumerate_crashes(const EnumerateOptions& options, const Report& report);
// Every single-bit flip and every truncation of a 64-KiB log, a superblock and a snapshot; every 512-byte
// block of the log zeroed, and every two swapped.
void enumerate_rot(const EnumerateOptions& options, const Report& report);

}  // namespace decree::lab
