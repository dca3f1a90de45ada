// decree-lab sim: runs seeds on a few processes of its own, so that even a crash of the code under test is a
// finding.
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "lab/commands.h"
#include "lab/ledger.h"
#include "lab/planted.h"
#include "lab/seed_range.h"
#include "lab/sim/coverage.h"
#include "lab/sim/world.h"

namespace decree::lab {

namespace {

using Clock = std::chrono::steady_clock;

// What a worker tells the parent about one seed. Plain bytes: both are the same program.
struct Report {
  uint64_t seed = 0;
  uint32_t kind = 0;  // 0 begins, 1 clean, 2 broken (sentence follows)
  uint32_t text_bytes = 0;
  uint64_t hash = 0;
  int64_t at_us = 0;
  MarkerSet markers;
  RunStatistics statistics;
};

bool write_all(int fd, const void* data, size_t bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd, p, bytes);
    if (n <= 0) return false;
    p += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

RunOptions run_options(const SimCommand& command) {
  RunOptions options;
  options.limits.real_log = command.log != "model";
  options.limits.real_store = command.store != "toy";
  options.limits.scale = command.scale;
  options.limits.members = command.members;
  options.limits.old_image = command.old_image;
  options.trace_beats = command.beats;
  if (command.profile == "core") {
    options.limits.real_log = options.limits.real_store = false;
    options.limits.seconds_min = 300;
    options.limits.seconds_max = 420;
  } else if (command.profile == "server") {
    options.limits.server = true;
    options.limits.seconds_min = options.limits.seconds_max = 600;
  }
  return options;
}

namespace {

// What must be given again to repeat a seed.
std::string options_text(const SimCommand& command) {
  std::string more;
  if (command.profile != "mixed") more += " --profile " + command.profile;
  if (!command.plant.empty()) more += " --plant " + command.plant;
  if (command.log != "mixed") more += " --log " + command.log;
  if (command.store != "kv") more += " --store " + command.store;
  if (command.scale != 1) more += fmt::format(" --scale {}", command.scale);
  if (command.members != 0) more += fmt::format(" --members {}", command.members);
  if (command.old_image) more += " --old-image";
  return more;
}

struct Worker {
  pid_t pid = 0;
  int fd = -1;
  uint64_t seed = 0;  // under way
  bool busy = false;
  uint64_t next = 0;  // first seed of its next life
  std::string buffer;
};

class Campaign {
 public:
  Campaign(const SimCommand& command, const RunOptions& options, uint64_t first, uint64_t last)
      : command_(command), options_(options), first_(first), last_(last), began_(Clock::now()) {
    if (command_.minutes > 0) {
      deadline_ = began_ + std::chrono::minutes(command_.minutes);
      last_ = UINT64_MAX;
    }
  }

  int run() {
    std::vector<Worker> workers(std::max<uint32_t>(1, command_.jobs));
    for (size_t i = 0; i < workers.size(); ++i) {
      workers[i].next = first_ + i;
      launch(&workers[i]);
    }
    while (true) {
      std::vector<pollfd> fds;
      std::vector<Worker*> owners;
      for (Worker& w : workers)
        if (w.fd >= 0) {
          fds.push_back({w.fd, POLLIN, 0});
          owners.push_back(&w);
        }
      if (fds.empty()) break;
      ::poll(fds.data(), fds.size(), 1000);
      for (size_t i = 0; i < fds.size(); ++i)
        if (fds[i].revents != 0) drain(owners[i]);
      if (failures_ >= command_.failures_max) {
        for (Worker& w : workers)
          if (w.fd >= 0) ::kill(w.pid, SIGKILL);
        for (Worker& w : workers)
          if (w.fd >= 0) end(&w);
        break;
      }
    }
    summary();
    return failures_ == 0 ? 0 : 1;
  }

