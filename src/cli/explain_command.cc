// explain slot|key|revision: what happened in a slot, from all members.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/explain_story.h"
#include "cli/flag_checks.h"
#include "cli/text.h"

namespace decree::cli {

namespace {

using explain::SlotRequest;
using explain::SlotResponse;

std::string milliseconds_text(int64_t us) {
  return fmt::format("{}{}.{:03}", us < 0 ? "-" : "", std::abs(us) / 1000, std::abs(us) % 1000);
}

struct Asked {
  std::vector<SlotResponse> answers;
  std::vector<std::string> silent;
  client::Status failure;
};

// An endpoint may be another name of a member that answered already.
Asked ask(client::EtcdClient& client, const SlotRequest& request) {
  Asked asked;
  const auto answers = client.explain_of_all(request);
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      asked.failure = answers[i].status;
      asked.silent.push_back(client.endpoint_name(i));
      continue;
    }
    const SlotResponse& answer = answers[i].value;
    const auto known = [&](const SlotResponse& a) { return a.member_id() == answer.member_id(); };
    if (std::none_of(asked.answers.begin(), asked.answers.end(), known)) asked.answers.push_back(answer);
  }
  return asked;
}

std::string request_line(const Context&, const explain::Story& story) {
  if (story.request_node() == 0 || story.request_seq() == 0) return "of the leader itself";
  std::string line =
      fmt::format("request {}/{:x}/{}", story.request_node(), story.request_boot(), story.request_seq());
  if (!story.client().empty()) line += fmt::format(" of client {}", printable(story.client()));
  return line;
}

void write_story(const Context& context, const explain::Story& story,
                 const std::vector<std::string>& silent) {
  context.out << fmt::format("slot {}: {}, {} bytes, {}", story.slot(), printable(story.what()),
                             story.payload_bytes(), request_line(context, story));
  if (story.revision() != 0) context.out << fmt::format(", revision {}", story.revision());
  context.out << '\n';
  if (story.has_ballot())
    context.out << fmt::format("decided at ballot epoch {} round {} of {}\n", story.ballot().epoch(),
                               story.ballot().round(), printable(story.proposer()));
  std::vector<std::vector<std::string>> rows = {{"TIME (ms)", "+/-", "MEMBER", "WHAT"}};
  for (const explain::Event& e : story.events())
    rows.push_back({(e.at_least() ? ">= " : "") + milliseconds_text(e.at_us()),
                    e.uncertainty_us() == 0 ? "" : milliseconds_text(e.uncertainty_us()),
                    printable(e.member()), printable(e.what())});
  if (rows.size() > 1) context.out << table(rows);
  for (const std::string& note : story.notes()) context.out << "note: " << printable(note) << '\n';
  for (const std::string& endpoint : silent) context.out << "note: no answer from " << endpoint << '\n';
}

int explain_slot(const Context& context, client::EtcdClient& client, uint64_t slot) {
  SlotRequest request;
  request.set_slot(slot);
  const Asked asked = ask(client, request);
  if (asked.answers.empty()) return context.failed("explain", asked.failure);
  const explain::Story story = tell_story(asked.answers);
  if (context.json()) {
    context.write_json(story);
  } else if (story.slot() != 0) {
    write_story(context, story, asked.silent);
  } else {
    uint64_t decided = 0;
    for (const SlotResponse& a : asked.answers) decided = std::max(decided, a.decided());
    if (slot > decided)
      context.out << fmt::format("slot {} is not decided yet: the log is at slot {}\n", slot, decided);
    else
      context.out << fmt::format(
          "slot {} is decided and applied, but no member remembers it: neither in its history "
          "(--explain-slots of decreed) nor in its log, which a snapshot has replaced\n",
          slot);
  }
  return story.slot() != 0 ? exit_ok : exit_negative;
}

