#include "transport/join.h"

#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include "transport/peer_connection.h"

namespace decree::transport {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kDial{1000};
constexpr milliseconds kAnswer{2000};
constexpr milliseconds kPause{200};

// One contact asked once. Outlives its connection's last call because the connection is destroyed first.
class Asking final : public PeerConnectionOwner {
 public:
  Asking(net::EventLoop& loop, const JoinQuestion& question, const net::HostPort& contact) {
    Hello hello;
    hello.purpose = Purpose::join;
    hello.name = question.name;
    hello.peer_urls = question.own_urls;
    net::connect_tcp(loop, contact, kDial,
                     [this, hello, life = alive_](Result<std::shared_ptr<net::Connection>> c) {
                       if (!*life) return;
                       if (!c) {
                         problem = c.error().message;
                         over = true;
                         return;
                       }
                       connection_ = std::make_unique<PeerConnection>(*this, std::move(c).value(), hello);
                     });
  }
  ~Asking() override {
    *alive_ = false;
    if (connection_ != nullptr) connection_->close("asked");
  }

  void on_hello(PeerConnection&, const Hello&) override {}
  void on_welcome(PeerConnection&, const Hello& hello) override {
    JoinAnswer got;
    got.cluster = hello.cluster;
    got.told_by = hello.name;
    got.from = hello.from;
    got.incarnation = hello.from_incarnation;
    if (decode_membership(hello.membership, &got.membership))
      answer = std::move(got);
    else
      problem = "member " + hello.name + " does not know how to let a new member in: upgrade it first";
    over = true;
  }
  void on_refused(PeerConnection&, const Refusal& refusal) override {
    problem = refusal.reason;
    over = true;
  }
  void on_peer_message(PeerConnection&, uint32_t, Message) override {}
  void on_garbage(PeerConnection&, const std::string& what) override { problem = what; }
  void on_gone(PeerConnection&, const std::string& reason) override {
    if (problem.empty()) problem = reason;
    over = true;
  }

  bool over = false;
  std::string problem;
  std::optional<JoinAnswer> answer;

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<PeerConnection> connection_;
};

Result<net::HostPort> address_of(const std::string& url) {
  std::string_view rest = url;
  if (const size_t scheme = rest.find("://"); scheme != std::string_view::npos)
    rest.remove_prefix(scheme + 3);
  return net::parse_host_port(rest.substr(0, rest.find('/')));
}

// Turns the loop until the contact has answered or `until` has come.
void wait_for(net::EventLoop& loop, const Asking& asking, Clock::time_point until) {
  while (!asking.over && Clock::now() < until) {
    loop.flush();
    loop.wait(milliseconds(50));
  }
}

}  // namespace

std::vector<JoinAnswer> ask_all(net::EventLoop& loop, const JoinQuestion& question, std::string* problem) {
  std::vector<JoinAnswer> answers;
  for (const std::string& url : question.contacts) {
    Result<net::HostPort> address = address_of(url);
    if (!address) {
      *problem = address.error().message;
      continue;
    }
    Asking asking(loop, question, *address);
    wait_for(loop, asking, Clock::now() + kAnswer);
    if (asking.answer)
      answers.push_back(*asking.answer);
    else
      *problem = fmt::format("{}: {}", url, asking.problem.empty() ? "no answer" : asking.problem);
  }
  return answers;
}

Result<JoinAnswer> ask_to_join(net::EventLoop& loop, const JoinQuestion& question, milliseconds patience) {
  const Clock::time_point end = Clock::now() + patience;
  std::string problem = "--initial-cluster names nobody but this member";
  bool heard = false;
  while (!question.contacts.empty()) {
    for (const std::string& url : question.contacts) {
      Result<net::HostPort> address = address_of(url);
      if (!address) return address.error();
      Asking asking(loop, question, *address);
      wait_for(loop, asking, std::min(end, Clock::now() + kAnswer));
      if (asking.answer) return *asking.answer;
      // The last one asked may have been cut off by the end of our patience: what was said before stands.
      if (!asking.problem.empty())
        problem = fmt::format("{}: {}", url, asking.problem);
      else if (!heard)
        problem = fmt::format("{}: no answer", url);
      heard = heard || !asking.problem.empty();
      if (Clock::now() >= end) break;
    }
    if (Clock::now() >= end) break;
    const Clock::time_point again = Clock::now() + kPause;
    while (Clock::now() < again) loop.wait(milliseconds(20));
  }
  return Error{ErrorCode::unavailable,
               "no member of the running cluster lets this one in; the last one asked said: " + problem};
}

}  // namespace decree::transport
