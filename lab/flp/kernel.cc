#include "lab/flp/kernel.h"

#include <algorithm>

#include <fmt/format.h>

#include "decree/check.h"

namespace decree::lab {

namespace {

Entry make_entry(uint32_t v) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(v + 1), 1, 1};
  e.payload = std::make_shared<const std::string>(std::to_string(v));
  e.digest = Digest128{v + 1, 0x5eed};
  return e;
}

Membership voters_only(uint32_t n) {
  std::vector<Member> list(n);
  for (uint32_t p = 0; p < n; ++p) list[p].node = NodeId(p + 1);
  return make_membership(list);
}

void put(std::string* out, uint32_t v) { out->append(reinterpret_cast<const char*>(&v), sizeof v); }

}  // namespace

const Entry& value_entry(uint32_t v) {
  static const std::vector<Entry> entries = [] {
    std::vector<Entry> list;
    for (uint32_t i = 0; i < 16; ++i) list.push_back(make_entry(i));
    return list;
  }();
  return entries.at(v);
}

uint32_t entry_value(const Entry& entry) { return entry.id.node.value - 1; }

KernelProcess::KernelProcess(uint32_t self, const KernelOptions& options)
    : self_(self),
      input_(options.inputs[self - 1]),
      acceptor_(RecoveredState{}, voters_only(options.voters)) {}

bool KernelProcess::may_start(const KernelOptions& o) const {
  return !decision_ && (o.proposers >> self_ & 1u) != 0 && (o.ballots_max == 0 || started_ < o.ballots_max);
}

void KernelProcess::raise(const Ballot& ballot) {
  token_ = LogToken(token_.value + 1);
  acceptor_.raise_promise(ballot, token_);
  acceptor_.persisted(token_);  // no crash here: durable at once
  round_seen_ = std::max(round_seen_, ballot.round);
}

// "Abort everything and move to the higher round."
void KernelProcess::abort_for(const Ballot& higher) {
  round_seen_ = std::max(round_seen_, higher.round);
  if (phase_ == Phase::idle || higher <= ballot_) return;
  phase_ = Phase::idle;
  reports_.clear();
  votes_ = 0;
  proposed_ = 0;
}

void KernelProcess::start(const KernelOptions& o, const Send& send) {
  ++started_;
  const auto places = static_cast<uint32_t>(o.inputs.size());
  uint32_t round = std::max(round_seen_, acceptor_.promised().round) + 1;
  round += (self_ - 1 + places - round % places) % places;
  phase_ = Phase::idle;
  reports_.clear();
  votes_ = 0;
  proposed_ = 0;
  ballot_ = Ballot{0, round, 0, NodeId(self_)};
  round_seen_ = round;
  phase_ = Phase::electing;
  if (voter(o)) raise(ballot_);
  for (uint32_t p = 1; p <= o.voters; ++p)
    if (p != self_) send(p, Prepare{ballot_, kDecree});
  if (voter(o)) promise(o, self_, ballot_, send);
}

void KernelProcess::promise(const KernelOptions& o, uint32_t to, const Ballot& ballot, const Send& send) {
  Promise promise;
  promise.ballot = ballot;
  promise.decided = acceptor_.decided();
  promise.runs = acceptor_.runs_above_decided();
  const paxos::LogSlot* held = acceptor_.log().find(kDecree);
  if (held != nullptr) promise.chunk = entry_value(held->entry) + 1;
  if (to != self_) return send(to, promise);
  Report own{PromiseReport{NodeId(self_), promise.decided, Slot(0), promise.runs}, std::nullopt};
  if (held != nullptr) own.value = held->entry;
  add_report(o, self_, std::move(own), send);
}

void KernelProcess::add_report(const KernelOptions& o, uint32_t from, Report report, const Send& send) {
  reports_.emplace(from, std::move(report));
  if (reports_.size() >= o.voters / 2 + 1 - o.election_votes_missing) propose(o, send);
}

// The shipped value choice decides what may be proposed; only where it leaves the slot free, the own input.
void KernelProcess::propose(const KernelOptions& o, const Send& send) {
  std::vector<PromiseReport> quorum;
  for (const auto& [from, report] : reports_) quorum.push_back(report.promise);
  const Slot base = choose_base(quorum, Slot(0), kDecree, kDecree);
  DECREE_CHECK(base == kDecree, "nobody in this quorum knows the decision: who knows it does not run");
  const std::vector<SlotPick> picks = choose_values(quorum, base);
  const auto value_at = [this](const SlotPick& pick) -> const Entry* {
    const Report& report = reports_.at(pick.holder.value);
    return report.value ? &*report.value : nullptr;
  };
  const std::vector<Entry> bound = bind_values(picks, 0, value_at);
  phase_ = Phase::proposing;
  reports_.clear();
  proposed_ = bound.empty() ? input_ : entry_value(bound.front());
  const Accept accept{ballot_, kDecree, kDecree, Slot(0), {value_entry(proposed_)}};
  for (uint32_t p = 1; p <= o.voters; ++p)
    if (p != self_) send(p, accept);
  if (!voter(o)) return;
  token_ = LogToken(token_.value + 1);
  acceptor_.accept(accept, token_);
  acceptor_.persisted(token_);
  count_vote(o, self_, send);
}

