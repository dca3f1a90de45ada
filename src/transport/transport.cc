#include "transport/transport.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include "transport/peer_connection.h"

namespace decree::transport {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kBackoffFirst{20};
constexpr milliseconds kBackoffMax{1000};
constexpr milliseconds kBackoffRefused{3000};
constexpr milliseconds kDialTimeout{1000};
constexpr milliseconds kCheckInterval{250};
constexpr uint32_t kHandshakeChecksMax = 20;  // 5 s
constexpr uint32_t kQuietChecksMax = 20;      // 5 s without a byte, beats included: the way is dead

// Bulk is what the protocol sends again and what fills queues.
bool is_bulk(const Message& message) {
  return std::holds_alternative<Accept>(message) || std::holds_alternative<Chosen>(message) ||
         std::holds_alternative<Forward>(message) || std::holds_alternative<FetchReply>(message) ||
         std::holds_alternative<SnapshotChunk>(message);
}

bool travels_with_beats(const Message& message) {
  return std::holds_alternative<Beat>(message) || std::holds_alternative<BeatReply>(message) ||
         std::holds_alternative<TransferNow>(message) || std::holds_alternative<Confirm>(message) ||
         std::holds_alternative<ConfirmReply>(message);
}

// A frame would not fit: nothing the core makes is so large.
bool too_large(const Message& message) {
  size_t bytes = 0;
  const auto add = [&](const std::vector<Entry>& entries) {
    for (const Entry& e : entries) bytes += 64 + e.bytes().size();
  };
  if (const auto* m = std::get_if<Accept>(&message)) add(m->entries);
  if (const auto* m = std::get_if<Chosen>(&message)) add(m->entries);
  if (const auto* m = std::get_if<Forward>(&message)) add(m->entries);
  if (const auto* m = std::get_if<FetchReply>(&message))
    for (const FetchedEntry& f : m->entries) bytes += 96 + f.accepted.entry.bytes().size();
  return bytes > kFramePayloadBytesMax - (1u << 20);
}

// One line a second, and how many there would have been.
class LineLimit {
 public:
  bool allow(Clock::time_point now, uint64_t* suppressed) {
    if (now < next_) {
      ++suppressed_;
      return false;
    }
    next_ = now + milliseconds(1000);
    *suppressed = std::exchange(suppressed_, 0);
    return true;
  }

 private:
  Clock::time_point next_{};
  uint64_t suppressed_ = 0;
};

net::HostPort host_port_of(const std::string& url) {
  std::string_view rest = url;
  const size_t scheme = rest.find("://");
  if (scheme != std::string_view::npos) rest.remove_prefix(scheme + 3);
  rest = rest.substr(0, rest.find('/'));
  Result<net::HostPort> parsed = net::parse_host_port(rest);
  return parsed ? *parsed : net::HostPort{};
}

}  // namespace

struct Transport::Impl final : PeerConnectionOwner {
  // What we do towards one connection: dial it, or knock for it.
  struct Dial {
    milliseconds backoff = kBackoffFirst;
    bool under_way = false;
    uint64_t timer = 0;
    uint32_t attempts = 0;
  };
  struct Peer {
    Member member;
    std::shared_ptr<PeerConnection> main;
    std::shared_ptr<PeerConnection> beats;
    Dial dial_main;
    Dial dial_beats;
    uint64_t boot = 0;
    uint64_t beat_round = 0;
    Clock::time_point beat_sent{};
    Incarnation disk;          // of the process that is connected
    uint32_t hello_epoch = 0;  // ... and its epoch when it introduced itself
    PeerTraffic traffic;
    std::string last_refusal;
    LineLimit refusals;
    bool unreachable_told = false;
  };

  Impl(net::EventLoop& l, TransportOptions o, TransportSink& s) : loop(l), options(std::move(o)), sink(s) {
    options.self.epoch = options.epoch;
    for (const Member& m : options.members) {
      if (m.node == options.self.node) continue;
      Peer& p = peers[m.node];
      p.member = m;
      p.traffic.peer = m.node;
    }
  }

