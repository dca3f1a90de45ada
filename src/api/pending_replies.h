// Calls that wait for consensus, by the number it gave them. Knows what each outcome means to an etcd client.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "api/etcd_errors.h"
#include "api/recent_clients.h"
#include "decree/consensus.h"
#include "http/call_port.h"

namespace decree::api {

// Gets what pending_replies cannot finish alone. `tag` is the finisher's own. Exactly one of the four is
// called.
class Finisher {
 public:
  virtual ~Finisher() = default;
  virtual void on_applied(http::CallId /*call*/, uint32_t /*tag*/, Reply /*reply*/) {}
  virtual void on_read(http::CallId /*call*/, uint32_t /*tag*/) {}
  virtual void on_change_refused(http::CallId /*call*/, uint32_t /*tag*/, const ChangeRefused& /*why*/) {}
  // Nothing more will come: let go of what `tag` names. The call, if any, should be told `error`.
  virtual void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) = 0;
};

// The clock of deadlines: the server's steady clock, or the simulator's.
using Now = std::function<net::SteadyTime()>;

struct PendingCounters {
  uint64_t proposals_failed = 0;  // any outcome but applied
  uint64_t proposals_again = 0;   // submitted again after their leader went
  uint64_t proposals_waiting = 0;
  uint64_t reads_waiting = 0;
  uint64_t slow_reads = 0;  // read index had to be asked again
  uint64_t reads_failed = 0;
};

class PendingReplies final : public ConsensusSink {
 public:
  struct Limits {
    size_t calls_max = 20000;
    std::chrono::milliseconds timeout{7000};
    size_t clients_remembered = 0;  // requests whose client client_of() can name
  };
  PendingReplies(http::CallPort& server, Consensus& consensus, const Limits& limits, Now now);

  // Proposes; the reply goes to the call as it is. With a finisher: to the finisher (`call` may then be
  // void).
  void propose(http::CallId call, std::string command, Finisher* finisher = nullptr, uint32_t tag = 0);
  // Asks for the next epoch; told by the finisher's on_applied() or on_change_refused().
  void change(http::CallId call, Membership next, bool forced, Finisher* finisher, uint32_t tag);
  // Confirms that this member's state is not behind any write acknowledged so far. A read that no leader
  // could confirm promised nothing and is asked again until the deadline.
  void read(http::CallId call, Finisher* finisher, uint32_t tag);

  // Until release() no command is proposed: a member that is far behind could not answer in time, and what it
  // proposed would end as unknown. Calls wait, and are refused at their deadline.
  void hold() { held_ = true; }
  bool held() const { return held_; }
  void release(net::SteadyTime now);

  void expire(net::SteadyTime now);
  void fail_all(const EtcdError& error);
  // This member is in the cluster no more. No leader confirms its reads: those that wait, and all that come,
  // are told so. Proposals end by their own outcomes.
  void leave();
  PendingCounters counters() const;
  // Address of the client that handed in proposal `seq`; empty when it is not known any more.
  std::string client_of(uint64_t seq) const { return clients_.find(seq); }

  // ---- ConsensusSink
  void on_applied(uint64_t seq, Reply reply) override;
  void on_outcome(uint64_t seq, Outcome outcome) override;
  // Submitted again until its deadline, whoever leads then: the refusal is proven, so it cannot happen twice.
  void on_leader_gone(uint64_t seq) override;
  void on_change_refused(uint64_t seq, const ChangeRefused& why) override;
  void on_read(uint64_t seq, bool ok) override;

 private:
  struct Parked {
    http::CallId call;
    uint32_t tag = 0;
    bool is_read = false;
    bool client_deadline = false;  // the client's own is the nearer one
    Finisher* finisher = nullptr;
    net::SteadyTime deadline;
    std::shared_ptr<const std::string> command;  // of a proposal: shared with the log
  };
  Parked park(http::CallId call, Finisher* finisher, uint32_t tag, bool is_read) const;
  void submit(Parked parked);
  void try_again(net::SteadyTime now);
  std::optional<Parked> take(uint64_t seq);  // none: its call was answered before
  bool full(http::CallId call, Finisher* finisher, uint32_t tag);
  void fail(const Parked& parked, const EtcdError& error);
  EtcdError refusal() const;

  http::CallPort& server_;
  Consensus& consensus_;
  Limits limits_;
  absl::flat_hash_map<uint64_t, Parked> parked_;
  std::vector<Parked> retry_;  // to be asked or submitted (again) at the next tick
  std::vector<uint64_t> expired_;
  bool left_ = false;
  bool held_ = false;
  const Now now_;
  PendingCounters counters_;
  RecentClients clients_;
};

// Sends a store's or consensus' Reply to its call.
void send_reply(http::CallPort& server, http::CallId call, Reply reply);
void send_error(http::CallPort& server, http::CallId call, const EtcdError& error);

}  // namespace decree::api