int explain_revision(const Context& context, client::EtcdClient& client, int64_t revision) {
  SlotRequest request;
  request.set_revision(revision);
  const Asked asked = ask(client, request);
  if (asked.answers.empty()) return context.failed("explain", asked.failure);
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  for (const SlotResponse& a : asked.answers) {
    if (a.slot() != 0) return explain_slot(context, client, a.slot());
    if (a.last_candidate() == 0) continue;
    first = std::max(first, a.first_candidate());
    last = std::min(last, a.last_candidate());
  }
  if (first != 0 && first == last) return explain_slot(context, client, first);
  if (context.json()) {
    explain::Story nothing;
    for (const SlotResponse& a : asked.answers) *nothing.add_answers() = a;
    context.write_json(nothing);
  } else if (first == 0) {
    context.out << fmt::format("revision {} is not made yet\n", revision);
  } else {
    context.out << fmt::format(
        "revision {} was made in one of the slots {} to {}; no member's history reaches back so far "
        "(--explain-slots of decreed). `decree explain slot N` tells what the logs still hold\n",
        revision, first, last);
  }
  return exit_negative;
}

int explain_key(const Context& context, const std::string& key, int64_t revision) {
  if (key.empty()) throw UsageError{"the key must not be empty"};
  etcdserverpb::RangeRequest range;
  range.set_key(key);
  range.set_revision(revision);
  range.set_keys_only(true);
  const auto found = context.connect().range(range);
  if (!found.ok()) return context.failed("explain", found.status);
  if (found.value.kvs().empty()) {
    context.err << fmt::format(
        "decree: explain: key \"{}\" does not exist{}; of a deletion, give the revision or the slot\n",
        printable(key), revision == 0 ? "" : fmt::format(" at revision {}", revision));
    return exit_negative;
  }
  client::EtcdClient client = context.connect_to_members();
  return explain_revision(context, client, found.value.kvs(0).mod_revision());
}

void add_number(CLI::App& parent, Context& context, const std::string& name, const std::string& text,
                const std::function<int(client::EtcdClient&, int64_t)>& act) {
  CLI::App* command = parent.add_subcommand(name, text);
  auto number = std::make_shared<int64_t>(0);
  command->add_option("N", *number, "its number")->required()->check(whole_number(1));
  command->footer(fmt::format("Examples:\n  decree explain {} 42", name));
  command->callback([&context, number, act] {
    context.action = [&context, number, act] {
      client::EtcdClient client = context.connect_to_members();
      return act(client, *number);
    };
  });
}

}  // namespace

void add_explain_command(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand(
      "explain",
      "Tell what happened in a slot of the log: who proposed it, who voted when, when it was final");
  command->require_subcommand(1);
  add_number(*command, context, "slot", "By slot", [&context](client::EtcdClient& client, int64_t slot) {
    return explain_slot(context, client, static_cast<uint64_t>(slot));
  });
  add_number(*command, context, "revision", "By revision of the store",
             [&context](client::EtcdClient& client, int64_t revision) {
               return explain_revision(context, client, revision);
             });
  CLI::App* key = command->add_subcommand("key", "By key: its last change");
  auto name = std::make_shared<std::string>();
  auto revision = std::make_shared<int64_t>(0);
  key->add_option("KEY", *name, "the key")->required();
  key->add_option("--rev", *revision, "its last change at this revision or before")->check(whole_number(1));
  key->footer("Examples:\n  decree explain key greeting\n  decree explain key greeting --rev 42");
  key->callback([&context, name, revision] {
    context.action = [&context, name, revision] { return explain_key(context, *name, *revision); };
  });
  command->footer(
      "Every member is asked; times are since the proposal, on the proposer's clock. Members remember the "
      "last\n"
      "slots only (--explain-slots of decreed). Exit code 1: nobody remembers it, or it is not decided yet.\n"
      "\n"
      "Examples:\n"
      "  decree explain key greeting\n"
      "  decree explain slot 123 -w json");
}

}  // namespace decree::cli