  ~Impl() override {
    *alive = false;
    for (auto* list : {&strangers, &dialling})
      for (const auto& c : *list) c->close("shutting down");
    for (const auto& [node, p] : peers)
      for (const auto& c : {p.main, p.beats})
        if (c != nullptr) c->close("shutting down");
  }

  template <class... Args>
  void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    sink.on_transport_log(level, fmt::format(format, std::forward<Args>(args)...));
  }

  // ---- listening ----
  Result<void> listen() {
    for (const net::HostPort& address : options.listen) {
      Result<std::unique_ptr<net::Listener>> listener = net::listen_tcp(
          loop, address, [this](std::shared_ptr<net::Connection> c) { accept(std::move(c)); });
      if (!listener) return listener.error();
      listeners.push_back(std::move(listener).value());
    }
    return {};
  }

  void accept(std::shared_ptr<net::Connection> connection) {
    if (strangers.size() >= options.unauthenticated_max) {
      uint64_t suppressed = 0;
      if (garbage_limit.allow(Clock::now(), &suppressed))
        log(LogLevel::warn,
            "too many connections on the peer port that have not introduced themselves, closing remote={} "
            "suppressed={}",
            connection->remote_address(), suppressed);
      connection->close("too many unauthenticated connections");
      return;
    }
    strangers.push_back(std::make_shared<PeerConnection>(*this, std::move(connection), std::nullopt));
  }

  // ---- dialling ----
  bool dials(const Peer& p) const { return options.self.node < p.member.node; }

  void want(Peer& p, Purpose purpose) {
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    if (dial.under_way || dial.timer != 0) return;
    schedule(p, purpose, milliseconds(0));
  }

  void schedule(Peer& p, Purpose purpose, milliseconds delay) {
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    if (dial.timer != 0) loop.cancel(dial.timer);
    const NodeId node = p.member.node;
    dial.timer = loop.at(Clock::now() + delay, [this, node, purpose, life = alive] {
      if (!*life || !peers.contains(node)) return;
      Peer& peer = peers.at(node);
      Dial& d = purpose == Purpose::beats ? peer.dial_beats : peer.dial_main;
      d.timer = 0;
      connect(peer, purpose);
    });
  }

  void again(Peer& p, Purpose purpose, bool refused = false) {
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    dial.under_way = false;
    const milliseconds delay = refused ? kBackoffRefused : dial.backoff;
    dial.backoff = std::min(dial.backoff * 2, kBackoffMax);
    schedule(p, purpose, delay);
  }

  // `purpose` main or beats; who does not dial knocks instead of main.
  void connect(Peer& p, Purpose purpose) {
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    if ((purpose == Purpose::beats ? p.beats : p.main) != nullptr || dial.under_way) return;
    if (p.member.peer_urls.empty()) return;
    dial.under_way = true;
    const net::HostPort address =
        host_port_of(p.member.peer_urls[dial.attempts++ % p.member.peer_urls.size()]);
    const Purpose said = dials(p) ? purpose : Purpose::knock;
    net::connect_tcp(loop, address, kDialTimeout,
                     [this, node = p.member.node, purpose, said,
                      life = alive](Result<std::shared_ptr<net::Connection>> c) {
                       if (!*life) return;
                       if (const auto it = peers.find(node); it != peers.end())
                         connected(it->second, purpose, said, std::move(c));
                     });
  }

  void connected(Peer& p, Purpose purpose, Purpose said,
                 Result<std::shared_ptr<net::Connection>> connection) {
    if (!connection) {
      if (!p.unreachable_told) {
        p.unreachable_told = true;
        log(LogLevel::info, "peer not reachable yet peer={} cause=\"{}\"", p.member.name,
            connection.error().message);
      }
      again(p, purpose);
      return;
    }
    dialling.push_back(std::make_shared<PeerConnection>(*this, std::move(connection).value(),
                                                        make_hello(options.self, p.member, said)));
  }

  // ---- PeerConnectionOwner ----
  void on_hello(PeerConnection& c, const Hello& hello) override {
    if (hello.purpose == Purpose::join) return answer_join(c, hello);
    std::optional<Refusal> refusal = check_hello(options.self, options.members, hello);
    if (refusal) {
      uint64_t suppressed = 0;
      if (refusal_limit.allow(Clock::now(), &suppressed))
        log(LogLevel::warn, "peer connection refused name={} remote={} told=\"{}\" suppressed={}", hello.name,
            c.remote_address(), refusal->reason, suppressed);
      c.refuse(*refusal);
      if (refusal->code == RefusalCode::wrong_incarnation && is_other_disk(hello))
        sink.on_other_disk(hello.from, hello.from_incarnation);
      return;
    }
    Peer& p = peers.at(hello.from);
    learn(p, hello);
    Hello own = make_hello(options.self, p.member, hello.purpose);
    if (hello.purpose == Purpose::knock) {
      c.welcome(own, hello.from, Purpose::knock);
      knocked(p, hello);
      return;
    }
    c.welcome(own, hello.from, hello.purpose);
    install(p, take(strangers, c), hello);
  }

  // The asker told who it is in everything but its number; whether its disk is the known one is all that is
  // wrong.
  bool is_other_disk(const Hello& hello) const {
    for (const Member& m : options.members)
      if (m.node == hello.from && m.member_id == hello.from_member_id && m.node != options.self.node)
        return m.incarnation != Incarnation(0) && m.incarnation != hello.from_incarnation;
    return false;
  }

  void answer_join(PeerConnection& c, const Hello& hello) {
    if (std::optional<Refusal> refusal = check_join(options.self, options.membership.members, hello)) {
      uint64_t suppressed = 0;
      if (refusal_limit.allow(Clock::now(), &suppressed))
        log(LogLevel::warn, "asked to join, not a member name={} remote={} suppressed={}", hello.name,
            c.remote_address(), suppressed);
      c.refuse(*refusal);
      return;
    }
    Hello own = make_hello(options.self, Member{}, Purpose::join);
    own.membership = encode_membership(options.membership);
    c.welcome(own, NodeId(0), Purpose::knock);
    log(LogLevel::info, "told the members to a newcomer name={} remote={}", hello.name, c.remote_address());
  }

  void on_welcome(PeerConnection& c, const Hello& hello) override {
    if (!peers.contains(c.dialled()->to)) return c.close("not a member any more");
    Peer& p = peers.at(c.dialled()->to);
    std::optional<Refusal> refusal = check_hello(options.self, options.members, hello);
    if (!refusal && hello.from != p.member.node)
      refusal = Refusal{RefusalCode::wrong_member, "another member answers at this address"};
    if (refusal) {
      tell_refusal(p, "we refused it: " + refusal->reason);
      c.refuse(*refusal);
      return;
    }
    learn(p, hello);
    const Purpose purpose = c.dialled()->purpose;
    c.open(p.member.node, purpose);
    if (purpose == Purpose::knock) {
      // The other side dials now. We knock again only if it does not come.
      c.close("knocked");
      return;
    }
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    dial.under_way = false;
    install(p, take(dialling, c), hello);
  }

  void on_refused(PeerConnection& c, const Refusal& refusal) override {
    const NodeId node = c.is_dialled() ? c.dialled()->to : c.peer();
    const auto it = peers.find(node);
    if (it != peers.end()) tell_refusal(it->second, refusal.reason);
    refused_connection = &c;
  }

  void tell_refusal(Peer& p, const std::string& reason) {
    uint64_t suppressed = 0;
    if (reason == p.last_refusal && !p.refusals.allow(Clock::now(), &suppressed)) return;
    p.last_refusal = reason;
    log(LogLevel::warn, "peer refuses us peer={} reason=\"{}\"", p.member.name, reason);
  }

  void on_peer_message(PeerConnection& c, uint32_t /*epoch*/, Message message) override {
    if (!peers.contains(c.peer())) return;
    if (const auto* reply = std::get_if<BeatReply>(&message)) {
      Peer& p = peers.at(c.peer());
      if (reply->round == p.beat_round && p.beat_sent != Clock::time_point{}) {
        p.traffic.round_trip_us = static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - p.beat_sent).count());
        p.beat_sent = {};
      }
    }
    sink.on_peer_message(c.peer(), std::move(message));
  }

  void on_garbage(PeerConnection& c, const std::string& what) override {
    ++garbage;
    uint64_t suppressed = 0;
    if (garbage_limit.allow(Clock::now(), &suppressed))
      log(LogLevel::warn,
          "not a member's bytes on a peer connection, closed remote={} cause=\"{}\" suppressed={}",
          c.remote_address(), what, suppressed);
  }

  void on_gone(PeerConnection& c, const std::string& reason) override {
    const bool was_refused = refused_connection == &c;
    if (was_refused) refused_connection = nullptr;
    if (take(strangers, c) != nullptr) return;
    if (std::shared_ptr<PeerConnection> dialled = take(dialling, c)) {
      if (!peers.contains(dialled->dialled()->to)) return;
      Peer& p = peers.at(dialled->dialled()->to);
      const Purpose said = dialled->dialled()->purpose;
      again(p, said == Purpose::beats ? Purpose::beats : Purpose::main, was_refused);
      return;
    }
    const auto it = peers.find(c.peer());
    if (it == peers.end()) return;
    Peer& p = it->second;
    if (p.beats.get() == &c) {
      retire(p, std::move(p.beats));
      if (p.main != nullptr) redial(p, Purpose::beats);
    } else if (p.main.get() == &c) {
      lost_main(p, reason, was_refused);
    }
  }

  // ---- connections of known members ----
  void learn(Peer& p, const Hello& hello) {
    p.unreachable_told = false;
    p.last_refusal.clear();
    if (p.member.incarnation != Incarnation(0)) return;
    p.member.incarnation = hello.from_incarnation;
    for (Member& m : options.members)
      if (m.node == p.member.node) m.incarnation = hello.from_incarnation;
    sink.on_incarnation(p.member.node, hello.from_incarnation);
  }

  void knocked(Peer& p, const Hello& hello) {
    if (!dials(p)) return;
    // It has lost what we may still take for open, or it started anew.
    if (p.main != nullptr && hello.boot != p.boot) p.main->close("the peer started again");
    p.dial_main.backoff = kBackoffFirst;
    p.dial_beats.backoff = kBackoffFirst;
    if (p.main == nullptr && !p.dial_main.under_way) schedule(p, Purpose::main, milliseconds(0));
  }

  void install(Peer& p, std::shared_ptr<PeerConnection> c, const Hello& hello) {
    if (c == nullptr) return;
    const bool is_beats = c->purpose() == Purpose::beats;
    std::shared_ptr<PeerConnection>& place = is_beats ? p.beats : p.main;
    std::shared_ptr<PeerConnection> old = std::exchange(place, std::move(c));
    const bool was_up = old != nullptr;
    if (old != nullptr) {
      PeerConnection* o = old.get();
      retire(p, std::move(old));
      o->close("replaced by a newer connection");
    }
    if (is_beats) return;
    const bool restarted = p.boot != hello.boot;
    p.boot = hello.boot;
    p.disk = hello.from_incarnation;
    p.hello_epoch = hello.epoch;
    if (was_up && !restarted) return;
    if (was_up) sink.on_peer_link(p.member.node, false, PeerProcess{});
    p.traffic.connected = true;
    log(LogLevel::info, "peer connected peer={} node={} release={} remote={}", p.member.name,
        p.member.node.value, hello.release, p.main->remote_address());
    sink.on_peer_link(p.member.node, true,
                      PeerProcess{hello.format >= 2 ? hello.from_incarnation : Incarnation(0), hello.boot,
                                  hello.disk_writes});
    if (dials(p) && p.beats == nullptr) want(p, Purpose::beats);
    if (!dials(p) && p.dial_main.timer != 0) {
      loop.cancel(p.dial_main.timer);
      p.dial_main.timer = 0;
    }
  }

  void lost_main(Peer& p, const std::string& reason, bool refused) {
    retire(p, std::move(p.main));
    p.traffic.connected = false;
    log(LogLevel::warn, "peer disconnected peer={} cause=\"{}\"", p.member.name, reason);
    if (p.beats != nullptr) p.beats->close("the main connection is gone");
    sink.on_peer_link(p.member.node, false, PeerProcess{});
    if (refused)
      again(p, Purpose::main, true);
    else
      redial(p, Purpose::main);
  }

  void redial(Peer& p, Purpose purpose) {
    if (purpose == Purpose::beats && !dials(p)) return;
    Dial& dial = purpose == Purpose::beats ? p.dial_beats : p.dial_main;
    if (dial.under_way || dial.timer != 0) return;
    schedule(p, purpose, dial.backoff);
  }

  // Keeps the sums; the object may still be on the stack below us, so it goes at the next check.
  void retire(Peer& p, std::shared_ptr<PeerConnection> c) {
    p.traffic.bytes_sent += c->bytes_sent();
    p.traffic.bytes_received += c->bytes_received();
    gone.push_back(std::move(c));
  }

  static std::shared_ptr<PeerConnection> find_and_erase(std::vector<std::shared_ptr<PeerConnection>>& list,
                                                        const PeerConnection& c) {
    const auto it = std::find_if(list.begin(), list.end(), [&](const auto& p) { return p.get() == &c; });
    if (it == list.end()) return nullptr;
    std::shared_ptr<PeerConnection> found = std::move(*it);
    list.erase(it);
    return found;
  }

  // Moves it out of `list`; kept alive until the next check.
  std::shared_ptr<PeerConnection> take(std::vector<std::shared_ptr<PeerConnection>>& list,
                                       const PeerConnection& c) {
    std::shared_ptr<PeerConnection> found = find_and_erase(list, c);
    if (found != nullptr && found->state() == PeerConnection::State::closing) gone.push_back(found);
    return found;
  }

  // ---- another epoch ----
  void set_members(const Membership& membership, const std::vector<Member>& former) {
    options.epoch = options.self.epoch = membership.epoch;
    options.membership = membership;
    accept_frame.clear();
    std::vector<Member> all = membership.members;
    for (const Member& m : former)
      if (membership.find(m.node) == nullptr) all.push_back(m);
    for (Member& m : all) {  // what was learned at first contact stays known until an epoch names it
      const auto known = peers.find(m.node);
      if (known != peers.end() && m.incarnation == Incarnation(0))
        m.incarnation = known->second.member.incarnation;
    }
    options.members = all;
    const auto listed = [&](NodeId node) {
      return std::any_of(all.begin(), all.end(), [&](const Member& m) { return m.node == node; });
    };
    std::vector<NodeId> leaving;
    for (const auto& [node, p] : peers)
      if (!listed(node)) leaving.push_back(node);
    for (const NodeId node : leaving) drop(node);
    for (const Member& m : all) {
      if (m.node == options.self.node) continue;
      const bool added = !peers.contains(m.node);
      Peer& p = peers[m.node];
      p.traffic.peer = m.node;
      const bool moved = !added && p.member.peer_urls != m.peer_urls;
      // While we learn our way through old epochs, they list disks that later ones replaced.
      const bool other_disk = p.main != nullptr && m.incarnation != Incarnation(0) &&
                              p.disk != m.incarnation && p.hello_epoch < membership.epoch;
      const bool renamed = !added && p.member.incarnation != m.incarnation;
      p.member = m;
      if (other_disk)
        for (const auto& c : {p.beats, p.main})
          if (c != nullptr) c->close("this member has another disk now");
      if (!started || p.main != nullptr) continue;
      if ((moved || renamed) && !p.dial_main.under_way) {  // what kept us waiting does not hold any more
        p.dial_main.backoff = kBackoffFirst;
        schedule(p, Purpose::main, milliseconds(0));
      } else {
        want(p, Purpose::main);
      }
    }
  }

  void drop(NodeId node) {
    Peer& p = peers.at(node);
    log(LogLevel::info, "not a member any more peer={} node={}", p.member.name, node.value);
    for (Dial* dial : {&p.dial_main, &p.dial_beats})
      if (dial->timer != 0) loop.cancel(dial->timer);
    const bool was_up = p.main != nullptr;
    const std::shared_ptr<PeerConnection> main = p.main;
    const std::shared_ptr<PeerConnection> beats = p.beats;
    peers.erase(node);
    for (const auto& c : {beats, main}) {
      if (c == nullptr) continue;
      gone.push_back(c);
      c->close("not a member any more");
    }
    if (was_up) sink.on_peer_link(node, false, PeerProcess{});
  }

  // ---- periodic ----
  void check() {
    std::erase_if(gone, [](const auto& c) { return c.use_count() == 1; });
    for (auto* list : {&strangers, &dialling}) {
      const std::vector<std::shared_ptr<PeerConnection>> copy = *list;
      for (const auto& c : copy)
        if (++c->quiet_checks > kHandshakeChecksMax) c->close("no handshake within 5 s");
    }
    for (auto& [node, p] : peers) {
      // Counted in checks, not in time: after a stall of our own there is one check, and then the waiting
      // bytes.
      for (const auto& c : {p.beats, p.main}) {
        if (c == nullptr) continue;
        const bool quiet = c->bytes_received() == c->bytes_at_last_check;
        c->bytes_at_last_check = c->bytes_received();
        c->quiet_checks = quiet ? c->quiet_checks + 1 : 0;
      }
      if (p.main != nullptr && p.main->quiet_checks > kQuietChecksMax &&
          (p.beats == nullptr || p.beats->quiet_checks > kQuietChecksMax))
        p.main->close("nothing came for 5 s");
      // What lasted until now starts quickly again when it breaks.
      if (p.main != nullptr) p.dial_main.backoff = kBackoffFirst;
      if (p.beats != nullptr) p.dial_beats.backoff = kBackoffFirst;
      // A knock that nobody followed.
      if (p.main == nullptr) want(p, Purpose::main);
      if (p.main != nullptr && p.beats == nullptr && dials(p)) want(p, Purpose::beats);
    }
    loop.at(Clock::now() + kCheckInterval, [this, life = alive] {
      if (*life) check();
    });
  }

  // ---- sending ----
  void send(NodeId to, const Message& message) {
    const auto it = peers.find(to);
    if (it == peers.end()) return;
    Peer& p = it->second;
    PeerConnection* c = p.main.get();
    if (p.beats != nullptr && travels_with_beats(message)) c = p.beats.get();
    if (c == nullptr || c->state() != PeerConnection::State::open) {
      ++p.traffic.dropped;
      return;
    }
    const size_t pending = c->pending_bytes();
    if (pending > options.queue_hard_bytes_max ||
        (pending > options.queue_soft_bytes_max && is_bulk(message))) {
      ++p.traffic.dropped;
      return;
    }
    if (too_large(message)) {
      ++p.traffic.dropped;
      log(LogLevel::error, "a {} of more than 63 MiB cannot be sent, dropped peer={}", message_name(message),
          to.value);
      return;
    }
    if (const auto* beat = std::get_if<Beat>(&message)) {
      p.beat_round = beat->round;
      p.beat_sent = Clock::now();
    }
    if (const auto* accept = std::get_if<Accept>(&message);
        accept != nullptr && peers.size() > 1 && !accept->entries.empty()) {
      c->send_encoded(shared_accept(*accept, message));
      return;
    }
    c->send(options.epoch, message);
  }

  // The same Bill goes to every member in one turn: encoded once.
  const std::string& shared_accept(const Accept& m, const Message& message) {
    const bool same = !accept_frame.empty() && accept_key.ballot == m.ballot && accept_key.base == m.base &&
                      accept_key.first == m.first && accept_key.decided == m.decided &&
                      accept_key.entries == m.entries.size() && accept_key.last == m.entries.back().id &&
                      accept_key.last_payload == m.entries.back().payload;
    if (!same) {
      accept_key = AcceptKey{m.ballot,
                             m.base,
                             m.first,
                             m.decided,
                             m.entries.size(),
                             m.entries.back().id,
                             m.entries.back().payload};
      accept_frame = PeerConnection::encode_frame(options.epoch, message);
    }
    return accept_frame;
  }

  struct AcceptKey {
    Ballot ballot;
    Slot base;
    Slot first;
    Slot decided;
    size_t entries = 0;
    RequestId last;
    std::shared_ptr<const std::string> last_payload;
  };

  net::EventLoop& loop;
  TransportOptions options;
  TransportSink& sink;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  std::vector<std::unique_ptr<net::Listener>> listeners;
  std::map<NodeId, Peer> peers;
  std::vector<std::shared_ptr<PeerConnection>>
      strangers;  // accepted, no hello yet (or being refused, or knocking)
  std::vector<std::shared_ptr<PeerConnection>> dialling;  // our hello is on its way
  std::vector<std::shared_ptr<PeerConnection>> gone;
  const PeerConnection* refused_connection = nullptr;
  LineLimit garbage_limit;
  LineLimit refusal_limit;
  bool started = false;
  uint64_t garbage = 0;
  AcceptKey accept_key;
  std::string accept_frame;
};

