// Single-decree consensus on the safety kernel (acceptor, value choice) as a copyable value: what the shipped
// replica does for one slot, without its timers. For searching configurations; replica_world.h has the
// replica.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lab/flp/async_world.h"
#include "paxos/acceptor.h"
#include "paxos/value_choice.h"

namespace decree::lab {

inline constexpr Slot kDecree{1};

// The value v as an entry of the log; equal everywhere.
const Entry& value_entry(uint32_t v);
uint32_t entry_value(const Entry& entry);

struct KernelOptions {
  uint32_t voters = 3;
  std::vector<uint32_t> inputs;  // x_1, ...: one per process; more than `voters` are proposers without a vote
  uint32_t ballots_max = 0;      // per process; 0 = without end
  uint32_t proposers = ~0u;      // bit p: process p may run
  bool laws = false;             // a process that decides tells everybody
  bool nacks = true;
  uint32_t election_votes_missing = 0;  // tests only: quorums that need not intersect
};

class KernelProcess {
 public:
  KernelProcess(uint32_t self, const KernelOptions& options);

  using Send = std::function<void(uint32_t to, Message message)>;
  // Opens a new ballot above all it has seen, if it may.
  bool may_start(const KernelOptions& o) const;
  void start(const KernelOptions& o, const Send& send);
  void receive(const KernelOptions& o, uint32_t from, const Message& message, const Send& send);

  const std::optional<uint32_t>& decision() const { return decision_; }
  bool active() const { return phase_ != Phase::idle; }
  const Ballot& ballot() const { return ballot_; }
  const Acceptor& acceptor() const { return acceptor_; }
  uint32_t round_seen() const { return round_seen_; }
  uint32_t started() const { return started_; }
  // Appends all that its future depends on; ballots go through `round`.
  void encode(const std::function<uint32_t(uint32_t)>& round, std::string* out) const;

 private:
  enum class Phase : uint8_t { idle, electing, proposing };
  struct Report {
    PromiseReport promise;
    std::optional<Entry> value;
  };

  bool voter(const KernelOptions& o) const { return self_ <= o.voters; }
  void promise(const KernelOptions& o, uint32_t to, const Ballot& ballot, const Send& send);
  void add_report(const KernelOptions& o, uint32_t from, Report report, const Send& send);
  void propose(const KernelOptions& o, const Send& send);
  void count_vote(const KernelOptions& o, uint32_t from, const Send& send);
  void abort_for(const Ballot& higher);
  void raise(const Ballot& ballot);

  uint32_t self_;
  uint32_t input_;
  Acceptor acceptor_;
  LogToken token_;
  Ballot ballot_;
  Phase phase_ = Phase::idle;
  std::map<uint32_t, Report> reports_;
  uint32_t votes_ = 0;  // one bit per process
  uint32_t proposed_ = 0;
  uint32_t round_seen_ = 0;
  uint32_t started_ = 0;
  std::optional<uint32_t> decision_;
};

// The value a Promise reports travels with it (the shipped replica asks for it with a Fetch): in `chunk`, as
// v+1.
class KernelWorld final : public AsyncWorld {
 public:
  explicit KernelWorld(KernelOptions options);

  uint32_t processes() const override { return static_cast<uint32_t>(processes_.size()); }
  const std::deque<PoolMessage>& pool() const override { return pool_; }
  void deliver(size_t index) override;
  void tick(uint32_t process) override { start(process); }
  std::optional<uint32_t> decision(uint32_t process) const override {
    return processes_[process - 1].decision();
  }
  uint64_t rounds() const override { return rounds_; }
  uint64_t steps() const override { return steps_; }

  bool may_start(uint32_t process) const { return processes_[process - 1].may_start(options_); }
  void start(uint32_t process);
  // The message is lost.
  void drop(size_t index) { pool_.erase(pool_.begin() + static_cast<ptrdiff_t>(index)); }
  const KernelProcess& process(uint32_t p) const { return processes_[p - 1]; }
  const KernelOptions& options() const { return options_; }

  // The whole configuration as bytes. `ordered`: the pool as a queue, else as a set.
  std::string configuration(bool ordered) const;
  // The same, up to a shift of all live rounds: futures of equal ones are equal but for the shift, because
  // ballots are only compared and a new one lies above all seen. Old rounds keep their order only.
  std::string quotient() const;
  std::function<uint32_t(uint32_t)> quotient_rounds() const;

 private:
  void encode(const std::function<uint32_t(uint32_t)>& round, bool ordered, std::string* out) const;
  void collect_rounds(std::vector<uint32_t>* rounds, uint32_t* live) const;

  KernelOptions options_;
  std::vector<KernelProcess> processes_;
  std::deque<PoolMessage> pool_;
  uint64_t next_id_ = 1;
  uint64_t rounds_ = 0;
  uint64_t steps_ = 0;
};

std::string describe(const PoolMessage& m);

}  // namespace decree::lab
