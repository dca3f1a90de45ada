// The safety kernel: what one acceptor has promised, accepted and knows chosen (paper: Lamport, "Paxos
// Made Simple", section 2; protocol 2.2-2.7). No liveness here: it may never answer, it may not be wrong.
//
// A copyable, comparable, hashable value, shared by server, simulator and model checker. The kernel
// changes memory at once; the caller makes the same change durable under the token it hands in, and
// speaks about it only when that token is durable.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "decree/message.h"
#include "decree/record.h"
#include "paxos/log.h"

namespace decree {

class Acceptor {
 public:
  Acceptor(const RecoveredState& recovered, const Membership& membership);

  // ---- ELECTION ----
  // Raises the promise (true) or refuses because a higher or equal one stands (false).
  // The caller persists PromiseRecord under `token` BEFORE anything that depends on it is sent.
  bool raise_promise(Ballot ballot, LogToken token);
  // What was accepted above the decided prefix, for a Promise. Consecutive slots of one ballot make one run.
  std::vector<PromiseRun> runs_above_decided() const;
  // Damaged slots above the decided prefix: never reported as absent (I19).
  std::vector<UnknownSlot> unknown_above_decided() const;

  // ---- BILL ----
  enum class Verdict : uint8_t {
    accepted,   // entries from `first_new` on were taken (possibly none: all known already)
    outranked,  // ballot < promised
    wrong_epoch,
    below_base,  // slots of an earlier epoch
    gap,         // first > next acceptable slot: nothing taken
    sealed,      // lies above a stop sign of this epoch
  };
  struct AcceptResult {
    Verdict verdict = Verdict::accepted;
    Slot first_new;  // with count > 0: slots [first_new, first_new + count) are to be persisted
    size_t count = 0;
  };
  // REQUIRES promised() == accept.ballot for a ballot >= promised: the caller raises the promise first.
  AcceptResult accept(const Accept& accept, LogToken token);
  // Starts (or goes on with) a ballot's run: computes the next acceptable slot from what the log holds.
  void enter_ballot(Ballot ballot, Slot base);

  // ---- LAW ----
  // The leader of `ballot` says slots <= upto are chosen. Moves the decided prefix over slots accepted at
  // exactly that ballot (or known as Laws); a slot accepted earlier proves nothing. Returns the new prefix.
  Slot decide(Ballot ballot, Slot upto);
  // A chosen entry from a peer's Law. True when it has to be persisted as LawRecord under `token`.
  // REQUIRES slot == decided().next() and !sealed().
  bool learn(Slot slot, const Entry& entry, LogToken token);
  // State up to `index` is covered by an installed snapshot, which is durable.
  void install_snapshot(Slot index, Digest128 chain, uint64_t term);
  // Forgets decided entries in memory; they stay on disk.
  void drop_through(Slot upto);

  // ---- epochs (docs/decisions/0014) ----
  // The decided prefix ends with the stop sign of this epoch: nothing is learned, accepted or decided behind
  // it before open_epoch().
  bool sealed() const { return stop_sign_ != Slot(0) && decided_ == stop_sign_; }
  // Begins `next`: by this epoch's decided stop sign, which names it, or after a snapshot behind one. What
  // was accepted and not decided is void (A9); nothing is promised but the epoch's initial ballot. The caller
  // persists the EpochRecord under `token` BEFORE anything of the new epoch. REQUIRES next.base ==
  // decided().next() or below it: whoever acts in an epoch holds every slot before it (A5, A11).
  void open_epoch(const Membership& next, LogToken token);
  uint32_t epoch() const { return epoch_; }

  // ---- durability ----
  // Everything with token <= upto is durable. Monotone.
  void persisted(LogToken upto);
  // Everything bill_base..durable_upto() is accepted at bill_ballot() (or a Law), and durable.
  Slot durable_upto() const { return bill_durable_; }
  bool promise_durable() const { return promise_token_ <= persisted_; }
  bool slot_durable(Slot slot) const;

  // ---- state ----
  Ballot promised() const { return promised_; }
  Ballot bill_ballot() const { return bill_ballot_; }
  Slot bill_base() const { return bill_base_; }
  Slot next_acceptable() const { return bill_next_; }
  Slot decided() const { return decided_; }
  Digest128 decided_chain() const { return decided_chain_; }
  uint64_t decided_term() const { return decided_term_; }  // highest barrier's term in the decided prefix
  Slot snapshot_index() const { return snapshot_index_; }
  void set_snapshot_index(Slot index);
  LogToken persisted_upto() const { return persisted_; }
  const paxos::LogWindow& log() const { return log_; }
  Slot last() const { return log_.end().prev(); }

  // I3, I4, I8, I9 as far as one acceptor can see; empty when they hold.
  std::string broken_invariant() const;
  uint64_t fingerprint() const;
  friend bool operator==(const Acceptor&, const Acceptor&) = default;

 private:
  void advance_decided(paxos::LogSlot& slot);
  void advance_durable();
  bool above_stop_sign(Slot slot) const;
  bool ends_this_epoch(const Entry& entry) const;
  void note_stop_sign(Slot slot, const Entry& entry);  // `entry` is about to be put at `slot`
  void forget_unknown(Slot upto);

  uint32_t epoch_ = 0;
  Slot epoch_base_;
  Ballot promised_;
  LogToken promise_token_;
  paxos::LogWindow log_;
  Slot snapshot_index_;
  Slot decided_;
  Digest128 decided_chain_;
  uint64_t decided_term_ = 0;
  LogToken persisted_;
  Ballot bill_ballot_;  // ballot of the run being accepted
  Slot bill_base_;
  Slot bill_next_;  // next slot acceptable at bill_ballot_
  Slot bill_durable_;
  Slot stop_sign_;  // lowest stop sign accepted in this epoch; 0 = none
  // What recovery could not read: at most these ballots were accepted there. Certain again with an acceptance
  // at the bound or above, which outranks whatever it was, or with a Law.
  std::map<Slot, Ballot> unknown_;
};

// The barrier's payload: the ballot that proposed it, 24 bytes little-endian.
std::string encode_barrier(Ballot ballot);
// The ballot that first proposed this barrier; none when it is not a barrier.
Ballot barrier_ballot(const Entry& entry);
// Its term; 0 when it is not a barrier.
uint64_t barrier_term(const Entry& entry);

}  // namespace decree
