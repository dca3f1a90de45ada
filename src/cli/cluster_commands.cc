// compact, status, members, alarm, version.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/flag_checks.h"
#include "cli/text.h"
#include "cli/version.h"

namespace decree::cli {

namespace {

using etcdserverpb::AlarmRequest;

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ",") + printable(text);
  return out;
}

// ---- compact ----------------------------------------------------------------------------------

int do_compact(const Context& context, int64_t revision, bool physical) {
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(physical);
  const auto answer = context.connect().compact(request);
  if (!answer.ok()) return context.failed("compact", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
  } else {
    context.out << "compacted revision " << revision << '\n';
  }
  return exit_ok;
}

void add_compact(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("compact", "Forget the history before a revision");
  auto revision = std::make_shared<int64_t>(0);
  auto physical = std::make_shared<bool>(false);
  command->add_option("REVISION", *revision, "the oldest revision that stays readable")
      ->required()
      ->check(whole_number(1));
  command->add_flag("--physical", *physical, "wait until the space is free");
  command->footer(
      "Examples:\n"
      "  decree compact 1000\n"
      "  decree compact 1000 --physical");
  command->callback([&context, revision, physical] {
    context.action = [&context, revision, physical] { return do_compact(context, *revision, *physical); };
  });
}

// ---- status -----------------------------------------------------------------------------------

using StatusAnswers = std::vector<client::Answer<etcdserverpb::StatusResponse>>;

void write_status_json(const Context& context, const client::EtcdClient& client,
                       const StatusAnswers& answers) {
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) continue;
    context.out << fmt::format("{{\"endpoint\":\"{}\",\"status\":{}}}\n", client.endpoint_name(i),
                               json_of(answers[i].value));
  }
}

int do_status(const Context& context) {
  client::EtcdClient client = context.connect();
  const StatusAnswers answers = client.status_of_all();
  int code = exit_ok;
  std::vector<std::vector<std::string>> rows = {
      {"ENDPOINT", "ID", "VERSION", "DB SIZE", "LEADER", "TERM", "INDEX", "APPLIED", "ERRORS"}};
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      code = context.failed("status of " + client.endpoint_name(i), answers[i].status);
      continue;
    }
    const etcdserverpb::StatusResponse& s = answers[i].value;
    const bool leads = s.leader() != 0 && s.leader() == s.header().member_id();
    const std::string role = s.leader() == 0 ? "none" : leads ? "yes" : s.islearner() ? "learner" : "no";
    rows.push_back({client.endpoint_name(i), hex(s.header().member_id()), printable(s.version()),
                    human_bytes(s.dbsize()), role, std::to_string(s.raftterm()),
                    std::to_string(s.raftindex()), std::to_string(s.raftappliedindex()), joined(s.errors())});
  }
  if (context.json()) {
    write_status_json(context, client, answers);
  } else if (rows.size() > 1) {
    context.out << table(rows);
  }
  return code;
}

void add_status(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("status", "Ask every endpoint how it is");
  command->footer(
      "LEADER says whether this member leads; \"none\" means that it knows no leader. -w json writes one\n"
      "object per endpoint that answered. Exit code 3: at least one endpoint did not answer.\n"
      "\n"
      "Examples:\n"
      "  decree status\n"
      "  decree status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379");
  command->callback([&context] { context.action = [&context] { return do_status(context); }; });
}

// ---- members ----------------------------------------------------------------------------------

int do_members(const Context& context) {
  const auto answer = context.connect().member_list();
  if (!answer.ok()) return context.failed("members", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "PEER URLS", "CLIENT URLS", "ROLE"}};
  for (const etcdserverpb::Member& member : answer.value.members()) {
    rows.push_back({hex(member.id()), member.name().empty() ? "(not started)" : printable(member.name()),
                    joined(member.peerurls()), joined(member.clienturls()),
                    member.islearner() ? "learner" : "voter"});
  }
  context.out << table(rows);
  return exit_ok;
}

void add_members(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("members", "List the members of the cluster");
  command->footer(
      "Examples:\n"
      "  decree members\n"
      "  decree members -w json");
  command->callback([&context] { context.action = [&context] { return do_members(context); }; });
}

// ---- move-leader ------------------------------------------------------------------------------

uint64_t id_of_member(const std::string& text, const etcdserverpb::MemberListResponse& members) {
  for (const etcdserverpb::Member& m : members.members())
    if (m.name() == text || hex(m.id()) == text) return m.id();
  throw UsageError{fmt::format("`{}` is neither the name nor the id of a member: `decree members` lists them",
                               printable(text))};
}

int do_move_leader(const Context& context, const std::string& to) {
  const auto members = context.connect().member_list();
  if (!members.ok()) return context.failed("move-leader", members.status);
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(id_of_member(to, members.value));
  client::EtcdClient client = context.connect_to_members();
  const StatusAnswers answers = client.status_of_all();
  for (size_t i = 0; i < answers.size(); ++i) {
    const etcdserverpb::StatusResponse& s = answers[i].value;
    if (!answers[i].ok() || s.leader() == 0 || s.leader() != s.header().member_id()) continue;
    const auto moved = client.move_leader(request, i);
    if (!moved.ok()) return context.failed("move-leader", moved.status);
    if (context.json())
      context.write_json(moved.value);
    else
      context.out << fmt::format("{} leads now\n", printable(to));
    return exit_ok;
  }
  context.err << "decree: move-leader: no member says that it leads; try again when there is a leader\n";
  return exit_unavailable;
}

