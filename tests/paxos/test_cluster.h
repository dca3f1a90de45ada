// A few replicas under one hand: the test decides what is delivered, lost, made durable, and when.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "decree/replica.h"
#include "paxos/acceptor.h"

namespace decree::testing {

// Sweeps take every n-th case with sanitizers, where a case costs ten times as much; without, all of them.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

inline Ballot ballot(uint32_t round, uint32_t node = 1) { return Ballot{0, round, 0, NodeId(node)}; }

inline Entry command(uint32_t node, uint64_t seq, const std::string& text, uint64_t boot = 1) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(node), boot, seq};
  e.payload = std::make_shared<const std::string>(text);
  e.digest = chain_link(Digest128{std::hash<std::string>{}(text), seq}, Slot(node), Digest128{boot, 1});
  return e;
}

inline Membership members(uint32_t n) {
  std::vector<Member> list;
  for (uint32_t i = 1; i <= n; ++i) {
    Member m;
    m.node = NodeId(i);
    m.member_id = i;
    m.name = "m" + std::to_string(i);
    list.push_back(m);
  }
  return make_membership(list);
}

// What a snapshot of the state machine holds here: everything applied up to its index.
struct SnapshotFile {
  Slot index;
  Digest128 chain;
  uint64_t term = 0;
  std::vector<DecidedEntry> prefix;
  Membership membership;  // that index belongs to
};

// A member's disk as the durability contract sees it: records that were synced, in order, and the newest
// snapshot file, which is durable BEFORE the core hears of it.
struct Disk {
  std::vector<Record> durable;
  SnapshotFile snapshot;
  Slot truncated;  // entries up to here are gone from the log
  uint64_t boots = 0;
  Incarnation incarnation;
  std::map<Slot, Ballot> damaged;  // what recovery finds unreadable, until it is written again
  uint64_t found = 0;              // durable records at the last start

  RecoveredState recover(NodeId node) {
    RecoveredState s;
    s.disk_writes = found = durable.size();
    s.identity.node = node;
    s.identity.incarnation = incarnation;
    s.boot = ++boots;
    for (const Record& record : durable) {
      if (const auto* r = std::get_if<PromiseRecord>(&record)) s.promised = std::max(s.promised, r->promised);
      if (const auto* r = std::get_if<EpochRecord>(&record)) {
        s.membership = r->membership;
        s.has_membership = true;
        s.initial_ballot = r->initial_ballot;
        std::erase_if(s.accepted, [&](const auto& held) {  // attack A9
          return held.first >= r->membership.base && !held.second.law &&
                 held.second.ballot.epoch < r->membership.epoch;
        });
      }
      if (const auto* r = std::get_if<AcceptRecord>(&record)) {
        s.promised = std::max(s.promised, r->ballot);
        for (size_t i = 0; i < r->entries.size(); ++i) {
          AcceptedEntry& a = s.accepted[r->first + i];
          a = AcceptedEntry{r->ballot, a.law, r->entries[i]};
        }
      }
      if (const auto* r = std::get_if<LawRecord>(&record))
        for (size_t i = 0; i < r->entries.size(); ++i)
          s.accepted[r->first + i] = AcceptedEntry{Ballot{}, true, r->entries[i]};
      if (const auto* r = std::get_if<DecidedRecord>(&record))
        s.decided_hint = std::max(s.decided_hint, r->upto);
      if (const auto* r = std::get_if<SnapshotRecord>(&record)) {
        s.snapshot_index = r->index;
        s.snapshot_chain = r->chain;
        s.snapshot_term = r->term;
        s.decided_hint = std::max(s.decided_hint, r->index);
      }
    }
    if (snapshot.index > s.snapshot_index) {  // the file is newer than the last record that names one
      s.snapshot_index = snapshot.index;
      s.snapshot_chain = snapshot.chain;
      s.snapshot_term = snapshot.term;
      s.decided_hint = std::max(s.decided_hint, snapshot.index);
    }
    if (snapshot.index > Slot(0) && (!s.has_membership || s.membership.epoch < snapshot.membership.epoch)) {
      s.membership = snapshot.membership;
      s.has_membership = true;
      std::erase_if(s.accepted, [&](const auto& held) {
        return !held.second.law && held.second.ballot.epoch < s.membership.epoch;
      });
    }
    s.accepted.erase(s.accepted.begin(), s.accepted.upper_bound(s.snapshot_index));
    for (const auto& [slot, bound] : damaged) {
      s.accepted.erase(slot);
      s.unknown[slot] = bound;
    }
    damaged.clear();
    return s;
  }
};

