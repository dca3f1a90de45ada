// Who this member is, from the flags of its first start: the same numbers on all members.
#pragma once

#include "decree/membership.h"
#include "decree/record.h"
#include "server/config.h"

namespace decree::server {

struct Genesis {
  Identity identity;  // incarnation still 0
  Membership membership;
};

// Node numbers 1..N by sorted name, member id from name, peer URLs and token, cluster id from token and
// members.
Genesis make_genesis(const Config& config);

// A new disk's random number, never 0.
Incarnation draw_incarnation();

// The number of this start in requests' ids, which are never used twice. The count of starts begins anew on a
// new disk: without the disk's own number, a wiped member that learns the log again would take the requests
// of its former self for its own, and answer its clients with them. `nonce` is random for every start: a
// copy of a disk that is put back counts the same starts once more. Later starts have higher numbers.
uint64_t request_boot(Incarnation incarnation, uint64_t starts, uint32_t nonce);
uint32_t draw_nonce();

}  // namespace decree::server
