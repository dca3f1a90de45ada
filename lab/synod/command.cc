// decree-lab synod: one seed is told as a story, a range of seeds is counted.
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "lab/commands.h"
#include "lab/experiments.h"
#include "lab/planted.h"
#include "lab/seed_range.h"
#include "lab/sim/random.h"
#include "lab/sim/trace.h"
#include "lab/synod/run.h"

namespace decree::lab {

namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

const char* full_phase(const std::string& phase) {
  if (phase == "ELECTION") return "ELECTION (phase 1: prepare/promise)";
  if (phase == "BILL") return "BILL (phase 2: accept/accepted)";
  return "LAW (learning)";
}

// Groups the lines of the story by round and phase.
class Story {
 public:
  void operator()(const SynodNote& note) {
    if (!note.ballot.is_none() && note.ballot != round_) {
      round_ = note.ballot;
      phase_.clear();
      std::cout << fmt::format("\n== {} ==\n", show_round(note.ballot));
    }
    const bool phased = note.phase == std::string("ELECTION") || note.phase == std::string("BILL") ||
                        note.phase == std::string("LAW");
    if (phased && phase_ != note.phase) {
      phase_ = note.phase;
      std::cout << fmt::format("  {}\n", full_phase(phase_));
    }
    std::cout << fmt::format("    step {:>4} {:>5} ms  {}\n", note.step, note.at_ms, note.text);
  }

 private:
  Ballot round_;
  std::string phase_;
};

struct Setup {
  SynodCommand command;
  std::string schedule_text;

