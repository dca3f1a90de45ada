// Every number the core depends on: name, default, reason.
#pragma once

#include <cstdint>

namespace decree {

// Time is in ticks; the server's tick is 10 ms. docs/operations.md maps etcd's flags to these.
struct Options {
  // A beat round starts every so many ticks (--heartbeat-interval 100 ms).
  uint32_t beat_ticks = 10;
  // A peer that answered no beat for so long is silent (--election-timeout 1000 ms is the upper end of
  // take-over).
  uint32_t suspicion_ticks = 40;
  // An Election without a result for so long starts over with a new round.
  uint32_t election_retry_ticks = 30;
  // After a lost duel wait a random time of up to 2^k of these, k capped.
  uint32_t duel_backoff_ticks = 4;
  // Re-send what a silent peer has not acknowledged after so long.
  uint32_t retransmit_ticks = 15;
  // A leader whose oldest Bill makes no progress for so long is unhappy (protocol 2.12).
  uint32_t stalled_bill_ticks = 100;
  // A member whose disk has not finished a sync for so long is hung: it does not run, and a leader hands
  // over.
  uint32_t stalled_sync_ticks = 100;
  // How much later than others this member takes over when nobody leads. A preference, never a veto.
  uint32_t takeover_delay_ticks = 0;

  uint32_t accept_entries_max = 2048;       // entries in one Accept
  uint32_t accept_bytes_max = 4u << 20;     // payload bytes in one Accept
  uint32_t inflight_bytes_max = 16u << 20;  // unacknowledged payload bytes per peer
  uint32_t proposals_queued_max = 20000;    // beyond: definitely_not, "too many requests"
  uint64_t proposals_queued_bytes_max = 64u << 20;
  uint32_t promise_runs_max = 512;  // runs in one Promise chunk
  uint32_t reads_queued_max = 100000;
  uint64_t cached_log_bytes_max =
      16u << 20;  // decided entries kept in memory for catch-up; older ones are read from disk
  uint64_t cached_log_entries_min = 64;

  // A member that joins may be so many decided slots behind when it becomes a voter.
  uint64_t catch_up_slots_max = 1000;
  // A change of members waits so long for enough of the next voters to hold everything decided; meanwhile
  // nothing is proposed.
  uint32_t change_wait_ticks = 50;
  // A replacement disk is let in when the old one was silent for so long.
  uint32_t replace_silence_ticks = 100;
  // A fresh disk votes in a cluster of several only when all other first members were in contact with it, or
  // an epoch names it: it may be a wiped one (protocol 2.11, genesis hazard). Off for hosts without
  // handshakes.
  bool confirm_genesis = false;

  uint16_t priority = 0;
  uint64_t seed = 1;  // of the back-off's random numbers
};

}  // namespace decree
