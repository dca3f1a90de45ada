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

}  // namespace decree::server