  SynodOptions options(uint64_t seed) const {
    SynodOptions o;
    o.processes = command.processes;
    o.seed = seed;
    if (!command.inputs.empty()) {
      o.inputs = split(command.inputs);
    } else {
      Random random(seed ^ 0x1417);
      // Killing leaders, every process has a value of its own: another leader shows as another value.
      for (uint32_t p = 1; p <= o.processes; ++p)
        o.inputs.push_back(command.kill.empty() ? std::to_string(random.below(2)) : fmt::format("v{}", p));
    }
    if (!schedule_text.empty()) {
      std::string error;
      parse_synod_schedule(schedule_text, o.processes, &o.schedule, &error);
    } else if (command.bounded) {
      o.schedule = bounded_synod_schedule();
    } else {
      o.schedule = draw_synod_schedule(seed, o.processes);
      // The leader is the one that stays away; everybody else comes back.
      for (uint32_t p = 1; p <= o.processes && !command.kill.empty(); ++p)
        o.schedule.actions.push_back({o.schedule.calm_from_ms + 100, SynodAct::restart, p, 0});
    }
    if (command.kill == "after-point-of-no-return") o.kill = KillLeader::after_point;
    if (command.kill == "before-point-of-no-return") o.kill = KillLeader::before_point;
    return o;
  }
};

std::string repeat(const SynodCommand& c, uint64_t seed) {
  std::string out = fmt::format("decree-lab synod --processes {} --seed {}", c.processes, seed);
  if (!c.inputs.empty()) out += " --inputs " + c.inputs;
  if (!c.schedule.empty()) out += " --schedule " + c.schedule;
  if (!c.kill.empty()) out += " --kill-leader " + c.kill;
  if (c.bounded) out += " --bounded";
  if (!c.plant.empty()) out += " --plant " + c.plant;
  return out;
}

int tell(const Setup& setup, uint64_t seed) {
  SynodOptions options = setup.options(seed);
  if (setup.command.show_schedule) {
    std::cout << show(options.schedule);
    return 0;
  }
  std::ofstream file;
  const std::string& json = setup.command.json;
  if (!json.empty() && json != "-") {
    file.open(json);
    if (!file) {
      std::cerr << fmt::format("decree-lab: cannot write {}: choose a file in a folder that exists\n", json);
      return 2;
    }
  }
  std::ostream& out = json == "-" ? std::cout : file;
  if (!json.empty()) {
    options.json_line = [&out](const std::string& line) { out << line << '\n'; };
    std::string inputs;
    for (const std::string& x : options.inputs) inputs += (inputs.empty() ? "" : ",") + json_string(x);
    out << fmt::format(
        "{{\"what\":\"synod\",\"version\":1,\"processes\":{},\"seed\":{},\"inputs\":[{}],"
        "\"schedule\":{},\"repeat\":{}}}\n",
        options.processes, seed, inputs, json_string(show(options.schedule)),
        json_string(repeat(setup.command, seed)));
  }
  Story story;
  if (json != "-") {
    for (uint32_t p = 1; p <= options.processes; ++p)
      std::cout << fmt::format("x_{} = {}   y_{} = b\n", p, options.inputs[p - 1], p);
    options.story = [&story](const SynodNote& note) { story(note); };
  }
  const SynodResult result =
      options.kill == KillLeader::never ? run_synod(options) : run_synod_with_kill(options, nullptr);
  std::vector<PropertyVerdict> verdicts = check_run(result.run);
  if (!result.breach.empty()) verdicts.push_back({"invariants", false, result.breach});
  bool clean = true;
  for (const PropertyVerdict& v : verdicts) {
    clean = clean && v.holds;
    if (!json.empty())
      out << fmt::format("{{\"what\":\"verdict\",\"property\":\"{}\",\"holds\":{},\"text\":{}}}\n",
                         v.property, v.holds, json_string(v.sentence));
  }
  if (json == "-") return clean ? 0 : 1;
  std::cout << '\n';
  for (const ProcessOutcome& p : result.run.processes)
    std::cout << fmt::format("x_{} = {}   y_{} = {}{}\n", p.process, p.input, p.process,
                             p.output.blank() ? "b" : p.output.value(), p.correct ? "" : "   (crashed)");
  std::cout << fmt::format(
      "{} steps, {} messages ({} lost), {} crashes, {} ballots, {} aborted rounds, {} ms\n", result.steps,
      result.messages, result.lost, result.crashes, result.ballots, result.aborts, result.ended_ms);
  for (const PropertyVerdict& v : verdicts)
    std::cout << fmt::format("{:<12} {:<6} {}\n", v.property, v.holds ? "holds" : "BROKEN", v.sentence);
  std::cout << fmt::format("again: {}\n", repeat(setup.command, seed));
  return clean ? 0 : 1;
}

struct Totals {
  uint64_t runs = 0, broken = 0, points = 0, stood = 0, other = 0, nothing = 0;
  uint64_t messages = 0, lost = 0, crashes = 0, aborts = 0, ballots = 0;
  std::vector<uint64_t> silent_ms;  // from the point until the first process knew
  std::map<std::string, uint64_t> decided;
  uint64_t example = 0;  // a seed in which another value won
};

void judge_kill(const SynodResult& before, const SynodResult& result, uint64_t seed, Totals* t) {
  if (!before.point) return;
  ++t->points;
  std::string won;
  for (const ProcessOutcome& p : result.run.processes)
    if (p.correct && !p.output.blank()) won = p.output.value();
  if (won.empty()) {
    ++t->nothing;
  } else if (won == before.point->value) {
    ++t->stood;
  } else {
    if (t->other++ == 0) t->example = seed;
  }
}

void print_totals(const SynodCommand& command, Totals& t, std::span<const ConsensusRun> runs, bool* clean) {
  std::cout << fmt::format(
      "{} runs of {} processes: {} messages ({} lost), {} crashes, {} ballots, {} rounds "
      "aborted for a higher one\n",
      t.runs, command.processes, t.messages, t.lost, t.crashes, t.ballots, t.aborts);
  for (const auto& [value, times] : t.decided)
    std::cout << fmt::format("  {} decided in {} runs\n", value, times);
  std::cout << fmt::format("validity, integrity, agreement, termination, invariants I1-I10: {}\n",
                           t.broken == 0 ? "hold in every run" : fmt::format("BROKEN in {} runs", t.broken));
  if (!t.silent_ms.empty()) {
    std::sort(t.silent_ms.begin(), t.silent_ms.end());
    std::cout << fmt::format("decided, and nobody knew it, for {} ms (median), {} ms at most\n",
                             t.silent_ms[t.silent_ms.size() / 2], t.silent_ms.back());
  }
  if (command.kill.empty()) {
    if (!command.inputs.empty()) return;
    const std::vector<std::string> values = {"0", "1"};
    const PropertyVerdict v = check_non_triviality(runs, values);
    *clean = *clean && (v.holds || runs.size() < 20);
    std::cout << fmt::format("non-triviality {}: {}\n", v.holds ? "holds" : "BROKEN", v.sentence);
    return;
  }
  std::cout << fmt::format(
      "leader killed {} in {} runs: the value stood in {}, another one won in {}, nobody "
      "decided in {}\n",
      command.kill, t.points, t.stood, t.other, t.nothing);
  if (t.example != 0) std::cout << fmt::format("another value won: {}\n", repeat(command, t.example));
  if (command.kill == "after-point-of-no-return") {
    *clean = *clean && t.stood == t.points && t.points > 0;
    std::cout << (t.stood == t.points ? "after the point of no return the value stands, whoever dies\n"
                                      : "BROKEN: a value fell after its point of no return\n");
  } else {
    std::cout << "one step earlier nothing is settled: the value may stand or fall\n";
  }
}

int count(const Setup& setup, uint64_t first, uint64_t last) {
  Totals t;
  std::vector<ConsensusRun> runs;
  uint64_t shown = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const SynodOptions options = setup.options(seed);
    SynodResult before;
    SynodResult result =
        options.kill == KillLeader::never ? run_synod(options) : run_synod_with_kill(options, &before);
    ++t.runs;
    t.messages += result.messages;
    t.lost += result.lost;
    t.crashes += result.crashes;
    t.aborts += result.aborts;
    t.ballots += result.ballots;
    if (result.point && result.first_known_ms >= result.point->at_ms)
      t.silent_ms.push_back(result.first_known_ms - result.point->at_ms);
    if (options.kill != KillLeader::never) judge_kill(before, result, seed, &t);
    std::string broken = result.breach;
    for (const PropertyVerdict& v : check_run(result.run))
      if (!v.holds && broken.empty()) broken = v.property + ": " + v.sentence;
    for (const ProcessOutcome& p : result.run.processes)
      if (!p.output.blank()) {
        ++t.decided[p.output.value()];
        break;
      }
    if (!broken.empty()) {
      ++t.broken;
      if (shown++ < 5)
        std::cout << fmt::format("BROKEN {}\n  again: {}\n", broken, repeat(setup.command, seed));
    }
    runs.push_back(std::move(result.run));
  }
  bool clean = t.broken == 0;
  print_totals(setup.command, t, runs, &clean);
  return clean ? 0 : 1;
}

}  // namespace

