// Makes a World follow a Schedule instead of a seed; and writes a Schedule down while a World follows its
// seed.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "lab/sim/schedule.h"
#include "lab/sim/world.h"

namespace decree::lab {

// ---- writing down ----
class Recorder {
 public:
  Recorder(const Swarm& swarm, Schedule* out);

  void on_event(const World& world, const Event& event, bool for_this_life);
  void on_tick(uint32_t member, uint64_t ticks);
  void on_request(uint32_t client, const Operation& op);
  void on_commit(uint32_t member);                 // a log write begins
  void on_work(uint32_t member, uint64_t number);  // a worker begins
  void on_crash(uint32_t member, bool power, uint64_t fate, bool writing);
  void on_change(uint32_t member, bool roles, uint64_t fate);
  void on_harm(uint32_t member, Harm what, uint32_t n, uint64_t fate);
  void on_step(StepKind kind, uint32_t member, uint32_t other = 0, uint32_t n = 0);
  // The ordinal of the message among those of its kind on its link.
  uint32_t on_send(uint32_t from, uint32_t to, size_t kind) { return sent_[from][to][kind]++; }
  void on_deliver(uint32_t from, uint32_t to, size_t kind, uint32_t ordinal);
  void on_faults_end();

 private:
  Schedule* out_;
  bool over_ = false;
  std::array<std::array<std::array<uint32_t, kMessageKinds>, kMembersMax + 1>, kMembersMax + 1> sent_{};
  std::array<std::deque<size_t>, kMembersMax + 1> writes_;    // step at which each write under way began
  std::array<size_t, kMembersMax + 1> ended_{};               // ... of the last one that ended
  std::array<std::vector<uint64_t>, kMembersMax + 1> works_;  // under way
};

// ---- following ----
class Script {
 public:
  Script(World& world, const Schedule& schedule);
  void run();
  // World::send() ends here.
  void on_send(NodeId from, NodeId to, Message message, bool connected);
  // Steps begun so far; kAll once the steps are over.
  static constexpr size_t kAll = SIZE_MAX;
  size_t followed() const { return followed_; }
  // The members answered each other without end while no time passed: given up there, without a verdict.
  bool endless() const { return endless_; }
  bool wants_fork() const { return schedule_.forks && at_ + kForkedSteps >= schedule_.steps.size(); }

 private:
  // Replays of whole runs fork the disk at the acknowledgements of their last steps only.
  static constexpr size_t kForkedSteps = 400;
  static constexpr size_t kSentKept = 1024;

  void apply(const Step& step);
  void time(const Step& step);
  void ask(const Step& step);
  void deliver(NodeId from, NodeId to, Message message);
  void pump();
  bool pump_once();
  bool take(const Event& event);
  void one_of(std::vector<std::deque<Event>>& held, uint32_t member, size_t which = 0);
  void settle();

  World& world_;
  const Schedule& schedule_;
  size_t at_ = 0;
  size_t followed_ = 0;
  bool endless_ = false;
  std::deque<Flight> automatic_;
  // By link, newest last; nothing where it was sent without a connection.
  std::vector<std::array<std::deque<std::optional<Message>>, kMessageKinds>> sent_;
  std::vector<std::deque<Event>> turns_;  // by member: waiting for a step
  std::vector<std::deque<Event>> disks_;
  std::vector<std::deque<Event>> works_;
  std::vector<std::deque<Event>> notices_;
  std::vector<bool> held_;
};

struct ScriptResult {
  RunResult run;
  size_t steps_followed =
      0;  // up to and with the one that broke something; Script::kAll: it broke afterwards
};
// The planted bug of the schedule must be switched on by the caller.
ScriptResult follow(const Schedule& schedule, std::ostream* trace = nullptr, std::ostream* history = nullptr);

}  // namespace decree::lab
