// What happens before a Node exists: the newest snapshot goes into the state machine, and the recovered log
// is brought into line with it. Blocking; the server does it before the peer port opens, the simulator before
// the first tick.
#pragma once

#include "decree/record.h"
#include "decree/state_machine.h"
#include "runtime/snapshot_store.h"

namespace decree::runtime {

// Restores the newest whole snapshot into `machine` and adapts `recovered`: a snapshot newer than the log's
// own SnapshotRecord counts (the process died between the two), so the log's entries up to it are dropped. An
// error when the log starts behind a snapshot that is not there any more.
Result<std::optional<StoredSnapshot>> restore_newest(SnapshotStore& store, StateMachine& machine,
                                                     RecoveredState& recovered);

}  // namespace decree::runtime
