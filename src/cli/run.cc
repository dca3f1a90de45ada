#include "cli/run.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "cli/context.h"
#include "cli/text.h"
#include "cli/version.h"
#include "client/endpoint.h"

namespace decree::cli {

namespace {

const char* const program_footer =
    "Examples:\n"
    "  decree put greeting hello\n"
    "  decree get greeting\n"
    "  decree get config/ --prefix --keys-only\n"
    "  decree txn 'if missing(lock) then put lock me else get lock'\n"
    "  decree --endpoints 127.0.0.1:2379,127.0.0.1:22379 status\n"
    "  decree COMMAND --help\n"
    "\n"
    "Exit codes:\n"
    "  0  done\n"
    "  1  served, and the answer is no: key not found, nothing deleted, a txn's condition false\n"
    "  2  wrong flags or arguments\n"
    "  3  no endpoint could serve it; nothing was changed\n"
    "  4  unknown outcome: a change was sent, no answer came; it may or may not have been done\n"
    "  5  refused by the server: compacted revision, full store, missing rights, ...\n"
    "  6  a local failure: unreadable input, broken output";

std::string default_endpoints() {
  for (const char* name : {"DECREE_ENDPOINTS", "ETCDCTL_ENDPOINTS"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "127.0.0.1:2379";
}

void add_global_flags(CLI::App& app, Context& context) {
  app.add_option(
         "--endpoints", context.endpoints_text,
         "host:port of members, separated by commas (environment: DECREE_ENDPOINTS, ETCDCTL_ENDPOINTS)")
      ->default_str(context.endpoints_text);
  app.add_option("--timeout", context.timeout_text, "time for the whole command, as in 500ms, 5s, 2m")
      ->default_str("5s");
  app.add_option_function<std::string>(
         "-w,--write-out",
         [&context](const std::string& name) {
           context.format = name == "json" ? Format::json : Format::simple;
         },
         "simple or json")
      ->check(CLI::IsMember({"simple", "json"}));
  app.set_version_flag("--version", fmt::format("decree {}", program_version));
}

// CLI11 says what is wrong, we say it in one line and how to go on.
int usage_error(const Context& context, const CLI::App& app, std::string sentence) {
  while (!sentence.empty() && (sentence.back() == '\n' || sentence.back() == '.')) sentence.pop_back();
  for (char& c : sentence) {
    if (c == '\n') c = ' ';
  }
  std::string command = "decree";
  for (const CLI::App* sub : app.get_subcommands()) {
    command += " " + sub->get_name();
    for (const CLI::App* deeper : sub->get_subcommands()) command += " " + deeper->get_name();
  }
  context.err << "decree: " << sentence << ". See `" << command << " --help`.\n";
  return exit_usage;
}

int parse_and_act(CLI::App& app, Context& context, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 pops from the back
  try {
    app.parse(std::move(arguments));
    if (!context.action) return usage_error(context, app, "a command is missing");
    return context.action();
  } catch (const CLI::CallForHelp&) {
    const CLI::App* chosen = &app;
    std::string before;
    while (!chosen->get_subcommands().empty()) {
      before += (before.empty() ? "" : " ") + chosen->get_name();
      chosen = chosen->get_subcommands().front();
    }
    context.out << chosen->help(before);
    if (chosen != &app)
      context.out << "\nFor every command: --endpoints, --timeout, -w json; see `decree --help`.\n";
    return exit_ok;
  } catch (const CLI::CallForVersion& e) {
    context.out << e.what() << '\n';
    return exit_ok;
  } catch (const CLI::ExtrasError& e) {
    if (!app.get_subcommands().empty()) return usage_error(context, app, e.what());
    const std::vector<std::string> left = app.remaining();
    return usage_error(
        context, app, fmt::format("there is no command \"{}\"", left.empty() ? "" : printable(left.front())));
  } catch (const CLI::ParseError& e) {
    return usage_error(context, app, e.what());
  } catch (const UsageError& e) {
    return usage_error(context, app, e.sentence);
  }
}

}  // namespace

std::vector<net::HostPort> Context::endpoints() const {
  Result<std::vector<net::HostPort>> parsed = client::parse_endpoints(endpoints_text);
  if (!parsed) throw UsageError{parsed.error().message};
  return std::move(parsed).value();
}

client::EtcdClient Context::connect_to_members() const {
  std::vector<net::HostPort> known = endpoints();
  const auto members = connect().member_list();
  if (!members.ok()) return {std::move(known), timeout()};
  for (const etcdserverpb::Member& member : members.value.members()) {
    if (member.clienturls().empty()) continue;
    Result<net::HostPort> parsed = client::parse_endpoint(member.clienturls(0));
    const auto same = [&](const net::HostPort& e) {
      return e.host == parsed->host && e.port == parsed->port;
    };
    if (parsed && std::none_of(known.begin(), known.end(), same)) known.push_back(*parsed);
  }
  return {std::move(known), timeout()};
}

std::chrono::milliseconds Context::timeout() const {
  Result<std::chrono::milliseconds> parsed = parse_duration(timeout_text);
  if (!parsed) throw UsageError{"--timeout: " + parsed.error().message};
  if (parsed->count() == 0) throw UsageError{"--timeout must be more than nothing"};
  return *parsed;
}

std::string json_of(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : "{}";
}

void Context::write_json(const google::protobuf::Message& message) const { out << json_of(message) << '\n'; }

int Context::failed(std::string_view what, const client::Status& status) const {
  const std::string text =
      printable(status.message.empty() ? std::string_view(client::code_name(status.code)) : status.message);
  if (status.fate == client::Fate::unknown) {
    err << fmt::format(
        "decree: {}: outcome unknown: it may or may not have been done ({}). Read the key before trying "
        "again.\n",
        what, text);
    return exit_unknown;
  }
  err << fmt::format("decree: {}: {}\n", what, text);
  const bool unavailable = status.code == client::Code::unavailable ||
                           status.code == client::Code::deadline_exceeded ||
                           status.code == client::Code::canceled;
  return unavailable ? exit_unavailable : exit_refused;
}

std::string Context::read_stdin() const {
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw UsageError{"standard input cannot be read"};
  return text;
}

int run(const std::vector<std::string>& arguments, const Streams& streams) {
  Context context{streams.out, streams.err, streams.in};
  context.out_is_terminal = streams.out_is_terminal;
  context.in_is_terminal = streams.in_is_terminal;
  context.err_is_terminal = streams.err_is_terminal;
  context.endpoints_text = default_endpoints();
  CLI::App app{"The client of Decree: a replicated key-value store that speaks the etcd v3 API.", "decree"};
  app.footer(program_footer);
  app.fallthrough();
  app.require_subcommand(0, 1);
  add_global_flags(app, context);
  add_kv_commands(app, context);
  add_txn_command(app, context);
  add_cluster_commands(app, context);
  add_explain_command(app, context);
  add_snapshot_commands(app, context);
  add_recover_command(app, context);
  add_bench_command(app, context);
  int code = parse_and_act(app, context, arguments);
  streams.out.flush();
  if (!streams.out && code == exit_ok) {
    streams.err << "decree: the output could not be written\n";
    code = exit_local;
  }
  return code;
}

}  // namespace decree::cli