namespace {

int tell_scene(const SynodCommand& command) {
  for (const SynodScene& scene : synod_scenes()) {
    if (command.scene == "list")
      std::cout << fmt::format("{:<14} {:<4} {}\n", scene.name, scene.row, scene.sees);
    if (command.scene != scene.name) continue;
    Setup setup{command, scene.schedule};
    setup.command.processes = scene.processes;
    setup.command.inputs = scene.inputs;
    if (command.json != "-") std::cout << scene.sees << "\n\n";
    return tell(setup, scene.seed);
  }
  if (command.scene == "list") return 0;
  std::cerr << fmt::format("decree-lab: no scene '{}'; --scene list names them\n", command.scene);
  return 2;
}

}  // namespace

int synod_command(const SynodCommand& command) {
  if (!command.plant.empty() && !plant(command.plant)) {
    std::cerr << "decree-lab: --plant: no such bug is compiled into this program; use decree-lab-planted\n";
    return 2;
  }
  if (!command.scene.empty()) return tell_scene(command);
  Setup setup{command, ""};
  uint64_t first = 0;
  uint64_t last = 0;
  if (!parse_range(command.seeds, &first, &last)) {
    std::cerr << fmt::format("decree-lab: '{}' is no seed and no range A..B\n", command.seeds);
    return 2;
  }
  if (!command.inputs.empty() && split(command.inputs).size() != command.processes) {
    std::cerr << fmt::format("decree-lab: --inputs names {} values for {} processes\n",
                             split(command.inputs).size(), command.processes);
    return 2;
  }
  if (!command.schedule.empty()) {
    std::ifstream in(command.schedule);
    std::stringstream text;
    text << in.rdbuf();
    SynodSchedule ignored;
    std::string error = in ? "" : "cannot be read: name an existing file";
    setup.schedule_text = text.str() + "\n";
    if (!error.empty() || !parse_synod_schedule(setup.schedule_text, command.processes, &ignored, &error)) {
      std::cerr << fmt::format("decree-lab: schedule {}: {}\n", command.schedule, error);
      return 2;
    }
  }
  return first == last ? tell(setup, first) : count(setup, first, last);
}

}  // namespace decree::lab
