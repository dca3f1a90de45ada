// A whole replica as a value: copied, compared, put back. What the model checker needs to run the shipped
// `Replica` from one state in many directions; the replica itself knows nothing of it.
#pragma once

#include <memory>
#include <string>

#include "decree/replica.h"
#include "paxos/acceptor.h"

namespace decree::lab::model {

// Timers that have all run out: whatever waits may happen, and whoever is silent is suspected.
Options timeless_options();

// What a replica remembers between two inputs. Two things are taken away when it is made: time (every tick
// is 0), and what is not modelled: beats and views, reads, outcomes, statistics. What is left is compared
// byte for byte; the tokens of records count from the last durable one.
class ReplicaValue {
 public:
  ReplicaValue() = default;
  // `settled`: everything is durable, and nothing will ever be lost again.
  static ReplicaValue of(const Replica& replica, bool settled);
  void put_into(Replica& replica) const;

  const Acceptor& acceptor() const;
  const Membership& membership() const;
  Role role() const;
  Ballot ballot() const;  // own, while candidate or leader
  bool votes() const;
  bool disowned() const;
  // Of the process at the other end of the connection to `peer`; 0 = there is none.
  uint64_t peer_boot(NodeId peer) const;
  // Of the disk that was connected last; 0 = none was.
  Incarnation peer_incarnation(NodeId peer) const;
  bool connected(NodeId peer) const;
  bool knocked(NodeId peer) const;  // a disk that is not the known one
  LogToken next_token() const;
  Slot applied() const;
  const std::string& bytes() const { return bytes_; }

 private:
  std::shared_ptr<const void> held_;
  std::string bytes_;
};

}  // namespace decree::lab::model