struct Frame {
  NodeId from;
  NodeId to;
  Message message;
};

struct TestMember {
  Disk disk;
  std::unique_ptr<Replica> replica;
  std::vector<PersistedRecord> unsynced;
  std::vector<DecidedEntry> applied;
  std::vector<ReadReady> reads;
  std::vector<OutcomeNotice> outcomes;
  std::vector<Job> jobs;
  bool auto_sync = true;
  Membership genesis;  // what its first start was told
  std::set<uint32_t> linked;
};

// A snapshot that a member was asked to send.
struct SnapshotParcel {
  uint32_t to = 0;
  SnapshotFile file;
};

class TestCluster {
 public:
  explicit TestCluster(uint32_t n, Options options = {}, std::optional<Membership> membership = std::nullopt)
      : membership_(membership ? *membership : members(n)), options_(options) {
    for (const Member& m : membership_.members) {
      members_[m.node.value].genesis = membership_;
      members_.at(m.node.value).disk.incarnation = m.incarnation;
      boot(m.node.value);
    }
    for (const Member& m : membership_.members) link_all(m.node.value, true);
  }

  Replica& at(uint32_t node) { return *members_.at(node).replica; }
  TestMember& member(uint32_t node) { return members_.at(node); }
  bool up(uint32_t node) { return members_.contains(node) && members_.at(node).replica != nullptr; }

  void boot(uint32_t node) {
    TestMember& m = members_.at(node);
    Options options = options_of.contains(node) ? options_of.at(node) : options_;
    options.seed = 100 + node;
    m.applied = m.disk.snapshot.prefix;
    m.jobs.clear();
    m.linked.clear();
    m.replica = std::make_unique<Replica>(m.disk.recover(NodeId(node)), m.genesis, options);
    input(node, Ticked{Tick(now_)});
  }
  // Everything not synced is lost, but for the oldest `kept` records, which reached the disk unnoticed.
  void crash(uint32_t node, size_t kept = 0) {
    TestMember& m = members_.at(node);
    m.replica.reset();
    for (size_t i = 0; i < std::min(kept, m.unsynced.size()); ++i)
      m.disk.durable.push_back(std::move(m.unsynced[i].record));
    m.unsynced.clear();
    std::erase_if(net_, [&](const Frame& f) { return f.to.value == node; });
    link_all(node, false);
  }
  void restart(uint32_t node) {
    boot(node);
    link_all(node, true);
  }
  void link_all(uint32_t node, bool link_up) {
    for (auto& [other, m] : members_) {
      if (other == node) continue;
      if (m.replica) link(other, node, link_up && up(node));
      if (link_up && up(node) && m.replica) link(node, other, true);
    }
  }
  void link(uint32_t at, uint32_t peer, bool link_up) {
    if (link_up)
      members_.at(at).linked.insert(peer);
    else
      members_.at(at).linked.erase(peer);
    const Disk& disk = members_.at(peer).disk;
    input(at, PeerLink{NodeId(peer), link_up, disk.incarnation, disk.boots, disk.found});
  }
  // A process that an epoch lists starts with an empty disk, told who the members are now.
  void join(uint32_t node, const Membership& now, Incarnation incarnation = Incarnation(0)) {
    TestMember& m = members_[node];
    m.genesis = now;
    m.disk.incarnation = incarnation;
    boot(node);
    link_all(node, true);
  }
  // Asks `node` for the next epoch, made from what it knows now.
  void change(uint32_t node, uint64_t seq, const std::function<void(Membership&)>& edit,
              bool forced = false) {
    Membership next = at(node).membership();
    const Membership before = next;
    ++next.epoch;
    edit(next);
    resize_quorums(before, &next);
    input(node, ChangeMembers{RequestId{NodeId(node), members_.at(node).disk.boots, seq}, next, forced});
  }

