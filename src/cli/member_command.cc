// member add|remove|update|promote|list.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "cli/context.h"
#include "cli/text.h"

namespace decree::cli {

namespace {

uint64_t member_id(const std::string& text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error != std::errc{} || end != text.data() + text.size() || id == 0)
    throw UsageError{fmt::format("`{}` is not a member's id: `decree member list` shows them", text)};
  return id;
}

std::vector<std::string> split_urls(const std::string& text) {
  std::vector<std::string> urls;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) urls.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return urls;
}

template <class Response, class Tell>
int finish(const Context& context, std::string_view what, const client::Answer<Response>& answer, Tell tell) {
  if (!answer.ok()) return context.failed(what, answer.status);
  if (context.json())
    context.write_json(answer.value);
  else
    tell(answer.value);
  return exit_ok;
}

// How to start the new one, ready to be copied.
void tell_added(const Context& context, const std::string& name,
                const etcdserverpb::MemberAddResponse& added) {
  std::string cluster;
  std::string urls;
  for (const auto& m : added.members()) {
    const std::string& shown = m.id() == added.member().id() ? name : m.name();
    for (const std::string& url : m.peerurls())
      cluster += fmt::format("{}{}={}", cluster.empty() ? "" : ",", printable(shown), printable(url));
  }
  for (const std::string& url : added.member().peerurls()) urls += (urls.empty() ? "" : ",") + printable(url);
  context.out << fmt::format(
      "member {} added; start it now, it votes when it has caught up (a learner: when promoted):\n"
      "  decreed --name {} --initial-cluster-state existing \\\n"
      "    --initial-cluster {} \\\n"
      "    --initial-advertise-peer-urls {} --listen-peer-urls {} ...\n",
      hex(added.member().id()), printable(name), cluster, urls, urls);
}

void add_add(CLI::App& parent, Context& context) {
  CLI::App* command =
      parent.add_subcommand("add", "Add a member; it starts with --initial-cluster-state existing");
  auto name = std::make_shared<std::string>();
  auto urls = std::make_shared<std::string>();
  auto learner = std::make_shared<bool>(false);
  command->add_option("NAME", *name, "the name it will start with")->required();
  command->add_option("--peer-urls", *urls, "where the other members reach it, comma-separated")->required();
  command->add_flag("--learner", *learner, "stay a learner until promoted");
  command->footer(
      "Examples:\n"
      "  decree member add m4 --peer-urls http://10.0.0.4:2380\n"
      "  decree member add m5 --peer-urls http://10.0.0.5:2380 --learner");
  command->callback([&context, name, urls, learner] {
    context.action = [&context, name, urls, learner] {
      etcdserverpb::MemberAddRequest request;
      for (const std::string& url : split_urls(*urls)) request.add_peerurls(url);
      request.set_islearner(*learner);
      return finish(context, "member add", context.connect().member_add(request),
                    [&](const auto& added) { tell_added(context, *name, added); });
    };
  });
}

void add_remove(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("remove", "Remove a member for good");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `decree member list` shows it")->required();
  command->footer("Examples:\n  decree member remove 8e9e05c52164694d");
  command->callback([&context, id] {
    context.action = [&context, id] {
      etcdserverpb::MemberRemoveRequest request;
      request.set_id(member_id(*id));
      return finish(
          context, "member remove", context.connect().member_remove(request), [&](const auto& left) {
            context.out << fmt::format("member {} removed, {} members left\n", *id, left.members_size());
          });
    };
  });
}

void add_update(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("update", "Change where the other members reach a member");
  auto id = std::make_shared<std::string>();
  auto urls = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `decree member list` shows it")->required();
  command->add_option("--peer-urls", *urls, "the new ones, comma-separated")->required();
  command->footer("Examples:\n  decree member update 8e9e05c52164694d --peer-urls http://10.0.0.9:2380");
  command->callback([&context, id, urls] {
    context.action = [&context, id, urls] {
      etcdserverpb::MemberUpdateRequest request;
      request.set_id(member_id(*id));
      for (const std::string& url : split_urls(*urls)) request.add_peerurls(url);
      return finish(context, "member update", context.connect().member_update(request),
                    [&](const auto&) { context.out << fmt::format("member {} updated\n", *id); });
    };
  });
}

void add_promote(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("promote", "Let a learner that has caught up vote");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `decree member list` shows it")->required();
  command->footer("Examples:\n  decree member promote 8e9e05c52164694d");
  command->callback([&context, id] {
    context.action = [&context, id] {
      etcdserverpb::MemberPromoteRequest request;
      request.set_id(member_id(*id));
      return finish(context, "member promote", context.connect().member_promote(request),
                    [&](const auto&) { context.out << fmt::format("member {} votes now\n", *id); });
    };
  });
}

}  // namespace

void add_member_command(CLI::App& program, Context& context, const std::function<int()>& list) {
  CLI::App* command = program.add_subcommand("member", "Add, remove, move, promote or list members");
  command->require_subcommand(1);
  add_add(*command, context);
  add_remove(*command, context);
  add_update(*command, context);
  add_promote(*command, context);
  CLI::App* listing = command->add_subcommand("list", "List the members of the cluster");
  listing->callback([&context, list] { context.action = list; });
}

}  // namespace decree::cli
