#include "lab/sim/schedule.h"

#include <functional>
#include <istream>
#include <ostream>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace decree::lab {

namespace {

constexpr const char* kStepNames[] = {"time",    "jump",    "deliver", "request", "give_up",    "crash",
                                      "start",   "pause",   "resume",  "connect", "disconnect", "transfer",
                                      "hold",    "release", "disk",    "work",    "notice",     "turn",
                                      "compact", "change",  "harm"};
constexpr const char* kHarmNames[] = {"rot_log",     "rot_superblock", "rot_snapshot", "misdirected",
                                      "old_image",   "fill",           "make_room",    "fail_sync",
                                      "fail_writes", "fail_reads",     "fail_power",   "diverge"};
static_assert(std::size(kHarmNames) == static_cast<size_t>(Harm::count));
static_assert(std::size(kStepNames) == static_cast<size_t>(StepKind::count));

template <size_t... I>
std::array<const char*, sizeof...(I)> kind_names(std::index_sequence<I...>) {
  return {message_name(Message(std::in_place_index<I>))...};
}

// What of the swarm a schedule keeps.
struct Setting {
  const char* name;
  std::function<uint64_t(const Swarm&)> get;
  std::function<void(Swarm*, uint64_t)> set;
};
template <class T>
Setting setting(const char* name, T Swarm::*field) {
  return {name, [field](const Swarm& s) { return static_cast<uint64_t>(s.*field); },
          [field](Swarm* s, uint64_t v) { s->*field = static_cast<T>(v); }};
}
template <class T>
Setting option(const char* name, T Options::*field) {
  return {name, [field](const Swarm& s) { return static_cast<uint64_t>(s.options.*field); },
          [field](Swarm* s, uint64_t v) { s->options.*field = static_cast<T>(v); }};
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {
      setting("members", &Swarm::members),
      setting("clients", &Swarm::clients),
      setting("keys", &Swarm::keys),
      setting("real_log", &Swarm::real_log),
      setting("real_store", &Swarm::real_store),
      setting("request_layer", &Swarm::request_layer),
      setting("snapshot_every", &Swarm::snapshot_every),
      setting("segment_bytes", &Swarm::segment_bytes),
      setting("transfer_chunk_bytes", &Swarm::transfer_chunk_bytes),
      setting("transfer_chunks_inflight", &Swarm::transfer_chunks_inflight),
      setting("inputs_per_turn_max", &Swarm::inputs_per_turn_max),
      setting("applies_per_turn_max", &Swarm::applies_per_turn_max),
      setting("clients_queued_max", &Swarm::clients_queued_max),
      setting("unsynced_bytes_max", &Swarm::unsynced_bytes_max),
      setting("halting_run", &Swarm::halting_run),
      setting("turn_delay_us", &Swarm::turn_delay_us),
      {"turn_spent_permille", [](const Swarm& s) { return static_cast<uint64_t>(s.turn_spent * 1000); },
       [](Swarm* s, uint64_t v) { s->turn_spent = static_cast<double>(v) / 1000; }},
      option("seed", &Options::seed),
      option("accept_entries_max", &Options::accept_entries_max),
      option("accept_bytes_max", &Options::accept_bytes_max),
      option("inflight_bytes_max", &Options::inflight_bytes_max),
      option("proposals_queued_max", &Options::proposals_queued_max),
      option("promise_runs_max", &Options::promise_runs_max),
      option("reads_queued_max", &Options::reads_queued_max),
      option("cached_log_bytes_max", &Options::cached_log_bytes_max),
      option("cached_log_entries_min", &Options::cached_log_entries_min),
      option("stalled_bill_ticks", &Options::stalled_bill_ticks),
  };
  return all;
}

std::string members_text(uint32_t bits) {
  if (bits == ~0u) return "all";
  std::string out;
  for (uint32_t n = 1; n <= kMembersMax; ++n)
    if ((bits >> n & 1) != 0) out += (out.empty() ? "" : ",") + std::to_string(n);
  return out.empty() ? "none" : out;
}
uint32_t members_of(const std::string& text) {
  if (text == "all") return ~0u;
  uint32_t bits = 0;
  for (const char c : text)
    if (c >= '1' && c <= '7') bits |= 1u << (c - '0');
  return bits;
}

size_t kind_of(const std::string& name) {
  for (size_t kind = 0; kind < kMessageKinds; ++kind)
    if (name == message_kind_name(kind)) return kind;
  return kMessageKinds;
}

void write_step(const Step& s, const Schedule& schedule, std::ostream& out) {
  out << step_name(s.kind);
  switch (s.kind) {
    case StepKind::time:
    case StepKind::jump:
    case StepKind::work:
    case StepKind::start:
      out << fmt::format(" {} {}", s.member, s.n);
      break;
    case StepKind::deliver:
      out << fmt::format(" {} {} {} {}", s.member, s.other, message_kind_name(s.what), s.n);
      break;
    case StepKind::request:
      out << fmt::format(" {} {} {}", s.n, s.member, encode_operation(schedule.operations[s.operation]));
      break;
    case StepKind::give_up:
      out << ' ' << s.n;
      break;
    case StepKind::notice:
    case StepKind::compact:
      out << fmt::format(" {} {} {}", s.member, s.other, s.n);
      break;
    case StepKind::crash:
      out << fmt::format(" {} {} {}", s.member, s.what == 1 ? "power" : "process", s.fate);
      break;
    case StepKind::change:
      out << fmt::format(" {} {} {}", s.member, s.what, s.fate);
      break;
    case StepKind::harm:
      out << fmt::format(" {} {} {} {}", s.member, kHarmNames[s.what], s.n, s.fate);
      break;
    case StepKind::connect:
    case StepKind::disconnect:
    case StepKind::transfer:
      out << fmt::format(" {} {}", s.member, s.other);
      break;
    default:
      out << fmt::format(" {}", s.member);
      break;
  }
  out << '\n';
}

// False: the line is none.
bool read_step(const std::string& word, std::istringstream& line, Schedule* schedule) {
  Step s;
  size_t kind = 0;
  while (kind < std::size(kStepNames) && word != kStepNames[kind]) ++kind;
  if (kind == std::size(kStepNames)) return false;
  s.kind = static_cast<StepKind>(kind);
  uint32_t member = 0;
  uint32_t other = 0;
  std::string text;
  switch (s.kind) {
    case StepKind::time:
    case StepKind::jump:
    case StepKind::work:
    case StepKind::start:
      line >> member >> s.n;
      break;
    case StepKind::deliver:
      line >> member >> other >> text >> s.n;
      s.what = static_cast<uint8_t>(kind_of(text));
      if (kind_of(text) == kMessageKinds) return false;
      break;
    case StepKind::request: {
      line >> s.n >> member;
      std::getline(line, text);
      Result<Operation> op = decode_operation(text);
      if (!op) return false;
      s.operation = static_cast<uint32_t>(schedule->operations.size());
      schedule->operations.push_back(std::move(op).value());
      break;
    }
    case StepKind::give_up:
      line >> s.n;
      break;
    case StepKind::notice:
    case StepKind::compact:
      line >> member >> other >> s.n;
      break;
    case StepKind::crash:
      line >> member >> text >> s.fate;
      s.what = text == "power" ? 1 : 0;
      break;
    case StepKind::change: {
      uint32_t roles = 0;
      line >> member >> roles >> s.fate;
      s.what = roles == 1 ? 1 : 0;
      break;
    }
    case StepKind::harm: {
      line >> member >> text >> s.n >> s.fate;
      size_t harm = 0;
      while (harm < std::size(kHarmNames) && text != kHarmNames[harm]) ++harm;
      if (harm == std::size(kHarmNames)) return false;
      s.what = static_cast<uint8_t>(harm);
      break;
    }
    case StepKind::connect:
    case StepKind::disconnect:
    case StepKind::transfer:
      line >> member >> other;
      break;
    default:
      line >> member;
      break;
  }
  if (line.fail() || member > schedule->swarm.members || other > schedule->swarm.members) return false;
  s.member = static_cast<uint8_t>(member);
  s.other = static_cast<uint8_t>(other);
  schedule->steps.push_back(s);
  return true;
}

bool read_head(const std::string& word, std::istringstream& line, Schedule* schedule) {
  std::string text;
  if (word == "plant") return static_cast<bool>(line >> schedule->plant);
  if (word == "checker") return static_cast<bool>(line >> schedule->checker);
  if (word == "settle") return schedule->settle = true;
  if (word == "early_persisted") return schedule->early_persisted = true;
  if (word == "forks") return schedule->forks = true;
  if (word == "stopped") return !(schedule->started = false);
  if (word == "automatic_turns" && line >> text) {
    schedule->automatic_turns = members_of(text);
  } else if (word == "automatic_disks" && line >> text) {
    schedule->automatic_disks = members_of(text);
  } else if (word == "automatic_works" && line >> text) {
    schedule->automatic_works = members_of(text);
  } else if (word == "automatic_notices" && line >> text) {
    schedule->automatic_notices = members_of(text);
  } else if (word == "automatic_messages") {
    while (line >> text) {
      if (kind_of(text) == kMessageKinds) return false;
      schedule->automatic_messages[kind_of(text)] = true;
    }
  } else if (word == "set" && line >> text) {
    uint64_t value = 0;
    if (!(line >> value)) return false;
    for (const Setting& s : settings())
      if (text == s.name) {
        s.set(&schedule->swarm, value);
        return schedule->swarm.members >= 1 && schedule->swarm.members <= kMembersMax;
      }
    return false;
  } else {
    return false;
  }
  return true;
}

}  // namespace

