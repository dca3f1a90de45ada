// What every command of `decree` shares: the flags before it, the client, the ways to say how it went.
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_code.h"
#include "client/etcd_client.h"

namespace CLI {
class App;
}
namespace google::protobuf {
class Message;
}

namespace decree::cli {

// The API's JSON: bytes in base64, 64-bit numbers as strings, zero values left out.
std::string json_of(const google::protobuf::Message& message);

enum class Format : uint8_t { simple, json };

// A wrong use that the flag parser cannot see. Thrown inside a command, caught by run(); ends with
// exit_usage.
struct UsageError {
  std::string sentence;
};

struct Context {
  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  bool out_is_terminal = false;
  bool in_is_terminal = false;
  bool err_is_terminal = false;

  std::string endpoints_text;
  std::string timeout_text = "5s";
  Format format = Format::simple;

  // Set by the command that was chosen; run() calls it after parsing.
  std::function<int()> action;

  // Both end with UsageError when the flag's text is wrong.
  std::vector<net::HostPort> endpoints() const;
  std::chrono::milliseconds timeout() const;
  client::EtcdClient connect() const { return client::EtcdClient(endpoints(), timeout()); }
  // To the endpoints given, and to every member that they know of.
  client::EtcdClient connect_to_members() const;

  bool json() const { return format == Format::json; }
  void write_json(const google::protobuf::Message& message) const;
  // One line to stderr, and the exit code that belongs to the status. `what` as in "put".
  int failed(std::string_view what, const client::Status& status) const;
  std::string read_stdin() const;
};

// Each adds its commands to the program.
void add_kv_commands(CLI::App& program, Context& context);
void add_txn_command(CLI::App& program, Context& context);
void add_member_command(CLI::App& program, Context& context, const std::function<int()>& list);
void add_cluster_commands(CLI::App& program, Context& context);
void add_explain_command(CLI::App& program, Context& context);
void add_snapshot_commands(CLI::App& program, Context& context);
void add_recover_command(CLI::App& program, Context& context);
void add_bench_command(CLI::App& program, Context& context);

// Parts of an answer in simple form; get and txn share them.
void write_pairs(const Context& context, const etcdserverpb::RangeResponse& response, bool keys_only,
                 bool detail);

}  // namespace decree::cli
