// get, put, del.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/flag_checks.h"
#include "cli/text.h"

namespace decree::cli {

namespace {

using etcdserverpb::RangeRequest;

struct KeyRange {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;

  bool single() const { return range_end.empty() && !prefix && !from_key; }

  template <class Request>
  void fill(Request& request) const {
    if ((prefix && from_key) || ((prefix || from_key) && !range_end.empty())) {
      throw UsageError{"only one of RANGE_END, --prefix and --from-key can be given"};
    }
    if (key.empty() && single())
      throw UsageError{"the key must not be empty (\"\" with --prefix means every key)"};
    request.set_key(key.empty() ? std::string(1, '\0') : key);
    if (prefix) request.set_range_end(prefix_end(key));
    if (from_key) request.set_range_end(std::string(1, '\0'));
    if (!range_end.empty()) request.set_range_end(range_end);
  }
};

void add_range_flags(CLI::App& command, KeyRange& range) {
  command.add_option("KEY", range.key, "the key, or the first key of a range")->required();
  command.add_option("RANGE_END", range.range_end, "the first key behind the range");
  command.add_flag("--prefix", range.prefix, "every key that begins with KEY");
  command.add_flag("--from-key", range.from_key, "every key from KEY on");
}

// ---- get --------------------------------------------------------------------------------------

struct GetFlags {
  KeyRange range;
  int64_t revision = 0;
  int64_t limit = 0;
  std::string sort_by;
  std::string order;
  bool keys_only = false;
  bool count_only = false;
  bool serializable = false;
  bool detail = false;
};

RangeRequest range_request(const GetFlags& flags) {
  RangeRequest request;
  flags.range.fill(request);
  request.set_revision(flags.revision);
  request.set_limit(flags.limit);
  request.set_keys_only(flags.keys_only);
  request.set_count_only(flags.count_only);
  request.set_serializable(flags.serializable);
  if (flags.sort_by == "version") request.set_sort_target(RangeRequest::VERSION);
  if (flags.sort_by == "create") request.set_sort_target(RangeRequest::CREATE);
  if (flags.sort_by == "mod") request.set_sort_target(RangeRequest::MOD);
  if (flags.sort_by == "value") request.set_sort_target(RangeRequest::VALUE);
  if (!flags.sort_by.empty() || !flags.order.empty()) {
    request.set_sort_order(flags.order == "descend" ? RangeRequest::DESCEND : RangeRequest::ASCEND);
  }
  return request;
}

int do_get(const Context& context, const GetFlags& flags) {
  const RangeRequest request = range_request(flags);
  const auto answer = context.connect().range(request);
  if (!answer.ok()) return context.failed("get", answer.status);
  const etcdserverpb::RangeResponse& response = answer.value;
  if (context.json()) {
    context.write_json(response);
  } else if (flags.count_only) {
    context.out << response.count() << '\n';
  } else if (flags.range.single() && !flags.keys_only && !flags.detail) {
    // One value: its bytes as they are when another program reads them, one safe line for a person.
    for (const mvccpb::KeyValue& kv : response.kvs()) {
      context.out << (context.out_is_terminal ? printable(kv.value()) : kv.value()) << '\n';
    }
  } else {
    write_pairs(context, response, flags.keys_only, flags.detail);
  }
  if (flags.count_only || response.kvs_size() != 0) return exit_ok;
  if (!context.json()) {
    context.err << (flags.range.single()
                        ? fmt::format("decree: get: no key \"{}\"\n", printable(flags.range.key))
                        : std::string("decree: get: no key in that range\n"));
  }
  return exit_negative;
}

void add_get(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("get", "Read a key or a range of keys");
  auto flags = std::make_shared<GetFlags>();
  add_range_flags(*command, flags->range);
  command->add_option("--rev", flags->revision, "as of this revision")->check(whole_number(0));
  command->add_option("--limit", flags->limit, "at most so many keys")->check(whole_number(0));
  command->add_option("--sort-by", flags->sort_by, "key, version, create, mod or value")
      ->check(CLI::IsMember({"key", "version", "create", "mod", "value"}));
  command->add_option("--order", flags->order, "ascend or descend")
      ->check(CLI::IsMember({"ascend", "descend"}));
  command->add_flag("--keys-only", flags->keys_only, "no values");
  command->add_flag("--count-only", flags->count_only, "only how many keys there are");
  command->add_flag("--serializable", flags->serializable,
                    "from the member asked, without asking the others: faster, may be stale");
  command->add_flag("-l,--long", flags->detail, "with create and mod revision, version and lease");
  command->footer(
      "One key: its value (exact bytes, except on a terminal). A range: lines of KEY<TAB>VALUE, where\n"
      "control characters, broken UTF-8 and \\ appear as \\n, \\t, \\xNN, \\\\. Exit code 1: nothing found.\n"
      "\n"
      "Examples:\n"
      "  decree get greeting\n"
      "  decree get config/ --prefix --limit 10\n"
      "  decree get a d                         # a <= key < d\n"
      "  decree get \"\" --prefix --count-only    # how many keys there are\n"
      "  decree get greeting --rev 42           # as it was\n"
      "  decree get config/ --prefix --sort-by mod --order descend --limit 1 -l\n"
      "  decree get greeting -w json");
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return do_get(context, *flags); }; });
}