void KernelProcess::count_vote(const KernelOptions& o, uint32_t from, const Send& send) {
  votes_ |= 1u << from;
  if (static_cast<uint32_t>(__builtin_popcount(votes_)) < o.voters / 2 + 1 || decision_) return;
  decision_ = proposed_;
  phase_ = Phase::idle;
  reports_.clear();
  if (voter(o)) acceptor_.decide(ballot_, kDecree);
  if (!o.laws) return;
  for (uint32_t p = 1; p <= o.inputs.size(); ++p)
    if (p != self_) send(p, Law{ballot_, kDecree});
}

void KernelProcess::receive(const KernelOptions& o, uint32_t from, const Message& message, const Send& send) {
  if (const auto* prepare = std::get_if<Prepare>(&message)) {
    if (prepare->ballot < acceptor_.promised()) {
      if (o.nacks) send(from, Nack{prepare->ballot, acceptor_.promised(), NackReason::promised_higher});
      return;
    }
    abort_for(prepare->ballot);
    raise(prepare->ballot);
    promise(o, from, prepare->ballot, send);
  } else if (const auto* reply = std::get_if<Promise>(&message)) {
    if (phase_ != Phase::electing || reply->ballot != ballot_) return;
    Report report{PromiseReport{NodeId(from), reply->decided, Slot(0), reply->runs}, std::nullopt};
    if (reply->chunk > 0) report.value = value_entry(reply->chunk - 1);
    if (reply->decided >= kDecree) {  // it knows the Law: so do I now
      decision_ = reply->chunk - 1;
      phase_ = Phase::idle;
      reports_.clear();
      return;
    }
    add_report(o, from, std::move(report), send);
  } else if (const auto* accept = std::get_if<Accept>(&message)) {
    if (accept->ballot < acceptor_.promised()) {
      if (o.nacks) send(from, Nack{accept->ballot, acceptor_.promised(), NackReason::promised_higher});
      return;
    }
    abort_for(accept->ballot);
    raise(accept->ballot);
    token_ = LogToken(token_.value + 1);
    acceptor_.accept(*accept, token_);
    acceptor_.persisted(token_);
    send(from, Accepted{accept->ballot, acceptor_.durable_upto(), acceptor_.decided(), Slot(0), false});
  } else if (const auto* accepted = std::get_if<Accepted>(&message)) {
    if (phase_ == Phase::proposing && accepted->ballot == ballot_ && accepted->upto >= kDecree)
      count_vote(o, from, send);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    if (nack->ballot == ballot_) abort_for(nack->promised);
  } else if (const auto* law = std::get_if<Law>(&message)) {
    if (acceptor_.decide(law->ballot, kDecree) >= kDecree && !decision_)
      decision_ = entry_value(acceptor_.log().find(kDecree)->entry);
  }
}

void KernelProcess::encode(const std::function<uint32_t(uint32_t)>& round, std::string* out) const {
  const auto ballot = [&](const Ballot& b) {
    put(out, b.is_none() ? 0 : round(b.round));
    put(out, b.node.value);
  };
  ballot(acceptor_.promised());
  ballot(acceptor_.bill_ballot());
  const paxos::LogSlot* held = acceptor_.log().find(kDecree);
  ballot(held != nullptr ? held->ballot : Ballot{});
  put(out, held != nullptr ? entry_value(held->entry) + 1 : 0);
  put(out, static_cast<uint32_t>(acceptor_.decided().value));
  // An idle process has forgotten its ballot but for the round, which it never uses again.
  put(out, static_cast<uint32_t>(phase_));
  ballot(phase_ == Phase::idle ? Ballot{} : ballot_);
  put(out, round_seen_ == 0 ? 0 : round(round_seen_));
  put(out, votes_);
  put(out, proposed_);
  put(out, decision_ ? *decision_ + 1 : 0);
  for (const auto& [from, report] : reports_) {
    put(out, from);
    ballot(report.promise.runs.empty() ? Ballot{} : report.promise.runs.front().ballot);
    put(out, report.value ? entry_value(*report.value) + 1 : 0);
  }
  put(out, 0xffffffffu);
}

KernelWorld::KernelWorld(KernelOptions options) : options_(std::move(options)) {
  for (uint32_t p = 1; p <= options_.inputs.size(); ++p) processes_.emplace_back(p, options_);
}

