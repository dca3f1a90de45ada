// The world of one synod run: processes, their logs, messages under way, virtual milliseconds. The replicas
// are the shipped ones; here is only their host.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "decree/replica.h"
#include "lab/check/ghost.h"
#include "lab/sim/random.h"
#include "lab/synod/run.h"
#include "lab/synod/view.h"

namespace decree::lab {

class SynodWorld {
 public:
  // `kill_step`: the step of the point of no return in the run without a kill; for KillLeader::before_point.
  SynodWorld(const SynodOptions& options, uint64_t kill_step);
  // To the end.
  SynodResult run();

  // ---- for a host that looks in between; not together with run() ----
  // Once, first: everybody starts.
  void begin();
  // The next event, and what is done by hand after it. False: nothing is left, or the horizon is reached.
  bool step();
  // Everybody who is up wrote its output, and nothing planned is left.
  bool finished() const;
  uint64_t now_ms() const { return now_ms_; }
  const std::optional<PointOfNoReturn>& point() const { return result_.point; }
  SynodView view() const;

 private:
  struct Process {
    std::vector<Record> log;  // durable, in order
    std::unique_ptr<Replica> replica;
    std::deque<std::vector<PersistedRecord>> unsynced;  // batches being written, oldest first
    std::optional<ProcessOutcome> outcome;
    uint32_t life = 0;
    uint64_t boots = 0;
    bool killed = false;  // never to return
    Role role = Role::follower;
    Ballot asked;     // newest ballot a Prepare was told of
    Ballot proposed;  // newest ballot whose Bill was told of
    Slot known;       // decided prefix already told
  };
  enum class Kind : uint8_t { tick, deliver, sync, act, restart };
  struct Event {
    Kind kind = Kind::tick;
    uint32_t process = 0;
    uint32_t life = 0;
    uint64_t number = 0;  // flight or action
  };
  struct Flight {
    NodeId from;
    NodeId to;
    Message message;
  };

  Process& at(uint32_t p) { return processes_[p - 1]; }
  void schedule(uint64_t delay_ms, Event event);
  void apply_due_hands();
  void apply_hand(const SynodHandAction& hand);
  void cut_by_hand(uint32_t a, uint32_t b, bool cut);
  void move_message(const SynodHandAction& hand);
  void make_rival(uint32_t p);
  void look_for_breach();
  SynodProcessView view_of(uint32_t p) const;
  void handle(const Event& event);
  void boot(uint32_t p);
  void crash(uint32_t p, bool for_good, const char* why);
  void link_all(uint32_t p);
  void turn(uint32_t p, const std::vector<Input>& inputs);
  void propose_own(uint32_t p, Effects& effects);
  void send(uint32_t p, Outgoing& out);
  void on_sync(uint32_t p);
  void apply(uint32_t p, const DecidedEntry& entry);
  void look_for_point(uint32_t p);
  void act(const SynodAction& action);
  void kill_leader_instead(uint32_t p);
  bool reaches(uint32_t from, uint32_t to) const;
  bool calm() const { return now_ms_ >= options_.schedule.calm_from_ms; }
  std::string value_of(const RequestId& id) const;
  std::string value_of(const Entry& entry) const { return std::string(entry.bytes()); }
  std::string value_shown(const Entry& entry) const {
    return entry.kind == EntryKind::command ? value_of(entry) : std::string();
  }

  // ---- telling ----
  void note(uint32_t p, const char* phase, const Ballot& ballot, std::string text);
  void tell_sent(uint32_t p, const Outgoing& out);
  void tell_role(uint32_t p);
  void tell_synced(uint32_t p, const std::vector<PersistedRecord>& batch);
  void json(const char* what, uint32_t p, const std::string& fields);
  void json_flight(const char* what, uint64_t number, const Flight& flight);

  const SynodOptions options_;
  const uint64_t kill_step_;
  Random random_;
  Membership membership_;
  std::vector<Process> processes_;
  Ghost ghost_;
  Ghost point_ghost_;  // the same, with the (tests: wrong) number of votes that defines the point
  Slot point_scanned_;
  std::multimap<uint64_t, Event> events_;  // equal times: in the order of scheduling
  std::map<uint64_t, Flight> flights_;
  uint64_t next_flight_ = 1;
  std::set<std::pair<uint32_t, uint32_t>> cuts_;     // end with the calm
  std::set<std::pair<uint32_t, uint32_t>> severed_;  // by hand; last until joined by hand
  size_t hands_done_ = 0;
  uint64_t now_ms_ = 0;
  uint64_t step_ = 0;
  bool killed_leader_ = false;
  SynodResult result_;
};

}  // namespace decree::lab