  void input(uint32_t node, const Input& in) { turn(node, {in}); }
  // Several inputs in one turn, as a busy host does it.
  void turn(uint32_t node, const std::vector<Input>& inputs) {
    TestMember& m = members_.at(node);
    if (!m.replica) return;
    Effects effects;
    for (const Input& in : inputs) m.replica->step(in, effects);
    m.replica->end_turn(effects);
    take(node, effects);
    EXPECT_EQ(m.replica->broken_invariant(), "") << "node " << node;
    if (m.auto_sync) sync(node);
    run_jobs(node);
  }
  // The state machine of `node` is saved as it stands; the core hears of it when it is durable.
  void take_snapshot(uint32_t node) {
    TestMember& m = members_.at(node);
    if (!m.replica || m.applied.empty() || m.applied.back().slot <= m.disk.snapshot.index) return;
    const DecidedEntry& last = m.applied.back();
    m.disk.snapshot = SnapshotFile{last.slot, last.chain, last.term, m.applied, membership_after(m.applied)};
    input(node, SnapshotTaken{last.slot, last.chain, last.term});
  }
  // What a host does with a snapshot from a peer: nothing unless it is newer than what was applied.
  void install_snapshot(uint32_t node, const SnapshotFile& file) {
    TestMember& m = members_.at(node);
    if (!m.replica || (!m.applied.empty() && m.applied.back().slot >= file.index)) return;
    m.disk.snapshot = file;
    m.applied = file.prefix;
    input(node, SnapshotInstalled{file.index, file.chain, file.membership, file.term});
  }
  Membership membership_after(const std::vector<DecidedEntry>& prefix) const {
    for (auto d = prefix.rbegin(); d != prefix.rend(); ++d)
      if (d->entry.kind == EntryKind::stop_sign) return stop_sign_membership(d->entry);
    return membership_;
  }
  // Snapshots on their way; the test lets them arrive.
  std::deque<SnapshotParcel>& parcels() { return parcels_; }
  void deliver_parcels() {
    while (!parcels_.empty()) {
      const SnapshotParcel parcel = std::move(parcels_.front());
      parcels_.pop_front();
      install_snapshot(parcel.to, parcel.file);
    }
  }
  // The oldest `count` records become durable, in order.
  void sync(uint32_t node, size_t count = SIZE_MAX) {
    TestMember& m = members_.at(node);
    count = std::min(count, m.unsynced.size());
    if (!m.replica || count == 0) return;
    const LogToken upto = m.unsynced[count - 1].token;
    const auto end = m.unsynced.begin() + static_cast<ptrdiff_t>(count);
    for (auto r = m.unsynced.begin(); r != end; ++r) m.disk.durable.push_back(std::move(r->record));
    m.unsynced.erase(m.unsynced.begin(), end);
    input(node, Persisted{upto, m.disk.durable.size()});
  }

  // Of single members, from their next start on.
  std::map<uint32_t, Options> options_of;

  // Which frames never arrive.
  std::function<bool(const Frame&)> drop = [](const Frame&) { return false; };

  // Sees every frame when it leaves.
  std::function<void(const Frame&)> on_send = [](const Frame&) {};

