// What every service needs, in one place. Owned by ServerFront, lives as long as the services.
#pragma once

#include <functional>

#include "api/long_answers.h"
#include "api/pending_replies.h"
#include "api/server_front.h"
#include "decree/consensus.h"
#include "http/call_port.h"
#include "kv/applier.h"

namespace etcdserverpb {
class ResponseHeader;
}

namespace decree::api {

struct Context {
  // What lies outside: time, and the wish for another turn soon.
  struct Outside {
    std::function<net::SteadyTime()> now;
    std::function<void()> wake;
    std::function<void(const std::string&)> log;
  };
  Context(http::CallPort& server_in, Consensus& consensus_in, kv::Store& store_in,
          const FrontOptions& options_in, const Outside& outside);

  http::CallPort& server;
  Consensus& consensus;
  kv::Store& store;
  const FrontOptions& options;
  PendingReplies pending;
  LongAnswers long_answers;
  const std::function<net::SteadyTime()> clock;
  const std::function<void(const std::string&)> log;

  // Consensus' status as of this turn; asked again after something was applied, so that the term in an answer
  // is never older than one that a client has already seen.
  const ConsensusStatus& status();
  void forget_status() { status_known = false; }
  uint64_t term() { return status().replica.term; }
  bool is_leader() { return status().replica.role == Role::leader; }
  bool has_leader() { return status().leader_member_id != 0; }
  void fill_header(etcdserverpb::ResponseHeader* header);
  // Proposes that this member's NOSPACE alarm be raised, once until it stands.
  void raise_no_space();
  // The same for CORRUPT: this member's state differs from others' and no majority says which is right.
  void raise_corrupt();
  void raise(int alarm);  // etcdserverpb.AlarmType, of this member

  ConsensusStatus last_status;
  bool status_known = false;
  net::SteadyTime no_space_raised{};
  net::SteadyTime corrupt_raised{};
};

}  // namespace decree::api
