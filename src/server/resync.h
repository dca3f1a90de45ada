// What a member does whose state is not the majority's (docs/decisions/0016): it keeps its data directory as
// evidence and begins anew on an empty one, as the same member with another disk. The others take it in as
// they do a wiped disk (docs/decisions/0014). Blocking, with the directory not in use.
#pragma once

#include <string>

#include "decree/membership.h"
#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"

namespace decree::server {

struct Divergence {
  Identity identity;
  Membership membership;  // as this member last knew it
  std::string report;     // for the operator: who has what at which slot
};

// Moves `data_dir` aside as `<data_dir>.diverged-N`, with the report in it, and puts a new directory in its
// place: the same cluster, node and member id, another incarnation. Returns where the evidence is. A crash
// anywhere in between is made good by finish_set_aside().
Result<std::string> set_aside(storage::FileSystem& files, const std::string& data_dir,
                              const Divergence& divergence);
// BEFORE `data_dir` is opened: a member that died between the two renames would else be taken for a new one.
Result<void> finish_set_aside(storage::FileSystem& files, const std::string& data_dir);

}  // namespace decree::server