  bool deliver_one() {
    if (net_.empty()) return false;
    Frame f = std::move(net_.front());
    net_.pop_front();
    if (!drop(f) && up(f.to.value)) input(f.to.value, Received{f.from, f.message});
    return true;
  }
  void deliver_all(size_t frames_max = 100000) {
    while (frames_max-- > 0 && deliver_one()) {
    }
  }
  // Hand-delivers what `pick` says, leaves the rest in flight.
  size_t deliver_if(const std::function<bool(const Frame&)>& pick) {
    std::deque<Frame> rest;
    std::deque<Frame> now;
    for (Frame& f : net_) (pick(f) ? now : rest).push_back(std::move(f));
    net_ = std::move(rest);
    for (Frame& f : now)
      if (up(f.to.value)) input(f.to.value, Received{f.from, f.message});
    return now.size();
  }
  size_t discard_if(const std::function<bool(const Frame&)>& pick) { return std::erase_if(net_, pick); }
  void tick(uint32_t ticks = 1) {
    for (uint32_t i = 0; i < ticks; ++i) {
      ++now_;
      for (auto& [node, m] : members_) input(node, Ticked{Tick(now_)});
      deliver_all();
      deliver_parcels();
    }
  }
  // Time passes, frames stay in flight.
  void advance_time(uint64_t ticks) {
    now_ += ticks;
    for (auto& [node, m] : members_) input(node, Ticked{Tick(now_)});
  }
  // Ticks until `done`, at most `ticks_max`; false when it never came.
  bool tick_until(const std::function<bool()>& done, uint32_t ticks_max = 1000) {
    for (uint32_t i = 0; i < ticks_max; ++i) {
      if (done()) return true;
      tick();
    }
    return done();
  }
  uint32_t leader() {
    uint32_t found = 0;
    Ballot best;
    for (auto& [node, m] : members_)
      if (m.replica && m.replica->status().role == Role::leader && m.replica->status().leader >= best) {
        best = m.replica->status().leader;
        found = node;
      }
    return found;
  }
  uint32_t elect() {
    EXPECT_TRUE(tick_until([&] { return leader() != 0; }));
    tick(30);
    return leader();
  }
  void propose(uint32_t node, uint64_t seq, const std::string& text) {
    input(node, Propose{command(node, seq, text, members_.at(node).disk.boots)});
  }
  std::vector<std::string> log(uint32_t node) {
    std::vector<std::string> texts;
    for (const DecidedEntry& e : members_.at(node).applied)
      if (e.entry.kind == EntryKind::command) texts.emplace_back(e.entry.bytes());
    return texts;
  }
  std::deque<Frame>& net() { return net_; }
  uint64_t now() const { return now_; }
  const Membership& membership() const { return membership_; }
  std::map<uint32_t, TestMember>& all() { return members_; }

 private:
  // Catch-up reads are answered from what was applied here, as far back as the log goes.
  void run_jobs(uint32_t node) {
    TestMember& m = members_.at(node);
    std::vector<Job> jobs;
    std::swap(jobs, m.jobs);
    for (const Job& job : jobs) {
      if (const auto* cut = std::get_if<TruncateLogJob>(&job))
        m.disk.truncated = std::max(m.disk.truncated, cut->upto);
      if (const auto* send = std::get_if<SendSnapshotJob>(&job))
        parcels_.push_back(SnapshotParcel{send->to.value, m.disk.snapshot});
      if (const auto* read = std::get_if<SendLogJob>(&job)) {
        LogRead answer{read->to, read->slots.first, {}, read->slots.first > m.disk.truncated};
        for (const DecidedEntry& d : m.applied)
          if (answer.ok && read->slots.contains(d.slot)) answer.entries.push_back(d.entry);
        input(node, answer);
      }
      if (const auto* changed = std::get_if<MembershipChanged>(&job)) {
        std::vector<Member> all = changed->membership.members;
        all.insert(all.end(), changed->former.begin(), changed->former.end());
        for (const Member& peer : all)
          if (peer.node.value != node && members_.contains(peer.node.value) && up(peer.node.value) &&
              !m.linked.contains(peer.node.value))
            link(node, peer.node.value, true);
      }
    }
  }

  void take(uint32_t node, Effects& effects) {
    TestMember& m = members_.at(node);
    for (std::vector<Outgoing>* queue : {&effects.send_now, &effects.released}) {
      for (Outgoing& o : *queue) {
        if (!members_.contains(o.to.value)) continue;  // listed, and never started
        net_.push_back(Frame{NodeId(node), o.to, std::move(o.message)});
        on_send(net_.back());
      }
    }
    for (PersistedRecord& r : effects.persist) m.unsynced.push_back(std::move(r));
    for (DecidedEntry& d : effects.decided) m.applied.push_back(std::move(d));
    for (ReadReady& r : effects.reads) m.reads.push_back(r);
    for (OutcomeNotice& o : effects.outcomes) m.outcomes.push_back(o);
    for (Job& j : effects.jobs) m.jobs.push_back(std::move(j));
  }

  Membership membership_;
  Options options_;
  std::map<uint32_t, TestMember> members_;
  std::deque<Frame> net_;
  std::deque<SnapshotParcel> parcels_;
  uint64_t now_ = 0;
};

template <class T>
bool is(const Frame& f) {
  return std::holds_alternative<T>(f.message);
}

}  // namespace decree::testing
