#include "paxos/acceptor.h"

#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"

namespace decree {

using paxos::LogSlot;

Acceptor::Acceptor(const RecoveredState& recovered, const Membership& membership)
    : epoch_(membership.epoch),
      epoch_base_(membership.base),
      promised_(planted(PlantedBug::forgotten_promise)
                    ? Ballot{}
                    : std::max(recovered.promised, initial_ballot(membership))),
      log_(recovered.snapshot_index.next()),
      snapshot_index_(recovered.snapshot_index),
      decided_(recovered.snapshot_index),
      decided_chain_(recovered.snapshot_chain),
      decided_term_(recovered.snapshot_term),
      unknown_(planted(PlantedBug::damage_is_absence) ? std::map<Slot, Ballot>{} : recovered.unknown) {
  for (const auto& [slot, accepted] : recovered.accepted) {
    if (planted(PlantedBug::forgotten_acceptances) && slot > recovered.decided_hint) continue;
    DECREE_CHECK(slot > snapshot_index_, "recovery hands out only slots above the snapshot");
    if (stop_sign_ == Slot(0) && slot >= epoch_base_ && ends_this_epoch(accepted.entry)) stop_sign_ = slot;
    log_.put(slot, LogSlot{accepted.ballot, accepted.law, accepted.entry, LogToken(0), Digest128{}});
  }
  // The hint is trusted as far as the values are here: it was written AFTER the slots it covers. So was the
  // epoch's record: an epoch is opened with everything before its base decided and in hand.
  const Slot hint = std::max(recovered.decided_hint, epoch_base_ > Slot(0) ? epoch_base_.prev() : Slot(0));
  while (decided_ < hint && !sealed()) {
    LogSlot* slot = log_.find(decided_.next());
    if (slot == nullptr) break;
    advance_decided(*slot);
  }
  forget_unknown(decided_);
  bill_next_ = decided_.next();
  bill_durable_ = decided_;
}

void Acceptor::forget_unknown(Slot upto) { unknown_.erase(unknown_.begin(), unknown_.upper_bound(upto)); }

bool Acceptor::raise_promise(Ballot ballot, LogToken token) {
  DECREE_CHECK(ballot.epoch == epoch_, "ballots of another epoch never reach the kernel");
  if (ballot <= promised_) return false;
  promised_ = ballot;
  promise_token_ = token;
  return true;
}

std::vector<PromiseRun> Acceptor::runs_above_decided() const {
  std::vector<PromiseRun> runs;
  for (Slot s = decided_.next(); s < log_.end(); s = s.next()) {
    const LogSlot* slot = log_.find(s);
    if (slot == nullptr) continue;
    if (!runs.empty() && runs.back().slots.end == s && runs.back().ballot == slot->ballot &&
        runs.back().law == slot->law) {
      runs.back().slots.end = s.next();
    } else {
      runs.push_back(PromiseRun{slot->ballot, slot->law, SlotRange{s, s.next()}});
    }
  }
  return runs;
}

std::vector<UnknownSlot> Acceptor::unknown_above_decided() const {
  std::vector<UnknownSlot> slots;
  for (const auto& [slot, bound] : unknown_) slots.push_back(UnknownSlot{slot, bound});
  return slots;
}

// Stop signs name the epoch they open. One of an earlier epoch that a newcomer learns ends nothing here
// (A17).
bool Acceptor::ends_this_epoch(const Entry& entry) const {
  return entry.kind == EntryKind::stop_sign && stop_sign_membership(entry).epoch == epoch_ + 1;
}

void Acceptor::open_epoch(const Membership& next, LogToken token) {
  DECREE_CHECK(next.epoch > epoch_, "epochs only go up");
  DECREE_CHECK(next.base <= decided_.next(), "an epoch begins with everything before it in hand (A11)");
  // A promise outlived the record of its epoch: the host did not persist in order. Voting on would break it.
  DECREE_CHECK(promised_ <= initial_ballot(next), "no promise is ahead of its epoch (A3, I4)");
  epoch_ = next.epoch;
  epoch_base_ = next.base;
  log_.forget_accepted(decided_.next());
  unknown_.clear();  // void like the rest (A9)
  promised_ = initial_ballot(next);
  promise_token_ = token;
  stop_sign_ = Slot(0);
  bill_ballot_ = Ballot{};
  bill_base_ = Slot(0);
  bill_next_ = decided_.next();
  bill_durable_ = std::min(bill_durable_, decided_);
  advance_durable();
}

bool Acceptor::above_stop_sign(Slot slot) const { return stop_sign_ != Slot(0) && slot > stop_sign_; }

void Acceptor::note_stop_sign(Slot slot, const Entry& entry) {
  if (slot >= epoch_base_ && ends_this_epoch(entry)) {
    if (stop_sign_ == Slot(0) || slot < stop_sign_) stop_sign_ = slot;
    return;
  }
  if (slot != stop_sign_) return;
  // Another value outranked the stop sign here: it was never chosen and seals nothing. A stale one may lie
  // above.
  stop_sign_ = Slot(0);
  for (Slot s = slot.next(); s < log_.end() && stop_sign_ == Slot(0); s = s.next()) {
    const LogSlot* held = log_.find(s);
    if (held != nullptr && ends_this_epoch(held->entry)) stop_sign_ = s;
  }
}

void Acceptor::enter_ballot(Ballot ballot, Slot base) {
  if (ballot == bill_ballot_) {
    if (decided_ >= bill_next_) bill_next_ = decided_.next();
    return;
  }
  bill_ballot_ = ballot;
  bill_base_ = base;
  // After a restart the log may already hold a stretch of this ballot's run.
  bill_next_ = std::max(base, decided_.next());
  for (const LogSlot* s = log_.find(bill_next_); s != nullptr && s->ballot == ballot;
       s = log_.find(bill_next_))
    bill_next_ = bill_next_.next();
  // Slots below the base are Laws that others hold; slots no longer in memory were durable when dropped.
  DECREE_SOMETIMES("a ballot's run goes on after a restart", bill_next_ > std::max(base, decided_.next()));
  bill_durable_ = std::max(base.prev(), std::min(decided_, log_.first().prev()));
  advance_durable();
}

Acceptor::AcceptResult Acceptor::accept(const Accept& accept, LogToken token) {
  AcceptResult result;
  if (accept.ballot.epoch != epoch_) {
    result.verdict = Verdict::wrong_epoch;
    return result;
  }
  if (accept.ballot < promised_ && !planted(PlantedBug::stale_accept)) {
    result.verdict = Verdict::outranked;
    return result;
  }
  DECREE_CHECK(planted(PlantedBug::stale_accept) || accept.ballot == promised_,
               "the promise is raised before accepting (I4)");
  if (accept.base < epoch_base_ || accept.first < accept.base) {
    result.verdict = Verdict::below_base;
    return result;
  }
  enter_ballot(accept.ballot, accept.base);
  DECREE_CHECK(bill_base_ == accept.base, "one ballot has one base");
  if (accept.first > bill_next_ && planted(PlantedBug::accept_over_gap)) bill_next_ = accept.first;
  if (accept.first > bill_next_) {
    DECREE_SOMETIMES("an Accept leaves a gap", true);
    result.verdict = Verdict::gap;
    return result;
  }
  const Slot end = accept.first + accept.entries.size();
  result.first_new = bill_next_;
  for (Slot s = accept.first; s < end; s = s.next()) {
    const Entry& entry = accept.entries[s - accept.first];
    LogSlot* held = log_.find(s);
    DECREE_SOMETIMES("a slot is accepted twice", s < bill_next_);
    if (s < bill_next_) {  // a duplicate: it must be the same value
      DECREE_CHECK(held == nullptr || held->ballot != accept.ballot || held->entry == entry,
                   "I1: two values at one ballot and slot");
      continue;
    }
    if (above_stop_sign(s)) {
      result.verdict = Verdict::sealed;
      break;
    }
    const bool law = held != nullptr && held->law;
    DECREE_CHECK(!law || held->entry == entry, "I7: a ballot proposes another value where a Law stands");
    note_stop_sign(s, entry);
    log_.put(s, LogSlot{accept.ballot, law, entry, token, Digest128{}});
    if (const auto lost = unknown_.find(s); lost != unknown_.end() && accept.ballot >= lost->second) {
      DECREE_SOMETIMES("a damaged slot is accepted again", true);
      unknown_.erase(lost);
    }
    bill_next_ = s.next();
    ++result.count;
  }
  return result;
}

void Acceptor::advance_decided(LogSlot& slot) {
  const Slot s = decided_.next();
  decided_ = s;
  DECREE_SOMETIMES("a damaged slot is learned again", unknown_.contains(s));
  unknown_.erase(s);
  decided_chain_ = chain_link(decided_chain_, s, slot.entry.digest);
  slot.chain = decided_chain_;
  if (slot.entry.kind == EntryKind::barrier)
    decided_term_ = std::max(decided_term_, barrier_term(slot.entry));
}

Slot Acceptor::decide(Ballot ballot, Slot upto) {
  while (decided_ < upto && !sealed()) {
    LogSlot* slot = log_.find(decided_.next());
    if (slot == nullptr) break;
    if (!slot->law && slot->ballot != ballot && !planted(PlantedBug::trust_old_ballot)) break;
    advance_decided(*slot);
  }
  if (bill_next_ <= decided_) bill_next_ = decided_.next();
  advance_durable();
  return decided_;
}

bool Acceptor::learn(Slot slot, const Entry& entry, LogToken token) {
  DECREE_CHECK(slot == decided_.next(), "Laws are learned in order");
  DECREE_CHECK(!sealed(), "behind a stop sign the next epoch is opened first");
  const LogSlot* held = log_.find(slot);
  const bool same = held != nullptr && held->entry == entry;
  if (!same) {
    DECREE_CHECK(held == nullptr || !held->law, "I7: two Laws at one slot");
    DECREE_SOMETIMES("a Law replaces an accepted value that lost", held != nullptr);
    // What was accepted here lost; the Law replaces it and survives a restart as a Law (attack A14).
    note_stop_sign(slot, entry);
    log_.put(slot, LogSlot{Ballot{}, true, entry, token, Digest128{}});
  }
  advance_decided(*log_.find(slot));
  if (bill_next_ <= decided_) bill_next_ = decided_.next();
  advance_durable();
  return !same && !planted(PlantedBug::law_not_persisted);
}

void Acceptor::install_snapshot(Slot index, Digest128 chain, uint64_t term) {
  DECREE_CHECK(index > decided_, "a snapshot moves the prefix forward");
  DECREE_SOMETIMES("a snapshot is installed below accepted slots", log_.end() > index.next());
  log_.drop_through(index);
  forget_unknown(index);
  if (stop_sign_ <= index) stop_sign_ = Slot(0);  // covered: the snapshot's membership tells the epoch
  snapshot_index_ = index;
  decided_ = index;
  decided_chain_ = chain;
  decided_term_ = std::max(decided_term_, term);
  if (bill_next_ <= decided_) bill_next_ = decided_.next();
  bill_durable_ = std::max(bill_durable_, index);
  advance_durable();
}

void Acceptor::set_snapshot_index(Slot index) {
  DECREE_CHECK(index <= decided_, "only decided slots are in a snapshot");
  snapshot_index_ = std::max(snapshot_index_, index);
  advance_durable();
}

void Acceptor::drop_through(Slot upto) {
  DECREE_CHECK(upto <= decided_ && slot_durable(upto), "only decided and durable slots leave memory");
  log_.drop_through(upto);
}

bool Acceptor::slot_durable(Slot slot) const {
  if (slot < log_.first()) return true;      // covered by a snapshot, or dropped after having become durable
  if (slot <= snapshot_index_) return true;  // the snapshot is durable BEFORE the core hears of it
  const LogSlot* held = log_.find(slot);
  return held != nullptr && held->token <= persisted_;
}

void Acceptor::advance_durable() {
  while (bill_durable_.next() < bill_next_) {
    const Slot s = bill_durable_.next();
    if (s >= log_.first() && s > snapshot_index_) {
      const LogSlot* held = log_.find(s);
      if (held == nullptr) break;
      if (s > decided_ && held->ballot != bill_ballot_) break;
      if (held->token > persisted_ && !planted(PlantedBug::ack_before_durable)) break;
    }
    DECREE_SOMETIMES("a vote waits for nothing: the slot is below the snapshot",
                     s <= snapshot_index_ && s >= log_.first());
    bill_durable_ = s;
  }
}

void Acceptor::persisted(LogToken upto) {
  DECREE_CHECK(upto >= persisted_, "durability only grows");
  persisted_ = upto;
  advance_durable();
}

std::string Acceptor::broken_invariant() const {
  if (decided_ < snapshot_index_) return "I8: the decided prefix lies below the snapshot";
  if (log_.first() > decided_.next()) return "I8: undecided slots left memory";
  if (stop_sign_ != Slot(0) && decided_ > stop_sign_) return "I11: decided behind the epoch's stop sign";
  for (Slot s = decided_.next(); s < log_.end(); s = s.next()) {
    const LogSlot* slot = log_.find(s);
    if (slot != nullptr && slot->ballot > promised_)
      return "I4: accepted above the promise at slot " + std::to_string(s.value);
  }
  for (Slot s = std::max(bill_base_, decided_.next()); !bill_ballot_.is_none() && s < bill_next_;
       s = s.next()) {
    const LogSlot* slot = log_.find(s);
    if (slot == nullptr || slot->ballot < bill_ballot_)
      return "I9: hole in the run of the current ballot at slot " + std::to_string(s.value);
  }
  return "";
}

uint64_t Acceptor::fingerprint() const {
  Digest128 d = chain_link(Digest128{epoch_, promised_.term()}, decided_, decided_chain_);
  d = chain_link(d, Slot(promised_.node.value), Digest128{promised_.priority, bill_ballot_.term()});
  d = chain_link(d, bill_next_, Digest128{bill_ballot_.node.value, bill_base_.value});
  d = chain_link(d, bill_durable_, Digest128{snapshot_index_.value, promise_durable()});
  for (Slot s = decided_.next(); s < log_.end(); s = s.next()) {
    const LogSlot* slot = log_.find(s);
    if (slot == nullptr) continue;
    d = chain_link(d, s, slot->entry.digest);
    const uint64_t flags = (static_cast<uint64_t>(slot->ballot.priority) << 2) | (slot->law ? 1u : 0u) |
                           (slot->token <= persisted_ ? 2u : 0u);
    d = chain_link(d, Slot(slot->ballot.node.value), Digest128{slot->ballot.term(), flags});
  }
  for (const auto& [slot, bound] : unknown_)
    d = chain_link(d, slot,
                   Digest128{bound.term(), (static_cast<uint64_t>(bound.node.value) << 16) | bound.priority});
  return d.hi ^ d.lo;
}

std::string encode_barrier(Ballot ballot) {
  std::string out;
  const uint64_t words[3] = {ballot.term(), ballot.priority, ballot.node.value};
  for (uint64_t w : words)
    for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(w >> (8 * i)));
  return out;
}

Ballot barrier_ballot(const Entry& entry) {
  const std::string_view bytes = entry.bytes();
  if (entry.kind != EntryKind::barrier || bytes.size() < 24) return Ballot{};
  uint64_t words[3] = {};
  for (size_t i = 0; i < 24; ++i)
    words[i / 8] |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * (i % 8));
  return Ballot{static_cast<uint32_t>(words[0] >> 32), static_cast<uint32_t>(words[0]),
                static_cast<uint16_t>(words[1]), NodeId(static_cast<uint32_t>(words[2]))};
}

uint64_t barrier_term(const Entry& entry) { return barrier_ballot(entry).term(); }

}  // namespace decree