Transport::Transport(net::EventLoop& loop, TransportOptions options, TransportSink& sink)
    : impl_(std::make_unique<Impl>(loop, std::move(options), sink)) {}
Transport::~Transport() = default;

Result<void> Transport::start() {
  Result<void> listening = impl_->listen();
  if (!listening) return listening;
  impl_->started = true;
  impl_->check();
  return {};
}

std::vector<uint16_t> Transport::ports() const {
  std::vector<uint16_t> ports;
  for (const auto& listener : impl_->listeners) ports.push_back(listener->port());
  return ports;
}

void Transport::set_members(const Membership& membership, const std::vector<Member>& former) {
  impl_->set_members(membership, former);
}

void Transport::send(NodeId to, const Message& message) { impl_->send(to, message); }

bool Transport::is_connected(NodeId peer) const {
  const auto it = impl_->peers.find(peer);
  return it != impl_->peers.end() && it->second.main != nullptr;
}

uint64_t Transport::round_trip_us(NodeId peer) const {
  const auto it = impl_->peers.find(peer);
  return it == impl_->peers.end() ? 0 : it->second.traffic.round_trip_us;
}

std::vector<PeerTraffic> Transport::traffic() const {
  std::vector<PeerTraffic> all;
  for (const auto& [node, p] : impl_->peers) {
    PeerTraffic t = p.traffic;
    for (const auto& c : {p.main, p.beats}) {
      if (c == nullptr) continue;
      t.bytes_sent += c->bytes_sent();
      t.bytes_received += c->bytes_received();
      t.queued_bytes += c->pending_bytes();
    }
    all.push_back(t);
  }
  return all;
}

uint64_t Transport::garbage_connections() const { return impl_->garbage; }

}  // namespace decree::transport
