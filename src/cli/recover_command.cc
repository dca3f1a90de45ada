// recover: a new cluster of one member from the data directories that are left of an old one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/context.h"
#include "cli/flag_checks.h"
#include "cli/text.h"
#include "server/config.h"
#include "server/recovery.h"
#include "storage/posix_file_system.h"

namespace decree::cli {

namespace {

constexpr int64_t default_revision_bump = 1'000'000'000;

struct RecoverFlags {
  std::vector<std::string> directories;
  std::string name;
  std::string data_dir;
  std::string advertise;
  std::string token;
  int64_t bump = default_revision_bump;
  bool yes = false;
};

int local_failure(const Context& context, const Error& error) {
  context.err << "decree: recover: " << printable(error.message) << '\n';
  return exit_local;
}

server::Config config_of(const RecoverFlags& flags) {
  if (flags.name.empty() || flags.data_dir.empty() || flags.advertise.empty() || flags.token.empty())
    throw UsageError{
        "--yes-lose-what-is-missing needs --name, --data-dir, --initial-advertise-peer-urls and a new "
        "--initial-cluster-token"};
  // decreed's own reading of these flags: what it would refuse at the start is refused here.
  const std::vector<std::string> arguments = {"--name",
                                              flags.name,
                                              "--data-dir",
                                              flags.data_dir,
                                              "--initial-advertise-peer-urls",
                                              flags.advertise,
                                              "--initial-cluster-token",
                                              flags.token};
  Result<server::ConfigRequest> config =
      server::parse_config(arguments, [](const std::string&) { return std::optional<std::string>(); });
  if (!config) throw UsageError{config.error().message};
  return *config->config;
}

int do_recover(const Context& context, const RecoverFlags& flags) {
  std::optional<server::Config> config;
  if (flags.yes) config = config_of(flags);
  const std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  Result<server::RecoveryPlan> plan = server::plan_recovery(*files, flags.directories);
  if (!plan) return local_failure(context, plan.error());
  for (const std::string& line : server::describe(*plan)) context.out << printable(line) << '\n';
  if (!config) {
    context.out << "Nothing was changed. To go on with this: --yes-lose-what-is-missing and the new member's "
                   "flags.\n";
    return exit_negative;
  }
  Result<server::BackupFacts> facts = server::recover_cluster(*files, *plan, *config, flags.bump);
  if (!facts) return local_failure(context, facts.error());
  context.out << fmt::format(
      "recovered {} keys at revision {} into {}\n"
      "Start it with the same --name, --data-dir, --initial-advertise-peer-urls and --initial-cluster-token, "
      "then add\n"
      "members with `decree member add`. Never start a member of the old cluster again.\n",
      facts->keys, facts->revision, printable(flags.data_dir));
  return exit_ok;
}

}  // namespace

void add_recover_command(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("recover",
                                             "A quorum is lost for good: show what the data directories that "
                                             "are left hold, and make a new cluster of it");
  auto flags = std::make_shared<RecoverFlags>();
  command->add_option("DIR", flags->directories, "data directories of the old cluster, as many as are left")
      ->required();
  command->add_flag("--yes-lose-what-is-missing", flags->yes,
                    "act; without it the command only shows what it would do");
  command->add_option("--name", flags->name, "of the new cluster's only member");
  command->add_option("--data-dir", flags->data_dir, "absent or empty; will be this member's");
  command->add_option("--initial-advertise-peer-urls", flags->advertise, "as for decreed");
  command->add_option("--initial-cluster-token", flags->token,
                      "a new one: keeps the old cluster's members out");
  command
      ->add_option("--bump-revision", flags->bump,
                   "revisions go on so much later and all before is compacted, so that no client sees a "
                   "revision twice")
      ->check(whole_number(0))
      ->capture_default_str();
  command->footer(
      "No network, no running server; the old directories are only read. Give ALL that are left: a write "
      "that only one of\n"
      "them holds is found there. Without --yes-lose-what-is-missing the answer is always 1.\n"
      "\n"
      "Examples:\n"
      "  decree recover b.decree c.decree\n"
      "  decree recover b.decree c.decree --yes-lose-what-is-missing --name d --data-dir d.decree \\\n"
      "    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster-token after-the-flood");
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return do_recover(context, *flags); }; });
}

}  // namespace decree::cli
