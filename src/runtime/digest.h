// The digest that names an entry's value: XXH3-128 over kind, id and payload. Not cryptographic (members
// trust one another); it finds corruption and makes comparing entries cheap.
#pragma once

#include "decree/message.h"
#include "decree/types.h"

namespace decree::runtime {

Digest128 entry_digest(EntryKind kind, const RequestId& id, std::string_view payload);

// A command made here.
Entry make_command(const RequestId& id, std::shared_ptr<const std::string> payload);
Entry make_command(const RequestId& id, std::string payload);

// False when a command inside `message` is not what its digest says. The core's own entries (noop, barrier,
// stop sign) carry whatever digest the core gives them, the same everywhere, and are covered by the frame's
// checksum alone.
bool digests_hold(const Message& message);

// Rough memory a queued message holds.
uint64_t message_weight_bytes(const Message& message);

}  // namespace decree::runtime
