// A disk that must not be voted with any more, damaged beyond what can be read over or older than what its
// member has said: it is put aside, and the member comes back like one whose disk was wiped
// (protocol 2.14, 2.15; decision 0015).
#pragma once

#include <string>

#include "decree/result.h"
#include "server/config.h"
#include "storage/file_system.h"
#include "transport/join.h"

namespace decree::server {

struct Readmission {
  transport::JoinAnswer told;  // the newest members that anybody knows
  NodeId self;
  std::string evidence;  // what the old files are called now
};

// Asks the other members until enough of them vote to go on without this one, then puts the old files aside.
// Blocks, turning `loop`. Error: why it cannot be done, now or ever; nothing was touched.
Result<Readmission> give_up_disk(net::EventLoop& loop, storage::FileSystem& files, const Config& config);

// Whether the answers show that the cluster goes on without this disk: a sentence when they do not. The
// newest of the answers goes to `newest`.
std::string why_not_readmitted(const std::vector<transport::JoinAnswer>& answers, const Config& config,
                               std::optional<ClusterId> cluster, const transport::JoinAnswer** newest,
                               NodeId* self);

}  // namespace decree::server