const char* message_kind_name(size_t kind) {
  static const auto names = kind_names(std::make_index_sequence<kMessageKinds>());
  return names[kind];
}

const char* step_name(StepKind kind) { return kStepNames[static_cast<size_t>(kind)]; }

void write_schedule(const Schedule& schedule, std::ostream& out) {
  out << "decree-schedule 1\n";
  if (!schedule.plant.empty()) out << "plant " << schedule.plant << '\n';
  if (!schedule.checker.empty()) out << "checker " << schedule.checker << '\n';
  const Swarm ordinary;
  for (const Setting& s : settings())
    if (s.get(schedule.swarm) != s.get(ordinary) || s.name == std::string("members"))
      out << "set " << s.name << ' ' << s.get(schedule.swarm) << '\n';
  out << "automatic_turns " << members_text(schedule.automatic_turns) << "\nautomatic_disks "
      << members_text(schedule.automatic_disks) << "\nautomatic_works "
      << members_text(schedule.automatic_works) << "\nautomatic_notices "
      << members_text(schedule.automatic_notices) << "\nautomatic_messages";
  for (size_t kind = 0; kind < kMessageKinds; ++kind)
    if (schedule.automatic_messages[kind]) out << ' ' << message_kind_name(kind);
  out << '\n';
  if (schedule.early_persisted) out << "early_persisted\n";
  if (schedule.forks) out << "forks\n";
  if (!schedule.started) out << "stopped\n";
  for (const Step& step : schedule.steps) write_step(step, schedule, out);
  if (schedule.settle) out << "settle\n";
}

