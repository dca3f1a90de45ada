#include "lab/exhibits/mutex.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "lab/exhibits/ordered_group.h"
#include "lab/sim/random.h"

namespace decree::lab {

namespace {

using Stamp = std::pair<uint64_t, uint32_t>;  // Lamport time, process

class Ricart {
 public:
  explicit Ricart(const RicartOptions& o) : o_(o), random_(o.seed), members_(o.processes) {
    for (Member& m : members_) m.left = o.entries_each;
  }

  RicartRun run() {
    for (uint64_t i = 0; i < 200000 && step(); ++i) {
    }
    for (uint32_t p = 1; p <= o_.processes; ++p)
      if (at(p).alive && at(p).asking) ++run_.waiting_for_ever;
    return run_;
  }

 private:
  struct Member {
    bool alive = true;
    uint64_t clock = 0;
    bool asking = false;
    bool inside = false;
    Stamp stamp;
    uint32_t replies = 0;
    std::vector<uint32_t> deferred;
    uint32_t left = 0;
  };
  struct Parcel {
    uint32_t from = 0;
    uint32_t to = 0;
    bool request = false;
    Stamp stamp;
  };
  Member& at(uint32_t p) { return members_[p - 1]; }

  // Channels need not be FIFO.
  bool step() {
    std::vector<uint32_t> able;  // to ask or to leave
    for (uint32_t p = 1; p <= o_.processes; ++p)
      if (at(p).alive && (at(p).inside || (!at(p).asking && at(p).left > 0))) able.push_back(p);
    const size_t n = parcels_.size() + able.size();
    if (n == 0) return false;
    const size_t pick = random_.below(n);
    if (pick < parcels_.size()) {
      const Parcel parcel = parcels_[pick];
      parcels_.erase(parcels_.begin() + static_cast<ptrdiff_t>(pick));
      if (at(parcel.to).alive) receive(parcel);
    } else {
      const uint32_t p = able[pick - parcels_.size()];
      at(p).inside ? leave(p) : ask(p);
    }
    return true;
  }

  void send(const Parcel& parcel) {
    ++run_.messages;
    parcels_.push_back(parcel);
  }

  void ask(uint32_t p) {
    Member& m = at(p);
    m.asking = true;
    m.replies = 0;
    m.stamp = Stamp{++m.clock, p};
    for (uint32_t q = 1; q <= o_.processes; ++q)
      if (q != p) send(Parcel{p, q, true, m.stamp});
    if (o_.processes == 1) enter(p);
  }

  void receive(const Parcel& parcel) {
    Member& m = at(parcel.to);
    m.clock = std::max(m.clock, parcel.stamp.first) + 1;
    if (!parcel.request) {
      if (++m.replies + 1 == o_.processes && m.asking) enter(parcel.to);
      return;
    }
    const bool first = m.inside || (m.asking && m.stamp < parcel.stamp && !o_.impatient);
    if (first) {
      m.deferred.push_back(parcel.from);
    } else {
      send(Parcel{parcel.to, parcel.from, false, Stamp{m.clock, parcel.to}});
    }
  }

  void enter(uint32_t p) {
    Member& m = at(p);
    for (const Member& other : members_) {
      run_.two_inside = run_.two_inside || other.inside;
      run_.out_of_order = run_.out_of_order || (other.asking && other.alive && other.stamp < m.stamp);
    }
    m.asking = false;
    m.inside = true;
    --m.left;
    ++run_.entries;
    if (o_.crash == p) m.alive = m.inside = false;  // the others never hear from it again
  }

  void leave(uint32_t p) {
    Member& m = at(p);
    m.inside = false;
    for (const uint32_t q : m.deferred) send(Parcel{p, q, false, Stamp{m.clock, p}});
    m.deferred.clear();
  }

  const RicartOptions& o_;
  Random random_;
  std::vector<Member> members_;
  std::deque<Parcel> parcels_;
  RicartRun run_;
};

// Commands are ids of the ordered group: kind * 1000000 + process * 1000 + token.
enum class Command : uint32_t { acquire = 1, release = 2, expire = 3 };
uint32_t encode(Command c, uint32_t process, uint32_t token) {
  return static_cast<uint32_t>(c) * 1000000 + process * 1000 + token;
}

// One process's copy of the lock: a function of the delivered commands only.
struct LockState {
  std::deque<uint32_t> queue;
  uint32_t holder = 0;
  uint32_t token = 0;  // of the present or last grant; grows with every grant

