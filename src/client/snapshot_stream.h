// Maintenance.Snapshot from one member, piece by piece, in bounded memory.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "client/status.h"
#include "decree/result.h"
#include "net/tcp.h"

namespace etcdserverpb {
class SnapshotResponse;
}

namespace decree::client {

using SnapshotPiece = std::function<Result<void>(const etcdserverpb::SnapshotResponse& piece)>;

// Tries the endpoints in turn until one sends a first piece; from then on only that one counts, since pieces
// of two members do not fit together. `silence` bounds the time without any piece. When `take` fails, the
// call ends with Code::aborted and its sentence. Blocks.
Status receive_snapshot(const std::vector<net::HostPort>& endpoints, std::chrono::milliseconds silence,
                        const SnapshotPiece& take);

}  // namespace decree::client
