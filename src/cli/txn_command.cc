// txn.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/text.h"
#include "cli/txn_text.h"

namespace decree::cli {

namespace {

using etcdserverpb::TxnResponse;

void write_response(const Context& context, const TxnResponse& response, const std::string& indent) {
  context.out << indent << (response.succeeded() ? "succeeded" : "not succeeded") << '\n';
  for (const etcdserverpb::ResponseOp& op : response.responses()) {
    if (op.has_response_range()) {
      const etcdserverpb::RangeResponse& range = op.response_range();
      if (range.kvs_size() == 0)
        context.out << indent << "get: " << range.count() << (range.count() == 1 ? " key\n" : " keys\n");
      for (const mvccpb::KeyValue& kv : range.kvs()) {
        context.out << indent << "get: " << printable(kv.key()) << '\t' << printable(kv.value()) << '\n';
      }
    } else if (op.has_response_put()) {
      context.out << indent << "put: ok";
      if (op.response_put().has_prev_kv())
        context.out << ", before: " << printable(op.response_put().prev_kv().value());
      context.out << '\n';
    } else if (op.has_response_delete_range()) {
      context.out << indent << "del: deleted " << op.response_delete_range().deleted() << '\n';
      for (const mvccpb::KeyValue& kv : op.response_delete_range().prev_kvs()) {
        context.out << indent << "del: " << printable(kv.key()) << '\t' << printable(kv.value()) << '\n';
      }
    } else if (op.has_response_txn()) {
      context.out << indent << "txn:\n";
      write_response(context, op.response_txn(), indent + "  ");
    }
  }
}

// etcdctl's dialogue: three blocks, each ended by an empty line.
std::string ask_for_blocks(const Context& context) {
  std::string text;
  for (const char* title :
       {"compares:", "success requests (get, put, del):", "failure requests (get, put, del):"}) {
    if (context.in_is_terminal) context.err << title << '\n';
    std::string line;
    while (std::getline(context.in, line) && !line.empty()) text += line + "\n";
    text += "\n";
  }
  return text;
}

int do_txn(const Context& context, const std::vector<std::string>& words, bool interactive) {
  context.endpoints();  // wrong flags are told BEFORE anything is read
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  if (interactive) {
    if (!words.empty())
      throw UsageError{"-i reads the transaction from standard input, so none may be given as arguments"};
    text = ask_for_blocks(context);
  } else if (words.empty() || (words.size() == 1 && words.front() == "-")) {
    text = context.in_is_terminal ? ask_for_blocks(context) : context.read_stdin();
  }
  Result<etcdserverpb::TxnRequest> request = parse_txn(text);
  if (!request) throw UsageError{request.error().message};
  const auto answer = context.connect().txn(*request);
  if (!answer.ok()) return context.failed("txn", answer.status);
  if (context.json()) {
    context.write_json(answer.value);
  } else {
    write_response(context, answer.value, "");
  }
  return answer.value.succeeded() ? exit_ok : exit_negative;
}

}  // namespace

void add_txn_command(CLI::App& program, Context& context) {
  CLI::App* command = program.add_subcommand("txn", "Compare and change several keys in one atomic step");
  auto words = std::make_shared<std::vector<std::string>>();
  auto interactive = std::make_shared<bool>(false);
  command->add_option("TEXT", *words, "the transaction; left out or - : from standard input");
  command->add_flag("-i,--interactive", *interactive, "read etcdctl's three blocks from standard input");
  command->footer(std::string(txn_language_help) +
                  "\n"
                  "Exit code 1: the conditions did not hold (the \"else\" part ran).\n"
                  "\n"
                  "Examples:\n"
                  "  decree txn 'if missing(lock) then put lock me else get lock'\n"
                  "  decree txn 'if mod(config/a) = 17 then put config/a \"new value\"'\n"
                  "  decree txn 'then put a 1; put b 2; del old/ prefix'\n"
                  "  printf 'mod(\"key1\") > \"0\"\\n\\nput key1 x\\n\\nget key1\\n\\n' | decree txn");
  command->callback([&context, words, interactive] {
    context.action = [&context, words, interactive] { return do_txn(context, *words, *interactive); };
  });
}

}  // namespace decree::cli
