// snapshot save, status, restore: backups of a cluster's state in a file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/context.h"
#include "cli/flag_checks.h"
#include "cli/text.h"
#include "client/snapshot_stream.h"
#include "server/backup.h"
#include "server/config.h"
#include "storage/posix_file_system.h"

namespace decree::cli {

namespace {

// Far more revisions than a cluster makes between its last backup and its end.
constexpr int64_t default_bump = 1'000'000'000;

int local_failure(const Context& context, const std::string& what, const Error& error) {
  context.err << "decree: " << what << ": " << error.message << '\n';
  return exit_local;
}

void write_facts(const Context& context, const std::string& path, const server::BackupFacts& facts) {
  if (context.json()) {
    context.out << fmt::format(
        "{{\"file\":\"{}\",\"bytes\":{},\"revision\":{},\"compactRevision\":{},\"totalKey\":{},\"versions\":{"
        "},"
        "\"stateBytes\":{},\"hashKv\":{}}}\n",
        path, facts.file_bytes, facts.revision, facts.compacted_revision, facts.keys, facts.versions,
        facts.state_bytes, facts.hash_kv);
    return;
  }
  context.out << table(
      {{"FILE", "SIZE", "REVISION", "KEYS", "VERSIONS", "HASH"},
       {printable(path), human_bytes(static_cast<int64_t>(facts.file_bytes)), std::to_string(facts.revision),
        std::to_string(facts.keys), std::to_string(facts.versions), fmt::format("{:08x}", facts.hash_kv)}});
}

// Under another name until it is whole, verified and durable: a file of the name that was asked for is good.
int do_save(const Context& context, const std::string& path) {
  const std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  const std::string part = path + ".part";
  [[maybe_unused]] const Result<void> stale = files->unlink(part);
  Result<std::unique_ptr<storage::File>> file = files->open(part, storage::OpenMode::create);
  if (!file) return local_failure(context, "snapshot save", file.error());
  uint64_t offset = 0;
  const client::Status status = client::receive_snapshot(
      context.endpoints(), context.timeout(), [&](const auto& piece) -> Result<void> {
        if (Result<void> written = (*file)->write(offset, piece.blob()); !written) return written.error();
        offset += piece.blob().size();
        if (context.err_is_terminal)
          context.err << fmt::format("\r{} received ", human_bytes(static_cast<int64_t>(offset)));
        return {};
      });
  if (context.err_is_terminal) context.err << '\n';
  Result<void> synced = (*file)->sync();
  file->reset();
  if (!status.ok() || !synced) {
    [[maybe_unused]] const Result<void> removed = files->unlink(part);
    if (!status.ok() && status.code != client::Code::aborted) return context.failed("snapshot save", status);
    return local_failure(context, "snapshot save",
                         synced ? Error{ErrorCode::io, status.message} : synced.error());
  }
  Result<server::BackupFacts> facts = server::inspect_backup(*files, part);
  if (!facts) return local_failure(context, "snapshot save", facts.error());
  Result<void> named = files->rename(part, path);
  if (named) named = files->sync_directory(storage::parent_path(path));
  if (!named) return local_failure(context, "snapshot save", named.error());
  write_facts(context, path, *facts);
  return exit_ok;
}

int do_status(const Context& context, const std::string& path) {
  const std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  Result<server::BackupFacts> facts = server::inspect_backup(*files, path);
  if (!facts) return local_failure(context, "snapshot status", facts.error());
  write_facts(context, path, *facts);
  return exit_ok;
}

struct RestoreFlags {
  std::string file;
  std::string name;
  std::string data_dir;
  std::string initial_cluster;
  std::string token;
  std::string advertise;
  int64_t bump = default_bump;
};

int do_restore(const Context& context, const RestoreFlags& flags) {
  // decreed's own reading of these flags: what it would refuse at the start is refused here.
  std::vector<std::string> arguments = {"--name", flags.name, "--data-dir", flags.data_dir};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
  };
  add("--initial-cluster", flags.initial_cluster);
  add("--initial-cluster-token", flags.token);
  add("--initial-advertise-peer-urls", flags.advertise);
  Result<server::ConfigRequest> config =
      server::parse_config(arguments, [](const std::string&) { return std::optional<std::string>(); });
  if (!config) throw UsageError{config.error().message};
  const std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  Result<server::BackupFacts> facts = server::restore_backup(*files, *config->config, flags.file, flags.bump);
  if (!facts) return local_failure(context, "snapshot restore", facts.error());
  if (context.json()) {
    write_facts(context, flags.file, *facts);
    return exit_ok;
  }
  context.out << fmt::format(
      "restored {} keys at revision {} into {}\n"
      "Restore every member of the new cluster from the same file, then start them all with the same\n"
      "--initial-cluster and --initial-cluster-token.\n",
      facts->keys, facts->revision, printable(flags.data_dir));
  return exit_ok;
}

void add_save(CLI::App& group, Context& context) {
  CLI::App* command =
      group.add_subcommand("save", "Write the state of a member that is up to date into a file");
  auto path = std::make_shared<std::string>();
  command->add_option("FILE", *path, "made under FILE.part, renamed when whole and verified")->required();
  command->footer(
      "Holds every change acknowledged before the command began. --timeout bounds the time without "
      "progress.\n"
      "\n"
      "Examples:\n"
      "  decree snapshot save backup.decree\n"
      "  decree --endpoints 127.0.0.1:2379 --timeout 30s snapshot save /var/backups/monday.decree");
  command->callback(
      [&context, path] { context.action = [&context, path] { return do_save(context, *path); }; });
}

void add_backup_status(CLI::App& group, Context& context) {
  CLI::App* command = group.add_subcommand("status", "Verify a backup file and tell what is in it");
  auto path = std::make_shared<std::string>();
  command->add_option("FILE", *path)->required();
  command->footer(
      "Every checksum is verified. HASH is etcd's HashKV over the state.\n"
      "\n"
      "Examples:\n"
      "  decree snapshot status backup.decree\n"
      "  decree -w json snapshot status backup.decree");
  command->callback(
      [&context, path] { context.action = [&context, path] { return do_status(context, *path); }; });
}

void add_restore(CLI::App& group, Context& context) {
  CLI::App* command =
      group.add_subcommand("restore", "Make the data directory of one member of a NEW cluster from a backup");
  auto flags = std::make_shared<RestoreFlags>();
  command->add_option("FILE", flags->file)->required();
  command->add_option("--name", flags->name, "of this member")->required();
  command->add_option("--data-dir", flags->data_dir, "absent or empty; will be this member's")->required();
  command->add_option("--initial-cluster", flags->initial_cluster, "as for decreed: name=url,name=url,...")
      ->required();
  command->add_option("--initial-cluster-token", flags->token,
                      "as for decreed; a new one keeps the old cluster's members out");
  command->add_option("--initial-advertise-peer-urls", flags->advertise, "as for decreed");
  command
      ->add_option(
          "--bump-revision", flags->bump,
          "revisions go on so much later and all before is compacted, so that no client sees a revision "
          "twice; the same for every member")
      ->check(whole_number(0))
      ->capture_default_str();
  command->footer(
      "No network, no running server. The old cluster's members must stay down or apart.\n"
      "\n"
      "Examples:\n"
      "  decree snapshot restore backup.decree --name a --data-dir a.decree \\\n"
      "    --initial-cluster a=http://127.0.0.1:2380,b=http://127.0.0.1:22380,c=http://127.0.0.1:32380 \\\n"
      "    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster-token after-the-fire");
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return do_restore(context, *flags); }; });
}

}  // namespace

void add_snapshot_commands(CLI::App& program, Context& context) {
  CLI::App* group = program.add_subcommand("snapshot", "Backups: save, status, restore");
  group->require_subcommand(1);
  add_save(*group, context);
  add_backup_status(*group, context);
  add_restore(*group, context);
}

}  // namespace decree::cli