void KernelWorld::start(uint32_t p) {
  ++steps_;
  if (!may_start(p)) return;
  ++rounds_;
  processes_[p - 1].start(options_, [&](uint32_t to, Message m) {
    pool_.push_back(PoolMessage{next_id_++, p, to, std::move(m), steps_});
  });
}

void KernelWorld::deliver(size_t index) {
  ++steps_;
  const PoolMessage m = std::move(pool_[index]);
  drop(index);
  processes_[m.to - 1].receive(options_, m.from, m.message, [&](uint32_t to, Message answer) {
    pool_.push_back(PoolMessage{next_id_++, m.to, to, std::move(answer), steps_});
  });
}

namespace {

// What a message's effect depends on.
struct MessageKey {
  Ballot ballot;
  Ballot other;
  uint32_t value = 0;
};

MessageKey key_of(const Message& message) {
  if (const auto* m = std::get_if<Prepare>(&message)) return {m->ballot, Ballot{}, 0};
  if (const auto* m = std::get_if<Promise>(&message))
    return {m->ballot, m->runs.empty() ? Ballot{} : m->runs.front().ballot,
            m->chunk * 2 + (m->decided >= kDecree ? 1u : 0u)};
  if (const auto* m = std::get_if<Accept>(&message)) return {m->ballot, Ballot{}, entry_value(m->entries[0])};
  if (const auto* m = std::get_if<Accepted>(&message)) return {m->ballot, Ballot{}, 0};
  if (const auto* m = std::get_if<Nack>(&message)) return {m->ballot, m->promised, 0};
  if (const auto* m = std::get_if<Law>(&message)) return {m->ballot, Ballot{}, 0};
  return {};
}

}  // namespace

void KernelWorld::encode(const std::function<uint32_t(uint32_t)>& round, bool ordered,
                         std::string* out) const {
  for (const KernelProcess& p : processes_) {
    p.encode(round, out);
    if (options_.ballots_max > 0) put(out, p.started());
  }
  std::vector<std::string> messages;
  for (const PoolMessage& m : pool_) {
    std::string bytes;
    const MessageKey key = key_of(m.message);
    put(&bytes, static_cast<uint32_t>(m.message.index()));
    put(&bytes, m.from << 8 | m.to);
    for (const Ballot& b : {key.ballot, key.other}) {
      put(&bytes, b.is_none() ? 0 : round(b.round));
      put(&bytes, b.node.value);
    }
    put(&bytes, key.value);
    messages.push_back(std::move(bytes));
  }
  if (!ordered) std::sort(messages.begin(), messages.end());
  for (const std::string& bytes : messages) *out += bytes;
}

std::string KernelWorld::configuration(bool ordered) const {
  std::string out;
  encode([](uint32_t r) { return r; }, ordered, &out);
  return out;
}

// `live`: the lowest round that a future ballot could still fall next to; all below it are only compared.
void KernelWorld::collect_rounds(std::vector<uint32_t>* rounds, uint32_t* live) const {
  const auto add = [rounds](const Ballot& b) {
    if (!b.is_none()) rounds->push_back(b.round);
  };
  *live = UINT32_MAX;
  for (const KernelProcess& p : processes_) {
    *live = std::min(*live, std::max(p.round_seen(), p.acceptor().promised().round));
    add(p.acceptor().promised());
    add(p.acceptor().bill_ballot());
    add(p.ballot());
    for (const PromiseRun& run : p.acceptor().runs_above_decided()) add(run.ballot);
  }
  for (const PoolMessage& m : pool_) {
    const MessageKey key = key_of(m.message);
    add(key.ballot);
    add(key.other);
  }
  std::sort(rounds->begin(), rounds->end());
  rounds->erase(std::unique(rounds->begin(), rounds->end()), rounds->end());
}

std::function<uint32_t(uint32_t)> KernelWorld::quotient_rounds() const {
  std::vector<uint32_t> rounds;
  uint32_t live = 0;
  collect_rounds(&rounds, &live);
  // A shift by a multiple of N keeps whose turn each round is.
  const auto places = static_cast<uint32_t>(processes_.size());
  const uint32_t shift = live / places * places;
  constexpr uint32_t kLiveFrom = 1u << 16;
  return [rounds = std::move(rounds), live, shift](uint32_t r) {
    if (r >= live) return kLiveFrom + (r - shift);
    return static_cast<uint32_t>(std::lower_bound(rounds.begin(), rounds.end(), r) - rounds.begin()) + 1;
  };
}

std::string KernelWorld::quotient() const {
  std::string out;
  encode(quotient_rounds(), true, &out);
  return out;
}

std::string describe(const PoolMessage& m) {
  const MessageKey key = key_of(m.message);
  return fmt::format("{} of round {}, p{} -> p{}", message_name(m.message), key.ballot.round, m.from, m.to);
}

}  // namespace decree::lab