 private:
  void launch(Worker* w) {
    if (w->next > last_ || w->next < first_ || over()) return;
    int pipe_fds[2];
    if (::pipe(pipe_fds) != 0) return;
    std::cout.flush();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(pipe_fds[0]);
      work(pipe_fds[1], w->next);
      ::_exit(0);
    }
    ::close(pipe_fds[1]);
    w->pid = pid;
    w->fd = pipe_fds[0];
    w->busy = false;
    w->buffer.clear();
  }

  void work(int fd, uint64_t seed) {
    const uint64_t step = std::max<uint32_t>(1, command_.jobs);
    for (; seed <= last_ && !over(); seed += step) {
      Report r;
      r.seed = seed;
      if (!write_all(fd, &r, sizeof r)) return;
      (void)take_markers();
      RunResult result = World(seed, options_).run();
      r.markers = take_markers();
      if (!result.breach && command_.hash_every > 0 && seed % command_.hash_every == 0 &&
          World(seed, options_).run().trace_hash != result.trace_hash)
        result.breach = Breach{"determinism", "two runs of the same seed had different traces"};
      r.kind = result.breach ? 2 : 1;
      r.hash = result.trace_hash;
      r.at_us = result.at_us;
      r.statistics = result.statistics;
      const std::string text =
          result.breach ? result.breach.invariant + ": " + result.breach.sentence : std::string();
      r.text_bytes = static_cast<uint32_t>(text.size());
      if (!write_all(fd, &r, sizeof r) || !write_all(fd, text.data(), text.size())) return;
    }
  }

  bool over() const { return command_.minutes > 0 && Clock::now() >= deadline_; }

  void drain(Worker* w) {
    char bytes[65536];
    const ssize_t n = ::read(w->fd, bytes, sizeof bytes);
    if (n > 0) {
      w->buffer.append(bytes, static_cast<size_t>(n));
      take_reports(w);
      return;
    }
    const int status = end(w);
    if (w->busy) {
      broken(w->seed, "crash",
             WIFSIGNALED(status) ? fmt::format("the process died by signal {} ({})", WTERMSIG(status),
                                               strsignal(WTERMSIG(status)))
                                 : fmt::format("the process ended with code {}", WEXITSTATUS(status)),
             0);
      w->next = w->seed + std::max<uint32_t>(1, command_.jobs);
      if (failures_ < command_.failures_max) launch(w);
    }
  }

  int end(Worker* w) {
    ::close(w->fd);
    w->fd = -1;
    int status = 0;
    ::waitpid(w->pid, &status, 0);
    return status;
  }

  void take_reports(Worker* w) {
    while (w->buffer.size() >= sizeof(Report)) {
      Report r;
      std::memcpy(static_cast<void*>(&r), w->buffer.data(), sizeof r);
      if (w->buffer.size() < sizeof r + r.text_bytes) return;
      const std::string text = w->buffer.substr(sizeof r, r.text_bytes);
      w->buffer.erase(0, sizeof r + r.text_bytes);
      w->seed = r.seed;
      w->busy = r.kind == 0;
      if (r.kind == 0) continue;
      ++seeds_;
      total_.add(r.statistics);
      for (size_t m = 0; m < marker_seeds_.size(); ++m) marker_seeds_[m] += r.markers.has(m) ? 1 : 0;
      if (command_.verbose)
        std::cout << fmt::format(
            "seed {}: {} s, {} ops ({} ok, {} unknown), {} slots, {} ballots, {} restarts, trace {:016x}{}\n",
            r.seed, r.statistics.simulated_us / 1'000'000, r.statistics.operations, r.statistics.ok,
            r.statistics.unknown, r.statistics.slots, r.statistics.ballots, r.statistics.restarts, r.hash,
            r.kind == 2 ? " BROKEN" : "");
      if (r.kind == 2) broken(r.seed, "", text, r.at_us);
    }
  }

