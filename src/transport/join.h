// "Who am I?", asked by a process without data that is to join a running cluster: any member answers with the
// members as they are now.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "decree/membership.h"
#include "decree/result.h"
#include "net/event_loop.h"

namespace decree::transport {

struct JoinAnswer {
  ClusterId cluster;
  Membership membership;
  std::string told_by;
  NodeId from;  // who answered, with which disk
  Incarnation incarnation;
};

struct JoinQuestion {
  std::string name;
  std::vector<std::string> own_urls;
  std::vector<std::string> contacts;  // peer URLs of members, tried in turn
};

// Blocks, turning `loop`, until a member answered or `patience` is over. Error: what the last one said.
Result<JoinAnswer> ask_to_join(net::EventLoop& loop, const JoinQuestion& question,
                               std::chrono::milliseconds patience);

// Asks every contact once. Blocks, turning `loop`, up to two seconds per contact. Who did not answer, or let
// nobody in, is left out; what the last of those said goes to `problem`.
std::vector<JoinAnswer> ask_all(net::EventLoop& loop, const JoinQuestion& question, std::string* problem);

}  // namespace decree::transport
