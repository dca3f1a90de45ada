// What a person who looks at a synod run between two of its steps can see, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "decree/replica.h"
#include "lab/synod/run.h"

namespace decree::lab {

struct SynodSlotView {
  Slot slot;
  Ballot ballot;  // none for a Law learned without accepting it
  bool law = false;
  bool durable = false;  // its log holds it at this ballot
  bool decided = false;  // it knows so
  EntryKind kind = EntryKind::noop;
  std::string value;  // of a command
};

// Of a process that is down: what its log holds.
struct SynodProcessView {
  uint32_t process = 0;
  bool up = false;
  bool killed = false;  // never to return
  bool writing = false;
  Role role = Role::follower;
  Ballot promised;
  Ballot promised_durable;
  Ballot leader;  // the ballot it follows or leads
  std::string input;
  std::optional<std::string> output;
  std::vector<SynodSlotView> log;
};

struct SynodFlightView {
  uint64_t id = 0;
  uint32_t from = 0;
  uint32_t to = 0;
  std::string message;  // its name
  uint64_t due_ms = 0;
};

struct SynodView {
  uint64_t step = 0;
  uint64_t now_ms = 0;
  bool finished = false;  // everybody who is up wrote its output, and nothing planned is left
  std::vector<SynodProcessView> processes;
  std::vector<SynodFlightView> flights;             // the next to arrive first
  std::vector<std::pair<uint32_t, uint32_t>> cuts;  // (from, to), one way; from 0: everybody
  std::optional<PointOfNoReturn> point;
  uint64_t first_known_ms = 0;  // 0: nobody
  std::string breach;
  std::vector<PropertyVerdict> verdicts;  // validity, integrity, agreement, termination
};

}  // namespace decree::lab