void add_move_leader(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("move-leader", "Hand leadership over to a member");
  auto to = std::make_shared<std::string>();
  command->add_option("MEMBER", *to, "its name or id")->required();
  command->footer(
      "The leader proposes nothing more, the member takes over; clients' requests wait for it. Exit code 5: "
      "it\n"
      "is a learner, or did not take over in time.\n"
      "\n"
      "Examples:\n"
      "  decree move-leader m2\n"
      "  decree move-leader 8e9e05c52164694d");
  command->callback(
      [&context, to] { context.action = [&context, to] { return do_move_leader(context, *to); }; });
}

// ---- alarm ------------------------------------------------------------------------------------

void write_alarms(const Context& context, const etcdserverpb::AlarmResponse& response,
                  std::string_view what) {
  for (const etcdserverpb::AlarmMember& alarm : response.alarms()) {
    context.out << fmt::format("{}member {}: {}\n", what, hex(alarm.memberid()),
                               etcdserverpb::AlarmType_Name(alarm.alarm()));
  }
}

int do_alarm_list(const Context& context) {
  AlarmRequest request;
  const auto answer = context.connect().alarm(request);
  if (!answer.ok()) return context.failed("alarm list", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
  } else if (answer.value.alarms_size() == 0) {
    context.out << "no alarm\n";
  } else {
    write_alarms(context, answer.value, "");
  }
  return exit_ok;
}

int do_alarm_disarm(const Context& context) {
  client::EtcdClient client = context.connect();
  const auto list = client.alarm(AlarmRequest());
  if (!list.ok()) return context.failed("alarm disarm", list.status);
  etcdserverpb::AlarmResponse all = list.value;
  all.clear_alarms();
  for (const etcdserverpb::AlarmMember& alarm : list.value.alarms()) {
    AlarmRequest request;
    request.set_action(AlarmRequest::DEACTIVATE);
    request.set_memberid(alarm.memberid());
    request.set_alarm(alarm.alarm());
    const auto answer = client.alarm(request);
    if (!answer.ok()) return context.failed("alarm disarm", answer.status);
    all.mutable_alarms()->MergeFrom(answer.value.alarms());
    *all.mutable_header() = answer.value.header();
  }
  if (context.json()) {
    context.write_json(all);
  } else if (list.value.alarms_size() == 0) {
    context.out << "no alarm\n";
  } else {
    write_alarms(context, all, "disarmed ");
  }
  return exit_ok;
}

void add_alarm(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand(
      "alarm", "Show or end alarms (NOSPACE: the quota is used up; CORRUPT: data differ)");
  command->require_subcommand(1);
  CLI::App* list = command->add_subcommand("list", "Show the alarms");
  list->footer("Examples:\n  decree alarm list");
  list->callback([&context] { context.action = [&context] { return do_alarm_list(context); }; });
  CLI::App* disarm = command->add_subcommand("disarm", "End every alarm");
  disarm->footer("Examples:\n  decree compact 100000 --physical && decree alarm disarm");
  disarm->callback([&context] { context.action = [&context] { return do_alarm_disarm(context); }; });
  command->footer(
      "Examples:\n"
      "  decree alarm list\n"
      "  decree alarm disarm");
}

// ---- version ----------------------------------------------------------------------------------

int do_version(const Context& context) {
  client::EtcdClient client = context.connect();
  const StatusAnswers answers = client.status_of_all();
  if (context.json()) {
    context.out << fmt::format("{{\"client\":\"{}\",\"servers\":[", program_version);
    bool first = true;
    for (size_t i = 0; i < answers.size(); ++i) {
      if (!answers[i].ok()) continue;
      context.out << fmt::format("{}{{\"endpoint\":\"{}\",\"version\":\"{}\"}}", first ? "" : ",",
                                 client.endpoint_name(i), printable(answers[i].value.version()));
      first = false;
    }
    context.out << "]}\n";
    return exit_ok;
  }
  context.out << "decree " << program_version << '\n';
  for (size_t i = 0; i < answers.size(); ++i) {
    context.out << client.endpoint_name(i) << ": "
                << (answers[i].ok() ? "etcd API " + printable(answers[i].value.version())
                                    : std::string("no answer"))
                << '\n';
  }
  return exit_ok;
}

void add_version(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("version", "The version of this program and of the servers");
  command->footer(
      "The servers name the version of the etcd API they follow. Exit code 0 also when none answers.\n"
      "\n"
      "Examples:\n"
      "  decree version\n"
      "  decree --version                       # without asking anybody");
  command->callback([&context] { context.action = [&context] { return do_version(context); }; });
}

}  // namespace

void add_cluster_commands(CLI::App& program, Context& context) {
  add_compact(program, context);
  add_status(program, context);
  add_members(program, context);
  add_member_command(program, context, [&context] { return do_members(context); });
  add_move_leader(program, context);
  add_alarm(program, context);
  add_version(program, context);
}

}  // namespace decree::cli