Result<Schedule> read_schedule(std::istream& in) {
  Schedule schedule;
  std::string text;
  for (uint64_t number = 1; std::getline(in, text); ++number) {
    std::istringstream line(text);
    std::string word;
    line >> word;
    if (number == 1) {
      std::string version;
      if (word != "decree-schedule" || !(line >> version) || version != "1")
        return Error{ErrorCode::invalid, "line 1: a schedule begins with \"decree-schedule 1\""};
      continue;
    }
    if (word.empty() || word[0] == '#') continue;
    if (!read_step(word, line, &schedule) && !read_head(word, line, &schedule))
      return Error{ErrorCode::invalid,
                   fmt::format("line {}: \"{}\" is neither a step nor a setting", number, text)};
  }
  if (schedule.swarm.members == 0) return Error{ErrorCode::invalid, "the file is empty"};
  return schedule;
}

std::string describe(const Step& s, const Schedule& schedule) {
  const std::string who = s.member == 0 ? "everybody" : fmt::format("member {}", s.member);
  switch (s.kind) {
    case StepKind::time:
      return fmt::format("{} ms pass at {}", s.n * schedule.swarm.tick_us / 1000, who);
    case StepKind::jump:
      return fmt::format("the clock of {} is {} ms ahead at once", who, s.n * schedule.swarm.tick_us / 1000);
    case StepKind::deliver:
      return fmt::format("{} from member {} reaches member {}{}", message_kind_name(s.what), s.member,
                         s.other, s.n == 0 ? "" : fmt::format(" ({} newer ones are under way)", s.n));
    case StepKind::request: {
      const std::string what = describe(schedule.operations[s.operation]);
      const size_t at = what.find(": ");
      return fmt::format("client {} asks {}: {}", s.n, who,
                         what.substr(at + 2, what.rfind(", unknown") - at - 2));
    }
    case StepKind::give_up:
      return fmt::format("client {} gives up waiting", s.n);
    case StepKind::crash:
      return fmt::format("{} {}", who, s.what == 1 ? "loses power" : "is killed");
    case StepKind::change:
      return fmt::format("{} is asked to change the membership", who);
    case StepKind::harm:
      return fmt::format("the disk of {}: {}", who, kHarmNames[s.what]);
    case StepKind::compact:
      return fmt::format("{} is asked to compact all but {} revisions", who, s.n);
    case StepKind::start:
      return who + " starts again";
    case StepKind::connect:
      return fmt::format("members {} and {} are connected again", s.member, s.other);
    case StepKind::disconnect:
      return fmt::format("the connection of members {} and {} breaks", s.member, s.other);
    case StepKind::transfer:
      return fmt::format("{} is asked to hand leadership over", who);
    case StepKind::hold:
      return fmt::format("the disk of {} hangs", who);
    case StepKind::release:
      return fmt::format("the disk of {} goes on", who);
    case StepKind::disk:
      return fmt::format("a log write of {} is synced", who);
    default:
      return fmt::format("{}: {}", who, step_name(s.kind));
  }
}

}  // namespace decree::lab