  void broken(uint64_t seed, const std::string& id, const std::string& sentence, int64_t at_us) {
    ++failures_;
    if (failures_ > command_.failures_max) return;
    const std::string more = options_text(command_);
    std::cout << fmt::format(
        "BROKEN in seed {} after {:.3f} simulated s: {}{}{}\n  again: {} sim --seeds {}..{}{} --trace -\n",
        seed, static_cast<double>(at_us) / 1e6, id, id.empty() ? "" : ": ", sentence, command_.program, seed,
        seed, more);
    std::cout.flush();
  }

  void summary() {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    const double wall = std::chrono::duration<double>(Clock::now() - began_).count();
    const RunStatistics& t = total_;
    std::string faults;
    uint64_t fault_count = 0;
    for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
      faults += fmt::format(" {} {}", fault_name(static_cast<FaultKind>(kind)), t.faults[kind]);
      fault_count += t.faults[kind];
    }
    std::cout << fmt::format(
        "{} seeds, {} broken; {:.1f} simulated hours, {} events, {} operations ({} ok, {} refused, {} "
        "unknown), {} slots, {} ballots\n"
        "faults: {}:{}; messages lost {}, doubled {}, delayed {}; restarts {}, snapshots taken {}, installed "
        "{}, disks forked {}; processes stopped by their disk {}, starts refused {}, members halted by "
        "damage "
        "{}, clusters {}; only a quorum healed in {}\n"
        "{:.1f} s of CPU, {:.1f} s of time: {:.0f} seeds per CPU-hour, {:.0f} simulated seconds per "
        "CPU-second\n",
        seeds_, failures_, static_cast<double>(t.simulated_us) / 3.6e9, t.events, t.operations, t.ok,
        t.failed, t.unknown, t.slots, t.ballots, fault_count, faults, t.lost, t.duplicated, t.straggled,
        t.restarts, t.snapshots_taken, t.snapshots_installed, t.forks, t.stopped, t.refused, t.halted,
        t.halted_runs, t.core_runs, cpu, wall, cpu > 0 ? static_cast<double>(seeds_) * 3600 / cpu : 0,
        cpu > 0 ? static_cast<double>(t.simulated_us) / 1e6 / cpu : 0);
    tell_markers();
    if (command_.ledger.empty()) return;
    LedgerLine line;
    line.what = "sim " + command_.profile;
    line.first_seed = first_;
    line.seeds = seeds_;
    line.cpu_seconds = cpu;
    line.failures = failures_;
    line.markers = marker_names().size();
    line.markers_hit = markers_hit();
    append_ledger(command_.ledger, line, total_);
  }

  size_t markers_hit() const {
    return static_cast<size_t>(
        std::count_if(marker_seeds_.begin(), marker_seeds_.end(), [](uint64_t n) { return n > 0; }));
  }

  void tell_markers() {
    const std::vector<const char*>& names = marker_names();
    std::cout << fmt::format("rare branches: {} of {} hit{}\n", markers_hit(), names.size(),
                             markers_hit() < names.size() ? "; never:" : "");
    for (size_t m = 0; m < names.size(); ++m)
      if (marker_seeds_[m] == 0 || command_.markers)
        std::cout << fmt::format("  {}{}\n", names[m],
                                 command_.markers ? fmt::format(": {}", marker_seeds_[m]) : std::string());
  }

