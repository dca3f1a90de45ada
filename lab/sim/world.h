// One run: members, network, disks, clients and faults under one virtual clock, and the checkers that watch
// every step.
//
// Everything is drawn from the seed; nothing else enters. Two phases: first everything that can go wrong
// does, then all faults stop, and the cluster must get going, answer everything that is pending, and agree.
#pragma once

#include <deque>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "lab/check/ghost.h"
#include "lab/check/history.h"
#include "lab/check/linearizability.h"
#include "lab/sim/atlas.h"
#include "lab/sim/disk.h"
#include "lab/sim/event_queue.h"
#include "lab/sim/network.h"
#include "lab/sim/swarm.h"
#include "lab/sim/trace.h"

namespace decree::lab {

class SimMember;
class Recorder;
class Script;
struct Schedule;

struct RunOptions {
  SwarmLimits limits;
  std::ostream* trace = nullptr;    // JSON lines
  bool trace_beats = false;         // heartbeats too
  std::ostream* history = nullptr;  // the clients' history, JSON lines
  Schedule* record = nullptr;       // the run written down step by step
  bool early_persisted =
      false;  // planted: the host tells the member that a write is durable when it has only begun
};

struct RunStatistics {
  uint64_t events = 0;
  uint64_t operations = 0;
  uint64_t ok = 0;
  uint64_t failed = 0;
  uint64_t unknown = 0;
  uint64_t slots = 0;
  uint64_t ballots = 0;
  uint64_t restarts = 0;
  uint64_t snapshots_taken = 0;
  uint64_t snapshots_installed = 0;
  uint64_t forks = 0;
  uint64_t stopped = 0;      // processes that stopped themselves after an error of their disk
  uint64_t refused = 0;      // starts refused, disk full or failing
  uint64_t halted = 0;       // members that found damage and stay down
  uint64_t disowned = 0;     // ... because another told them that their disk is an old one
  uint64_t quarantined = 0;  // ... because their state was not the majority's
  uint64_t halted_runs = 0;  // runs in which no quorum was left, as it must be
  uint64_t core_runs = 0;    // second phases with only a quorum healed
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t straggled = 0;
  uint64_t faults[kFaultKinds] = {};
  int64_t simulated_us = 0;
  void add(const RunStatistics& other);
};

struct RunResult {
  uint64_t seed = 0;
  Breach breach;  // empty: clean
  int64_t at_us = 0;
  uint64_t trace_hash = 0;
  bool endless = false;  // a schedule that was given up: Script::endless()
  RunStatistics statistics;
};

struct Flight {
  NodeId from;
  NodeId to;
  Message message;
  uint32_t ordinal = 0;  // among those of its kind on its link; when recorded
  uint32_t life = 0;     // of the sender
};

class World {
 public:
  // What the seed draws, within the limits of the options.
  World(uint64_t seed, const RunOptions& options);
  // An explicit configuration; the seed decides the rest.
  World(uint64_t seed, const Swarm& swarm, const RunOptions& options);
  ~World();
  // With a schedule the seed decides nothing; `steps_followed` counts up to the one that broke something.
  RunResult run(const Schedule* schedule = nullptr, size_t* steps_followed = nullptr);

  // ---- for members ----
  EventQueue& queue() { return queue_; }
  Ghost& ghost() { return ghost_; }
  const Atlas& atlas() const { return atlas_; }
  Atlas& atlas() { return atlas_; }
  Trace& trace() { return trace_; }
  const Swarm& swarm() const { return swarm_; }
  RunStatistics& statistics() { return statistics_; }
  const RunOptions& options() const { return options_; }
  Random& random() { return random_; }
  bool faults_on() const { return faults_on_; }
  Recorder* recorder() { return recorder_.get(); }  // null: nobody writes down
  bool wants_fork(Random& random, const Disk& disk) const;
  bool wants_restore(Random& random, uint64_t snapshot_bytes) const;
  uint32_t members() const { return swarm_.members; }
  // All others run, remember that the member's disk held more than `writes`, and nothing is under way that
  // would make one of them forget.
  bool all_know_more_of(uint32_t node, uint64_t writes);
  SimMember& member(uint32_t node) { return *members_[node - 1]; }
  void send(NodeId from, NodeId to, uint64_t boot, Message message);
  const Flight& flight(uint64_t number) { return flights_[number]; }
  Flight take_flight(uint64_t number) { return flights_.take(number); }
  Operation& operation_of(uint32_t client) { return history_[clients_[client].operation]; }
  void finish(uint32_t client, uint64_t serial, OpOutcome outcome);
  // Not yet answered and not yet given up.
  bool is_waiting(uint32_t client, uint64_t serial) const {
    return clients_[client].waiting && clients_[client].serial == serial;
  }
  void on_command_applied(uint32_t node, Slot slot, int64_t revision_before, int64_t revision_after);
  void remember_request(RequestId id, uint32_t client);
  void remember_request_again(RequestId id, RequestId former);  // the same operation
  Slot acknowledged() const { return acknowledged_; }
  void on_acknowledged(Slot slot) { acknowledged_ = std::max(acknowledged_, slot); }
  void fail(const char* invariant, std::string sentence);
  int64_t now_ns() const { return queue_.now_us() * 1000; }
  // Whether a notice about (from, to) concerns the connection that exists now, or its end.
  bool link_notice_is_current(uint32_t from, uint32_t to, uint64_t generation) const {
    return link_generation_[from * (swarm_.members + 1) + to] == generation;
  }
  void note(uint32_t member, const char* what, const std::string& fields = {}) {
    if (trace_.wanted()) trace_.line(statistics_.events, queue_.now_us(), member, what, fields);
  }
  // The trace's point of no return: what became chosen by this member's disk, known to nobody yet.
  void tell_chosen(uint32_t member);
  // A process died or started: connections close and open.
  void on_process_end(uint32_t node);
  void on_process_start(uint32_t node);
  void schedule_start(uint32_t node, int64_t delay_us);
  // An Election was won: the moment at which much is proposed and little of it is known.
  void on_new_leader(uint32_t node);