  void apply(uint32_t id) {
    const auto command = static_cast<Command>(id / 1000000);
    if (command == Command::acquire) {
      queue.push_back(id / 1000 % 1000);
    } else if (id % 1000 == token) {  // of an older grant: it has ended already
      holder = 0;
    }
    if (holder != 0 || queue.empty()) return;
    holder = queue.front();
    queue.pop_front();
    ++token;
  }
};

class FencedLock {
 public:
  explicit FencedLock(const LockOptions& o)
      : o_(o),
        random_(o.seed ^ 0x10c4),
        group_(GroupOptions{o.processes, o.seed, Ordering::consensus, true}),
        members_(o.processes) {}

  LockRun run() {
    for (uint32_t p = 1; p <= o_.processes; ++p) group_.broadcast(p, encode(Command::acquire, p, 0));
    for (uint64_t i = 0; i < 400000 && !done(); ++i) {
      const bool busy = group_.step();
      for (uint32_t p = 1; p <= o_.processes; ++p) work(p, busy);
    }
    return finish();
  }

 private:
  struct Member {
    LockState lock;
    size_t applied = 0;
    uint32_t worked = 0;   // writes tried under the present grant
    uint32_t served = 0;   // token under which it finished its work
    uint32_t expired = 0;  // highest token it asked to end
    uint32_t slept_under = 0;
    bool woke = false;
  };
  Member& at(uint32_t p) { return members_[p - 1]; }

  bool done() {
    for (uint32_t p = 1; p <= o_.processes; ++p)
      if (group_.alive(p) && at(p).served == 0) return false;
    return true;
  }

  void work(uint32_t p, bool busy) {
    if (!group_.alive(p)) return;
    Member& m = at(p);
    for (; m.applied < group_.delivered(p).size(); ++m.applied) m.lock.apply(group_.delivered(p)[m.applied]);
    if (m.slept_under != 0 && !m.woke) {
      // It sleeps until the store has heard of a newer grant, and does not know that it slept.
      if (highest_seen_ <= m.slept_under) return suspect(p, busy);
      m.woke = true;
      for (int i = 0; i < 2; ++i) write(m.slept_under);
      m.served = m.slept_under;
      return;
    }
    if (m.lock.holder != p || m.served == m.lock.token) return suspect(p, busy);
    if (m.worked == 1 && m.lock.token == 1 && o_.crash_holder) return group_.crash(p);
    if (m.worked == 1 && m.lock.token == 1 && o_.sleep_holder && m.slept_under == 0) {
      m.slept_under = m.lock.token;
      return;
    }
    write(m.lock.token);
    if (++m.worked < 2) return;
    m.served = m.lock.token;
    group_.broadcast(p, encode(Command::release, p, m.lock.token));
  }

  // Nothing moves: whoever waits thinks the holder dead. It may be wrong, and that must not matter.
  void suspect(uint32_t p, bool busy) {
    Member& m = at(p);
    if (busy || m.lock.holder == 0 || m.lock.holder == p || m.expired >= m.lock.token) return;
    m.expired = m.lock.token;
    group_.broadcast(p, encode(Command::expire, p, m.lock.token));
  }

  void write(uint32_t token) {
    if (o_.fencing && token < highest_seen_) {
      ++run_.refused;
      return;
    }
    run_.stale_write = run_.stale_write || token < highest_seen_;
    highest_seen_ = std::max(highest_seen_, token);
    ++run_.writes;
  }

  LockRun finish() {
    size_t longest = 0;
    for (uint32_t p = 1; p <= o_.processes; ++p) {
      if (group_.alive(p) && at(p).served == 0) ++run_.unserved;
      if (group_.delivered(p).size() > group_.delivered(static_cast<uint32_t>(longest) + 1).size())
        longest = p - 1;
    }
    const std::vector<uint32_t>& log = group_.delivered(static_cast<uint32_t>(longest) + 1);
    LockState replay;
    for (const uint32_t id : log) replay.apply(id);
    run_.grants = replay.token;
    for (uint32_t p = 1; p <= o_.processes; ++p)
      run_.logs_agree =
          run_.logs_agree && std::equal(group_.delivered(p).begin(), group_.delivered(p).end(), log.begin());
    run_.messages = group_.data_messages() + group_.consensus_messages();
    return run_;
  }

  const LockOptions& o_;
  Random random_;
  OrderedGroup group_;
  std::vector<Member> members_;
  uint32_t highest_seen_ = 0;  // by the store that the lock protects
  LockRun run_;
};

}  // namespace

RicartRun run_ricart_agrawala(const RicartOptions& options) { return Ricart(options).run(); }
LockRun run_fenced_lock(const LockOptions& options) { return FencedLock(options).run(); }

}  // namespace decree::lab