  const SimCommand& command_;
  const RunOptions options_;
  const uint64_t first_;
  uint64_t last_;
  const Clock::time_point began_;
  Clock::time_point deadline_;
  uint64_t seeds_ = 0;
  uint32_t failures_ = 0;
  RunStatistics total_;
  std::vector<uint64_t> marker_seeds_ =
      std::vector<uint64_t>(marker_names().size());  // in how many seeds each was hit
};

// A single seed with its story told.
int run_traced(const SimCommand& command, RunOptions options, uint64_t seed) {
  std::ofstream trace_file;
  std::ofstream history_file;
  if (command.trace == "-") {
    options.trace = &std::cout;
  } else if (!command.trace.empty()) {
    trace_file.open(command.trace);
    options.trace = &trace_file;
  }
  if (!command.history.empty()) {
    history_file.open(command.history);
    options.history = &history_file;
  }
  const RunResult result = World(seed, options).run();
  std::ostream& out = command.trace == "-" ? std::cerr : std::cout;
  out << fmt::format("seed {}: {} simulated s, {} operations, trace {:016x}\n", seed,
                     result.statistics.simulated_us / 1'000'000, result.statistics.operations,
                     result.trace_hash);
  if (!result.breach) return 0;
  out << fmt::format("BROKEN in seed {} after {:.3f} simulated s: {}: {}\n", seed,
                     static_cast<double>(result.at_us) / 1e6, result.breach.invariant,
                     result.breach.sentence);
  return 1;
}

// Lines "SEED [options] # what it once found". An option that is not named has its default.
int run_past(const SimCommand& command) {
  std::ifstream in(command.past);
  if (!in) {
    std::cerr << fmt::format("decree-lab: --past {}: cannot be read\n", command.past);
    return 2;
  }
  int worst = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    SimCommand one = command;
    one.past.clear();
    one.ledger.clear();
    if (!(words >> one.seeds)) continue;
    for (std::string word; words >> word;) {
      if (word == "--profile")
        words >> one.profile;
      else if (word == "--log")
        words >> one.log;
      else if (word == "--store")
        words >> one.store;
      else if (word == "--scale")
        words >> one.scale;
      else if (word == "--members")
        words >> one.members;
      else {
        std::cerr << fmt::format("decree-lab: {}: unknown option {} in: {}\n", command.past, word, line);
        return 2;
      }
    }
    uint64_t first = 0;
    uint64_t last = 0;
    if (!parse_range(one.seeds, &first, &last)) {
      std::cerr << fmt::format("decree-lab: {}: no seed in: {}\n", command.past, line);
      return 2;
    }
    const RunResult result = World(first, run_options(one)).run();
    std::cout << fmt::format(
        "seed {}{}: {}\n", first, options_text(one),
        result.breach ? "BROKEN: " + result.breach.invariant + ": " + result.breach.sentence : "clean");
    if (result.breach) worst = 1;
  }
  return worst;
}

}  // namespace

int sim_command(const SimCommand& command) {
  if (!command.past.empty()) return run_past(command);
  uint64_t first = 0;
  uint64_t last = 0;
  if (command.seeds.empty()) {
    // Fresh: milliseconds since 1970, so that two campaigns hardly ever meet the same ones.
    first = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::system_clock::now().time_since_epoch())
                                      .count());
    last = first + (command.fresh != 0 ? command.fresh : 100) - 1;
    std::cout << fmt::format("fresh seeds; these again: {} sim --seeds {}..{}{}\n", command.program, first,
                             last, options_text(command));
  } else if (!parse_range(command.seeds, &first, &last)) {
    std::cerr << fmt::format("decree-lab: --seeds {}: give a range of numbers such as 1..1000\n",
                             command.seeds);
    return 2;
  }
  if (!command.plant.empty() && !plant(command.plant)) {
    std::string names;
    for (const PlantedInfo& bug : planted_bugs()) names += std::string(" ") + bug.name;
    std::cerr << (names.empty()
                      ? "decree-lab: --plant: no bug is compiled into this program; use decree-lab-planted\n"
                      : fmt::format("decree-lab: --plant {}: there are{}\n", command.plant, names));
    return 2;
  }
  const RunOptions options = run_options(command);
  if (!command.trace.empty() || !command.history.empty()) {
    if (first != last) {
      std::cerr << "decree-lab: --trace and --history tell the story of one seed; give --seeds S..S\n";
      return 2;
    }
    return run_traced(command, options, first);
  }
  return Campaign(command, options, first, last).run();
}

}  // namespace decree::lab