 private:
  friend class Script;
  struct Client {
    bool waiting = false;
    bool is_probe = false;
    uint64_t serial = 0;  // of its present operation
    uint64_t values = 0;
    size_t operation = 0;       // in history_
    uint32_t member = 1;        // asked now
    int64_t revision = 0;       // newest seen
    int64_t last_mod[32] = {};  // last seen modification revision of a key, for compares
  };
  struct Fault {
    FaultKind kind;
    uint32_t a = 0;
    uint32_t b = 0;
    uint64_t links = 0;  // that were cut
    bool heals = false;
    bool holds = false;  // the cut links hold what is sent
  };

  // Sent into a cut that holds, or caught by it: then it stands before what was sent later.
  struct Held {
    std::deque<Flight> flights;
    std::ptrdiff_t caught = 0;  // the first so many
    void clear() {
      flights.clear();
      caught = 0;
    }
  };
  struct Duel {
    bool on = false;
    uint32_t turns = 0;  // left
    uint64_t links = 0;  // of the leader that is cut off
    bool holds = false;
  };

  void live();
  void dispatch(const Event& event);
  std::string arrival(const Fate& fate) const;
  // clients (clients.cc)
  void start_clients();
  void client_next(uint32_t client);
  void on_chore();
  void schedule_chore();
  void client_late(uint32_t client, uint64_t serial);
  int64_t rest_after(int64_t delay_us);
  Operation make_operation(uint32_t client);
  SimpleRequest make_request(uint32_t client, OpKind kind);
  std::string key(uint64_t n) const;
  uint32_t choose_member();
  // faults (faults.cc)
  void start_faults();
  void schedule_fault(FaultKind kind);
  void on_fault(FaultKind kind);
  bool begin_fault(Fault* fault);
  bool begin_process_fault(Fault* fault);
  bool begin_network_fault(Fault* fault);
  bool begin_machine_fault(Fault* fault);
  bool damage(uint32_t node, Damage kind);
  bool put_back_old_image(uint32_t node);
  bool old_disk_about() const;
  void on_heal(uint64_t number);
  void cut(uint64_t links, bool holds);
  void uncut(uint64_t links, bool holds);
  void release_held(uint32_t from, uint32_t to);
  bool is_caught(const Event& event);
  void upset(uint32_t node);
  bool begin_duel(Fault* fault);
  void turn_of_duel(uint32_t node);
  void end_duel();
  void start_again(uint32_t nodes);
  void inflict(FaultKind kind, uint32_t node);
  uint64_t all_but_chain();
  uint64_t all_but_links_of(uint32_t hub) const;
  void swizzle();
  uint32_t everybody() const;
  uint32_t leader_now() const;  // somebody who believes to lead; 0: nobody
  void connect(uint32_t a, uint32_t b, int64_t delay_us);
  void disconnect(uint32_t a, uint32_t b, int64_t delay_us);
  int64_t fault_length();
  // phases (phases.cc)
  void stop_faults();
  void choose_core();
  void leave_outside(uint32_t node);
  void on_phase();
  void await_progress(int64_t since_us);
  bool has_halted();
  bool all_settled(std::string* why);
  bool in_core(uint32_t node) const { return (core_ >> node & 1) != 0; }
  void check_history();

  const uint64_t seed_;
  const RunOptions options_;
  const Swarm swarm_;
  Random random_;  // of the world; clients, network and faults have their own
  Random client_random_;
  Random fault_random_;
  EventQueue queue_;
  Network network_;
  Pool<Flight> flights_;
  Pool<Fault> faults_;
  Atlas atlas_;
  Ghost ghost_;
  Trace trace_;
  RunStatistics statistics_;
  std::vector<std::unique_ptr<SimMember>> members_;
  std::vector<Client> clients_;
  History history_;
  std::unordered_map<RequestId, size_t, IdHash> requests_;  // to the operation; look-up only
  std::unordered_map<size_t, int64_t> applied_revisions_;   // of operations, by members whose state is right
  std::vector<bool> connected_;                             // (from, to)
  // Which connection of a pair is the present one: the late end of an old one says nothing about its
  // successor.
  std::vector<uint32_t> link_generation_;
  std::vector<Held> held_;  // (from, to)
  std::unique_ptr<Recorder> recorder_;
  Script* script_ = nullptr;    // while a schedule is followed
  bool process_event_ = false;  // connections change because a process ends or starts
  Slot acknowledged_;
  std::vector<Slot> newly_chosen_;  // filled by the ghost when there is a trace
  Breach breach_;
  bool faults_on_ = true;
  uint64_t leaders_to_upset_ = 0;  // the next so many
  Duel duel_;
  int64_t fault_length_us_;  // mean, of what begins now
  uint32_t core_ = 0;        // second phase: the members that must get going; bit per member
  bool clients_on_ = true;
  uint32_t phase_ = 0;
  int64_t healed_at_us_ = 0;
  int64_t told_late_us_ = 0;    // how long the end of the faults waits for an old disk to be told
  int64_t replayed_at_us_ = 0;  // a member was still applying its log
  // After progress: pending operations end and laggards catch up. With tiny windows on a slow network that is
  // a matter of the backlog, so the bound is generous; it is there to find what never ends. Schedules have a
  // fast network.
  int64_t settle_within_us_ = 600'000'000;
  bool finished_ = false;
};

}  // namespace decree::lab
