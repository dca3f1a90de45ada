// decree-lab mutants: how good is the search? Plants one known bug after the other, hunts each with the
// seeds, the swarm and the budget of all others, and shrinks what was found. The bugs are in
// decree-lab-planted; decree-lab runs that one.
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "lab/commands.h"
#include "lab/cpu_clock.h"
#include "lab/planted.h"
#include "lab/shrink/shrink.h"
#include "lab/story.h"

namespace decree::lab {

namespace {

// What became of one of them. Plain bytes, sent through a pipe.
struct Finding {
  bool found = false;
  bool shrunk = false;
  uint32_t checker_bytes = 0;
  char checker[16] = {};
  char sentence[400] = {};
  uint64_t seeds = 0;
  uint64_t seed = 0;
  double cpu_seconds = 0;
  uint64_t steps_before = 0;
  uint64_t steps = 0;
  double shrink_seconds = 0;
};

void copy_text(const std::string& text, char* to, size_t bytes) {
  const size_t n = std::min(text.size(), bytes - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

class Hunt {
 public:
  explicit Hunt(const MutantsCommand& command) : command_(command) {}

  int run(std::vector<PlantedInfo> bugs) {
    bugs_ = std::move(bugs);
    findings_.resize(bugs_.size());
    std::cout << "| bug | where | found by | seeds | CPU s | steps | of | shrinking, CPU s | what it does |\n"
                 "|---|---|---|---|---|---|---|---|---|\n";
    size_t next = 0;
    while (next < bugs_.size() || !children_.empty()) {
      while (next < bugs_.size() && children_.size() < command_.jobs) launch(next++);
      wait_for_one();
    }
    return summary();
  }

 private:
  struct Child {
    pid_t pid = 0;
    int fd = -1;
    size_t bug = 0;
    std::string bytes;
  };

  void launch(size_t bug) {
    int fds[2];
    if (::pipe(fds) != 0) return;
    std::cout.flush();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(fds[0]);
      const auto seconds = static_cast<rlim_t>(command_.cpu_seconds + command_.shrink_seconds + 120);
      const rlimit limit{seconds, seconds};
      ::setrlimit(RLIMIT_CPU, &limit);
      const rlimit no_core{0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      hunt(bugs_[bug], fds[1]);
      ::_exit(0);
    }
    ::close(fds[1]);
    children_.push_back(Child{pid, fds[0], bug, {}});
  }

  static void tell(int fd, const Finding& finding) {
    if (::write(fd, &finding, sizeof finding) != sizeof finding) ::_exit(3);
  }

  // In a process of its own: the bug may end it. Tells where it is before every seed, so that even then it is
  // known.
  void hunt(const PlantedInfo& bug, int fd) const {
    plant(bug.name);
    SimCommand sim;
    sim.scale = command_.scale;
    const RunOptions options = run_options(sim);
    Finding f;
    for (uint64_t seed = command_.first_seed; cpu_now() < command_.cpu_seconds; ++seed) {
      f.seed = seed;
      ++f.seeds;
      f.cpu_seconds = cpu_now();
      tell(fd, f);
      const RunResult run = World(seed, options).run();
      f.cpu_seconds = cpu_now();
      if (!run.breach) continue;
      // What breaks without it as well is no finding of it, but one of ours.
      unplant();
      const RunResult without = World(seed, options).run();
      plant(bug.name);
      if (without.breach) {
        std::cerr << fmt::format("seed {} breaks without any planted bug: {}: {}\n", seed,
                                 without.breach.invariant, without.breach.sentence);
        continue;
      }
      f.found = true;
      copy_text(run.breach.invariant, f.checker, sizeof f.checker);
      copy_text(run.breach.sentence, f.sentence, sizeof f.sentence);
      tell(fd, f);
      if (!command_.no_shrink) shrink(bug, options, fd, f);
      return;
    }
    tell(fd, f);
  }

  void shrink(const PlantedInfo& bug, const RunOptions& options, int fd, Finding f) const {
    ShrinkLimits limits;
    limits.cpu_seconds_max = command_.shrink_seconds;
    const Shrunk shrunk = shrink_seed(f.seed, options, bug.name, limits);
    f.shrunk = shrunk.reproduced;
    f.steps_before = shrunk.length_before;
    f.steps = shrunk.schedule.length();
    f.shrink_seconds = shrunk.cpu_seconds;
    tell(fd, f);
    if (command_.out.empty() || !shrunk.reproduced) return;
    const std::filesystem::path directory(command_.out);
    std::ofstream schedule(directory / (std::string(bug.name) + ".schedule"));
    write_schedule(shrunk.schedule, schedule);
    std::ofstream story(directory / (std::string(bug.name) + ".story"));
    story << bug.name << ": " << bug.sentence << '\n';
    tell_story(shrunk.schedule, story);
  }

  void wait_for_one() {
    std::vector<pollfd> fds;
    for (const Child& c : children_) fds.push_back({c.fd, POLLIN, 0});
    ::poll(fds.data(), fds.size(), -1);
    for (size_t i = fds.size(); i-- > 0;) {
      if (fds[i].revents == 0) continue;
      Child& c = children_[i];
      char bytes[4096];
      const ssize_t n = ::read(c.fd, bytes, sizeof bytes);
      if (n > 0) {
        c.bytes.append(bytes, static_cast<size_t>(n));
        while (c.bytes.size() >= sizeof(Finding)) {
          std::memcpy(static_cast<void*>(&findings_[c.bug]), c.bytes.data(), sizeof(Finding));
          c.bytes.erase(0, sizeof(Finding));
        }
        continue;
      }
      ::close(c.fd);
      int status = 0;
      ::waitpid(c.pid, &status, 0);
      Finding& f = findings_[c.bug];
      if (WIFSIGNALED(status) && WTERMSIG(status) != SIGXCPU && WTERMSIG(status) != SIGKILL && !f.found) {
        f.found = true;
        copy_text("crash", f.checker, sizeof f.checker);
        copy_text(fmt::format("the process died by signal {}", WTERMSIG(status)), f.sentence,
                  sizeof f.sentence);
      }
      show(c.bug);
      children_.erase(children_.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  void show(size_t bug) const {
    const Finding& f = findings_[bug];
    const PlantedInfo& b = bugs_[bug];
    std::cout << fmt::format("| {} | {} | {} | {} | {:.1f} | {} | {} | {} | {} |\n", b.name, b.where,
                             f.found ? f.checker : "**not found**", f.seeds, f.cpu_seconds,
                             f.shrunk ? std::to_string(f.steps) : "-",
                             f.steps_before > 0 ? std::to_string(f.steps_before) : "-",
                             f.steps_before > 0 ? fmt::format("{:.0f}", f.shrink_seconds) : "-", b.sentence);
    std::cout.flush();
    if (f.found) std::cerr << fmt::format("{}: seed {}: {}: {}\n", b.name, f.seed, f.checker, f.sentence);
  }

  int summary() const {
    std::vector<double> times;
    std::string missed;
    std::vector<uint64_t> lengths;
    for (size_t i = 0; i < bugs_.size(); ++i) {
      if (findings_[i].found) times.push_back(findings_[i].cpu_seconds);
      if (!findings_[i].found) missed += fmt::format(" {}", bugs_[i].name);
      if (findings_[i].shrunk) lengths.push_back(findings_[i].steps);
    }
    std::sort(times.begin(), times.end());
    std::sort(lengths.begin(), lengths.end());
    const size_t short_ones = static_cast<size_t>(
        std::count_if(lengths.begin(), lengths.end(), [](uint64_t n) { return n <= 40; }));
    std::cout << fmt::format("{} of {} found", times.size(), bugs_.size());
    if (!times.empty())
      std::cout << fmt::format("; CPU seconds to discovery: median {:.1f}, most {:.1f}",
                               times[times.size() / 2], times.back());
    if (!lengths.empty())
      std::cout << fmt::format("; {} schedules, {} of at most 40 steps, median {}, longest {}",
                               lengths.size(), short_ones, lengths[lengths.size() / 2], lengths.back());
    std::cout << '\n';
    if (!missed.empty()) std::cout << "not found:" << missed << '\n';
    return missed.empty() ? 0 : 1;
  }

  const MutantsCommand& command_;
  std::vector<PlantedInfo> bugs_;
  std::vector<Finding> findings_;
  std::vector<Child> children_;
};

// decree-lab has no bug inside: its neighbour goes on with the same arguments.
int run_planted_program(const MutantsCommand& command) {
  std::error_code ec;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ec);
  const std::string other = (self.parent_path() / "decree-lab-planted").string();
  ::execv(other.c_str(), command.argv);
  std::cerr << fmt::format(
      "decree-lab: {} cannot be run ({}); the planted bugs are in a program of their own: build the target "
      "decree-lab-planted\n",
      other, std::strerror(errno));
  return 2;
}

}  // namespace

int mutants_command(const MutantsCommand& command) {
  std::vector<PlantedInfo> bugs = planted_bugs();
  if (bugs.empty()) return run_planted_program(command);
  for (const std::string& name : command.only) {
    const auto matches = [&name](const PlantedInfo& b) {
      return std::string_view(b.name).substr(0, name.size()) == name;
    };
    if (std::any_of(bugs.begin(), bugs.end(), matches)) continue;
    std::cerr << fmt::format(
        "decree-lab: --only {}: no planted bug begins so; decree-lab mutants --list names them\n", name);
    return 2;
  }
  if (!command.only.empty())
    std::erase_if(bugs, [&command](const PlantedInfo& b) {
      return std::none_of(command.only.begin(), command.only.end(), [&b](const std::string& name) {
        return std::string_view(b.name).substr(0, name.size()) == name;
      });
    });
  if (command.list) {
    for (const PlantedInfo& b : bugs) std::cout << fmt::format("{} ({}): {}\n", b.name, b.where, b.sentence);
    return 0;
  }
  if (!command.out.empty()) std::filesystem::create_directories(command.out);
  return Hunt(command).run(std::move(bugs));
}

}  // namespace decree::lab