// ---- put --------------------------------------------------------------------------------------

struct PutFlags {
  std::string key;
  std::string value;
  bool has_value = false;
  std::string lease;
  bool previous = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};

int do_put(const Context& context, const PutFlags& flags) {
  etcdserverpb::PutRequest request;
  if (flags.key.empty()) throw UsageError{"the key must not be empty"};
  request.set_key(flags.key);
  if (!flags.lease.empty()) {
    Result<int64_t> id = parse_lease(flags.lease);
    if (!id) throw UsageError{"--lease: " + id.error().message};
    request.set_lease(*id);
  }
  request.set_prev_kv(flags.previous);
  request.set_ignore_value(flags.ignore_value);
  request.set_ignore_lease(flags.ignore_lease);
  if (flags.ignore_value) {
    if (flags.has_value) throw UsageError{"--ignore-value keeps the old value, so none may be given"};
  } else if (flags.has_value && flags.value != "-") {
    request.set_value(flags.value);
  } else {
    context.endpoints();  // wrong flags are told BEFORE a person types the value
    if (context.in_is_terminal)
      context.err << "decree: put: reading the value from the terminal, end with Ctrl-D\n";
    request.set_value(context.read_stdin());
  }
  const auto answer = context.connect().put(request);
  if (!answer.ok()) return context.failed("put", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
    return exit_ok;
  }
  context.out << "ok, revision " << answer.value.header().revision() << '\n';
  if (flags.previous && answer.value.has_prev_kv())
    context.out << "before: " << printable(answer.value.prev_kv().value()) << '\n';
  return exit_ok;
}

void add_put(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("put", "Write a key");
  auto flags = std::make_shared<PutFlags>();
  command->add_option("KEY", flags->key, "the key")->required();
  CLI::Option* value = command->add_option("VALUE", flags->value,
                                           "the value; left out or - : from standard input, to its end");
  command->add_option("--lease", flags->lease, "attach the key to this lease (hexadecimal id)");
  command->add_flag("--prev", flags->previous, "also show the value before");
  command->add_flag("--ignore-value", flags->ignore_value, "keep the value, change only the lease");
  command->add_flag("--ignore-lease", flags->ignore_lease, "keep the lease, change only the value");
  command->footer(
      "Examples:\n"
      "  decree put greeting hello\n"
      "  decree put greeting \"hello, world\" --prev\n"
      "  decree put config/app < app.yaml       # exact bytes of the file\n"
      "  decree put -- -strange-key value       # -- ends the flags");
  command->callback([&context, flags, value] {
    flags->has_value = value->count() != 0;
    context.action = [&context, flags] { return do_put(context, *flags); };
  });
}

// ---- del --------------------------------------------------------------------------------------

struct DelFlags {
  KeyRange range;
  bool previous = false;
};

int do_del(const Context& context, const DelFlags& flags) {
  etcdserverpb::DeleteRangeRequest request;
  flags.range.fill(request);
  request.set_prev_kv(flags.previous);
  const auto answer = context.connect().delete_range(request);
  if (!answer.ok()) return context.failed("del", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
  } else {
    context.out << "deleted " << answer.value.deleted() << '\n';
    for (const mvccpb::KeyValue& kv : answer.value.prev_kvs()) {
      context.out << printable(kv.key()) << '\t' << printable(kv.value()) << '\n';
    }
  }
  return answer.value.deleted() == 0 ? exit_negative : exit_ok;
}

void add_del(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("del", "Delete a key or a range of keys");
  auto flags = std::make_shared<DelFlags>();
  add_range_flags(*command, flags->range);
  command->add_flag("--prev", flags->previous, "also show what was deleted");
  command->footer(
      "Exit code 1: there was nothing to delete.\n"
      "\n"
      "Examples:\n"
      "  decree del greeting\n"
      "  decree del config/ --prefix\n"
      "  decree del a d --prev                  # a <= key < d");
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return do_del(context, *flags); }; });
}

}  // namespace

void write_pairs(const Context& context, const etcdserverpb::RangeResponse& response, bool keys_only,
                 bool detail) {
  for (const mvccpb::KeyValue& kv : response.kvs()) {
    context.out << printable(kv.key());
    if (!keys_only) context.out << '\t' << printable(kv.value());
    if (detail) {
      context.out << fmt::format("\tcreated {} modified {} version {}", kv.create_revision(),
                                 kv.mod_revision(), kv.version());
      if (kv.lease() != 0) context.out << " lease " << hex(static_cast<uint64_t>(kv.lease()));
    }
    context.out << '\n';
  }
}

void add_kv_commands(CLI::App& program, Context& context) {
  add_get(program, context);
  add_put(program, context);
  add_del(program, context);
}

}  // namespace decree::cli
