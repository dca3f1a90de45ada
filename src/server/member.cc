#include "server/member.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include "api/server_front.h"
#include "decree/replica.h"
#include "kv/applier.h"
#include "runtime/file_snapshot_store.h"
#include "runtime/log_thread.h"
#include "runtime/node.h"
#include "runtime/start_up.h"
#include "runtime/worker_pool.h"
#include "server/cluster_view.h"
#include "server/identity.h"
#include "server/logging.h"
#include "server/logical_clock.h"
#include "server/member_metrics.h"
#include "server/readmission.h"
#include "server/scrub_task.h"
#include "server/stop_watchdog.h"
#include "server/turn_watch.h"
#include "server/version.h"
#include "storage/data_dir.h"
#include "storage/posix_file_system.h"
#include "transport/join.h"
#include "transport/transport.h"

namespace decree::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTurnShare{1};
constexpr milliseconds kStall{200};
constexpr int kReadsAfterStall = 16;
constexpr milliseconds kDrain{5000};
constexpr size_t kWorkers = 2;
constexpr milliseconds kJoinPatience{60000};
constexpr milliseconds kServeAfterRemoval{3000};

Level to_level(transport::LogLevel level) {
  switch (level) {
    case transport::LogLevel::debug:
      return Level::debug;
    case transport::LogLevel::info:
      return Level::info;
    case transport::LogLevel::warn:
      return Level::warn;
    case transport::LogLevel::error:
      return Level::error;
  }
  return Level::info;
}

Level to_level(runtime::Severity severity) {
  switch (severity) {
    case runtime::Severity::debug:
      return Level::debug;
    case runtime::Severity::info:
      return Level::info;
    case runtime::Severity::warn:
      return Level::warn;
    case runtime::Severity::error:
      return Level::error;
  }
  return Level::info;
}

}  // namespace

struct Member::Impl final : runtime::Host, transport::TransportSink, runtime::NodeObserver {
  enum class Stage : uint8_t { running, handing_over, draining, done };

  Impl(net::EventLoop& l, const Config& c)
      : loop(l), config(c), watch([](const std::string& line) { log_line(Level::warn, line); }) {}

  ~Impl() override {
    *alive = false;  // the loop outlives this, and may have a call of run_posted() left
    const StopWatchdog watchdog;
    front.reset();
    transport.reset();
    if (pool) pool->stop();
    if (log) log->stop();
    // A worker's last word may hold a half-written snapshot, whose end removes its file: BEFORE the disk
    // goes, and not with the loop, which outlives this.
    posted.clear();
    if (data && !node_failed()) {
      const Result<void> closed = data->close();
      if (!closed) log_line(Level::warn, closed.error().message);
    }
    view.reset();
    node.reset();
  }

  bool node_failed() const { return node && node->failure().has_value(); }

  // ---- start ----
  std::optional<StartProblem> start() {
    Genesis genesis = make_genesis(config);
    if (auto damage = open_and_load(&genesis)) {
      if (damage->code != ExitCode::corrupt) return damage;
      if (!config.repairs_damage) {
        damage->sentence += "; --damaged-data=repair would repair it from the other members";
        return damage;
      }
      if (auto problem = come_back(*damage, &genesis)) return problem;
      if (auto problem = open_and_load(&genesis)) return problem;
    }
    return open_ports();
  }

  std::optional<StartProblem> open_and_load(Genesis* genesis) {
    if (auto problem = open_data(genesis)) return problem;
    return load();
  }

  static StartProblem problem_of(const Error& error) {
    return StartProblem{exit_code_of(error), error.message};
  }

  std::optional<StartProblem> open_data(Genesis* genesis) {
    if (Result<void> whole = finish_set_aside(*files, config.data_dir); !whole)
      return problem_of(whole.error());
    Result<std::optional<Identity>> found = storage::DataDir::peek(*files, config.data_dir);
    if (!found) return problem_of(found.error());
    storage::OpenOptions options;
    if (config.repairs_damage) options.on_damage = storage::OnDamage::read_over;
    if (!found->has_value()) {
      if (config.joins_existing && !comes_back)
        if (auto problem = join(genesis)) return problem;
      options.create = genesis->identity;
      options.create->incarnation = draw_incarnation();
    }
    Result<std::unique_ptr<storage::DataDir>> opened =
        storage::DataDir::open(*files, config.data_dir, options);
    if (!opened) return problem_of(opened.error());
    data = std::move(opened).value();
    for (const std::string& note : data->notes()) log_line(Level::warn, note);
    recovered = data->recovered();
    if (!recovered.unknown.empty())
      log_line(Level::warn,
               fmt::format("damaged slots, they are fetched from the other members; until then promises say "
                           "that they are unknown first={} last={} slots={}",
                           recovered.unknown.begin()->first.value, recovered.unknown.rbegin()->first.value,
                           recovered.unknown.size()));
    if (found->has_value() && !recovered.has_membership && config.joins_existing)
      if (auto problem = join(genesis)) return problem;  // the first start did not get so far
    membership = recovered.has_membership ? recovered.membership : genesis->membership;
    if (data->created()) {
      log_line(Level::info, fmt::format("new data directory cluster={:x} member={:x} node={}",
                                        genesis->identity.cluster.value, genesis->identity.member_id,
                                        genesis->identity.node.value));
      return std::nullopt;
    }
    return check_owner(*genesis);
  }

  // The disk must not be voted with, and the others can go on without it: a new one in its place.
  std::optional<StartProblem> come_back(const StartProblem& damage, Genesis* genesis) {
    log_line(Level::error, fmt::format("damaged data cause=\"{}\"", damage.sentence));
    log_line(Level::warn, "asking the other members whether they can go on without this disk");
    snapshots.reset();
    store.reset();
    data.reset();
    Result<Readmission> done = give_up_disk(loop, *files, config);
    if (!done)
      return StartProblem{ExitCode::corrupt, fmt::format("{}. It was not repaired from the other members: {}",
                                                         damage.sentence, done.error().message)};
    comes_back = true;
    genesis->membership = done->told.membership;
    genesis->identity.cluster = done->told.cluster;
    genesis->identity.node = done->self;
    genesis->identity.member_id = genesis->membership.find(done->self)->member_id;
    log_line(Level::warn,
             fmt::format("the damaged files are kept, delete them when nobody needs them as evidence dir={} "
                         "names={}",
                         config.data_dir, done->evidence));
    log_line(Level::warn,
             fmt::format("coming back with a new disk, without a vote until caught up told_by={} "
                         "epoch={} node={}",
                         done->told.told_by, genesis->membership.epoch, done->self.value));
    return std::nullopt;
  }

  // No data yet, and a cluster that runs: its members know who we are, by our peer URLs.
  std::optional<StartProblem> join(Genesis* genesis) {
    transport::JoinQuestion question;
    question.name = config.name;
    question.own_urls = config.advertise_peer_urls;
    for (const InitialMember& m : config.initial_cluster)
      if (m.name != config.name)
        question.contacts.insert(question.contacts.end(), m.peer_urls.begin(), m.peer_urls.end());
    Result<transport::JoinAnswer> told = transport::ask_to_join(loop, question, kJoinPatience);
    if (!told) return StartProblem{ExitCode::identity, told.error().message};
    genesis->membership = told->membership;
    genesis->identity.cluster = told->cluster;
    for (decree::Member& m : genesis->membership.members) {
      const bool own = std::any_of(m.peer_urls.begin(), m.peer_urls.end(), [&](const std::string& url) {
        return std::find(question.own_urls.begin(), question.own_urls.end(), url) != question.own_urls.end();
      });
      if (!own) continue;
      if (m.role == MemberRole::voter && m.incarnation == Incarnation(0))
        return StartProblem{ExitCode::identity,
                            fmt::format("the cluster takes this member for a first one that has not started "
                                        "yet: start it with --initial-cluster-state=new")};
      if (m.name.empty()) m.name = config.name;
      genesis->identity.node = m.node;
      genesis->identity.member_id = m.member_id;
      log_line(Level::info,
               fmt::format("joining a running cluster told_by={} epoch={} members={} node={}", told->told_by,
                           genesis->membership.epoch, genesis->membership.members.size(), m.node.value));
      return std::nullopt;
    }
    return StartProblem{ExitCode::identity, "the running cluster does not list this member's peer URLs"};
  }

  // Existing data decides who this is. Flags that contradict it are a mistake worth stopping for, unless the
  // membership has changed since: then the flags of the first start cannot be right any more and are ignored.
  std::optional<StartProblem> check_owner(const Genesis& genesis) {
    const Identity& own = data->identity();
    if (!recovered.has_membership &&
        (genesis.identity.cluster != own.cluster || genesis.identity.member_id != own.member_id))
      return StartProblem{
          ExitCode::identity,
          fmt::format(
              "the first start of the data directory {} did not get as far as writing down who the members "
              "are, and the flags now describe another cluster or member: start once more with the flags of "
              "the first start, or remove the directory (nothing was ever acknowledged from it)",
              config.data_dir)};
    const decree::Member* self = membership.find(own.node);
    if (self == nullptr)
      return StartProblem{
          ExitCode::removed,
          fmt::format("this member was removed from cluster {:x}: its data directory {} is of no "
                      "use any more; to add it again, use `etcdctl member add` and an empty one",
                      own.cluster.value, config.data_dir)};
    if (self != nullptr && !self->name.empty() && self->name != config.name)
      return StartProblem{
          ExitCode::identity,
          fmt::format("the data directory {} belongs to member {}, but --name says {}: use that member's own "
                      "directory, or start with --name {}",
                      config.data_dir, self->name, config.name, self->name)};
    const bool flags_match =
        genesis.identity.cluster == own.cluster && genesis.identity.member_id == own.member_id;
    if (config.has_bootstrap_flags && membership.epoch == 0 && !flags_match)
      return StartProblem{
          ExitCode::identity,
          fmt::format(
              "the data directory {} belongs to cluster {:x}, but --initial-cluster and "
              "--initial-cluster-token describe cluster {:x}: use another directory, or leave those two "
              "flags out (they only matter at the first start)",
              config.data_dir, own.cluster.value, genesis.identity.cluster.value)};
    if (!config.bootstrap_flags.empty())
      log_line(Level::info, fmt::format("data exists, flags of the first start are ignored flags={}",
                                        fmt::join(config.bootstrap_flags, ",")));
    return std::nullopt;
  }

  std::optional<StartProblem> load() {
    const auto began = Clock::now();
    const Identity identity = data->identity();
    store = std::make_unique<kv::Store>(kv::StoreConfig{identity.cluster.value, identity.member_id});
    snapshots = std::make_unique<runtime::FileSnapshotStore>(data->snapshots(), identity.cluster);
    Result<std::optional<runtime::StoredSnapshot>> restored =
        runtime::restore_newest(*snapshots, *store, recovered);
    if (!restored) return problem_of(restored.error());

    runtime::NodeOptions options;
    options.identity = identity;
    recovered.boot = request_boot(identity.incarnation, recovered.boot, draw_nonce());
    boot = recovered.boot;
    disk_writes = recovered.disk_writes;
    options.boot = recovered.boot;
    options.snapshot_count = config.snapshot_count;
    options.history_slots = config.explain_slots;
    options.snapshot_log_bytes_min = config.snapshot_log_bytes;
    if (restored->has_value()) {
      options.snapshot = **restored;
      options.applied = (*restored)->manifest.index;
      options.chain = (*restored)->manifest.chain;
      options.term = (*restored)->manifest.term;
    }
    Options protocol = protocol_options(config);
    protocol.seed = identity.incarnation.value;
    const size_t entries = recovered.accepted.size();
    decree::Replica replica(std::move(recovered), membership, protocol);

    const runtime::Post post = [this](std::function<void()> work) {
      {
        const std::lock_guard lock(posted_mutex);
        posted.push_back(std::move(work));
      }
      loop.post([this, life = alive] {
        if (*life) run_posted();
      });
    };
    pool = std::make_unique<runtime::WorkerPool>(kWorkers, post);
    // What is damaged on the disk is whole in memory: a new snapshot, and the log cut behind it, is the
    // repair.
    scrub = std::make_unique<ScrubTask>(
        data->wal(), data->snapshots(), *pool, config.scrub_bytes_per_second,
        [this](const std::string& damage) {
          log_line(
              Level::error,
              fmt::format("damage on the disk, taking a new snapshot to be rid of it cause=\"{}\"", damage));
          node->renew_snapshot();
        });
    log = std::make_unique<runtime::LogThread>(data->wal(), post, log_callbacks());
    node = std::make_unique<runtime::Node>(*this, std::move(replica), *store, *snapshots, options, this);
    log_line(Level::info,
             fmt::format("data loaded snapshot={} log_entries={} revision={} ms={}", options.applied.value,
                         entries, store->current_revision(),
                         std::chrono::duration_cast<milliseconds>(Clock::now() - began).count()));
    return std::nullopt;
  }

  runtime::LogThread::Callbacks log_callbacks() {
    runtime::LogThread::Callbacks c;
    c.persisted = [this](LogToken upto, uint64_t writes) { node->on_persisted(upto, writes); };
    c.failed = [this](const Error& error) {
      failed_by_log = true;
      node->on_log_error(error);
    };
    c.disk_health = [this](bool ok, const std::string& cause) {
      if (!ok) log_line(Level::error, fmt::format("the log has no room left cause=\"{}\"", cause));
      log_full = !ok;
      node->on_disk_health(!log_full && !reserve_full);
    };
    c.synced = [this](double seconds) {
      if (front) front->metrics().wal_fsync_seconds.observe(seconds);
    };
    c.reserve_wanted = [this] { prepare_reserve(); };
    return c;
  }

  std::optional<StartProblem> open_ports() {
    transport::TransportOptions options;
    const Identity& identity = data->identity();
    options.self = transport::Self{identity.cluster,
                                   identity.node,
                                   identity.member_id,
                                   identity.incarnation,
                                   boot,
                                   config.name,
                                   kRelease,
                                   0,
                                   disk_writes};
    options.epoch = membership.epoch;
    options.members = membership.members;
    options.membership = membership;
    options.listen = config.listen_peer;
    transport = std::make_unique<transport::Transport>(loop, std::move(options), *this);
    Result<void> listening = transport->start();
    if (!listening) return StartProblem{ExitCode::address, "peer port: " + listening.error().message};
    view = std::make_unique<ClusterView>(*node, *store, *transport);
    front = std::make_unique<api::ServerFront>(loop, *view, *store, front_options(),
                                               [](const std::string& line) { log_line(Level::info, line); });
    add_member_metrics(front->metrics(), *node, *transport, clock, *scrub);
    Result<void> clients = front->bind();
    if (!clients) return StartProblem{ExitCode::address, "client port: " + clients.error().message};
    log_line(Level::info,
             fmt::format("member starts peer_ports={} cluster={:x} member={:x} node={} members={} boot={}",
                         fmt::join(transport->ports(), ","), identity.cluster.value, identity.member_id,
                         identity.node.value, membership.members.size(), data->boot()));
    const decree::Member* self = membership.find(identity.node);
    const bool served_before =
        !data->created() && self != nullptr && self->role == MemberRole::voter &&
        (self->incarnation == Incarnation(0) || self->incarnation == identity.incarnation);
    if (served_before) return open_to_clients();
    log_line(Level::info,
             "clients are taken when this disk has caught up with the cluster; until then they "
             "are refused and go elsewhere");
    return std::nullopt;
  }

  // A disk that has never served (a new member, a replaced disk) has nothing to answer with until it has
  // caught up: whoever connects must be refused then, and go elsewhere at once. A member that comes back
  // answers what it can (its state, its log) also when there is no leader to catch up with.
  std::optional<StartProblem> open_to_clients() {
    Result<void> opened = front->open();
    if (!opened) return StartProblem{ExitCode::address, "client port: " + opened.error().message};
    open = true;
    log_line(Level::info,
             fmt::format("ready to take requests client_ports={}", fmt::join(front->ports(), ",")));
    return std::nullopt;
  }

  api::FrontOptions front_options() const {
    api::FrontOptions o;
    o.name = config.name;
    o.listen = config.listen_client;
    o.listen_metrics = config.listen_metrics;
    o.advertise_client_urls = config.advertise_client_urls;
    o.request_bytes_max = config.request_bytes_max;
    o.limits.message_bytes_max = config.request_bytes_max + (512u << 10);
    o.txn_ops_max = config.txn_ops_max;
    o.history_slots = config.explain_slots;
    o.request_timeout = milliseconds(5000 + 2 * config.election_ms);
    o.quota_bytes = config.quota_bytes;
    switch (config.compaction_mode) {
      case CompactionMode::off:
        break;
      case CompactionMode::periodic:
        o.auto_compaction = api::AutoCompaction::periodic;
        break;
      case CompactionMode::revision:
        o.auto_compaction = api::AutoCompaction::revision;
        break;
    }
    o.compaction_period = std::chrono::seconds(config.compaction_seconds);
    o.compaction_revisions = config.compaction_revisions;
    return o;
  }

  // ---- the loop ----
  ExitCode run() {
    auto expected = Clock::now();
    while (stage != Stage::done) {
      auto now = Clock::now();
      const auto max_wait = work_left ? std::chrono::nanoseconds(0) : clock.next() - now;
      expected = now + std::max(max_wait, Clock::duration::zero());
      work_left = false;
      loop.wait(max_wait);
      TurnTimes times;
      times.woke = loop.woke_at();
      if (times.woke - expected > kStall) after_stall(times.woke - expected);
      turn(times);
      if (const auto& failure = node->failure()) {
        sentence = failure->message;
        if (node->divergence()) return diverged(*node->divergence());
        if (node->outdated()) return disown();
        return failed_by_log ? ExitCode::log_failed : exit_code_of(*failure);
      }
    }
    if (unopened) {
      sentence = unopened->sentence;
      return unopened->code;
    }
    if (removed) {
      sentence = "this member was removed from the cluster";
      return ExitCode::removed;
    }
    return ExitCode::ok;
  }

  ExitCode diverged(const runtime::Agreement::Finding& found) {
    divergence = Divergence{data->identity(), node->membership(),
                            fmt::format("{}\nname={} boot={} node={}\n{}", sentence, config.name,
                                        data->boot(), data->identity().node.value, found.text)};
    return ExitCode::diverged;
  }

  // Written down: started again with this disk, it would have to be told again, by who may be away.
  ExitCode disown() {
    const Result<void> done = storage::DataDir::disown(*files, config.data_dir, sentence);
    if (!done) log_line(Level::error, "cannot mark the data directory: " + done.error().message);
    return done && config.repairs_damage ? ExitCode::start_again : ExitCode::corrupt;
  }

  void turn(TurnTimes& times) {
    times.read = turn_began = Clock::now();
    const Tick before = clock.now();
    const Tick tick = clock.look(times.read);
    if (tick != before) {
      node->on_tick(tick);
      on_tick(times.read);
    }
    const runtime::NodeCounters counters = node->counters();
    const bool more = node->turn();
    times.applied = Clock::now();
    const bool answers = front->slice(kTurnShare);
    times.answered = Clock::now();
    loop.flush();
    times.flushed = Clock::now();
    work_left = work_left || more || answers;
    const double seconds = watch.observe(times, [&] {
      return fmt::format("inputs={} applied={}", node->counters().inputs - counters.inputs,
                         node->counters().applied_entries - counters.applied_entries);
    });
    front->metrics().turn_seconds.observe(seconds);
    front->metrics().slow_turns = watch.slow_turns();
  }

  // Everybody's frames are read BEFORE the clock moves on: they are no older than our own silence.
  void after_stall(std::chrono::nanoseconds late) {
    log_line(Level::warn, fmt::format("this process stood still (stopped, starved or swapped out) ms={}",
                                      std::chrono::duration_cast<milliseconds>(late).count()));
    for (int i = 0; i < kReadsAfterStall; ++i) loop.wait(std::chrono::nanoseconds(0));
  }

  void on_tick(Clock::time_point now) {
    watch.sample_cpu();
    front->tick(now);
    if (!open && stage == Stage::running && !removed && front->caught_up()) {
      unopened = open_to_clients();
      if (unopened) stop(unopened->sentence.c_str());
    }
    if (reserve_full && now >= reserve_retry) prepare_reserve();
    scrub->tick(now);
    if (removed && stage == Stage::running && now >= removed_until) stop("removed from the cluster");
    if (stage != Stage::running) stopping(now);
  }

  // ---- another epoch ----
  void membership_changed(const Membership& now, const std::vector<decree::Member>& former) override {
    membership = now;
    transport->set_members(now, former);
    if (now.find(data->identity().node) != nullptr || stage != Stage::running || removed) return;
    // Others may still have to learn from us what was decided before.
    removed = true;
    removed_until = Clock::now() + kServeAfterRemoval;
    front->leave_cluster();  // its clients go elsewhere at once
    log_line(Level::warn,
             fmt::format("this member was removed from the cluster, stopping in s={}",
                         std::chrono::duration_cast<std::chrono::seconds>(kServeAfterRemoval).count()));
  }

  // ---- stopping ----
  void stop(const char* cause) {
    if (stage != Stage::running) {
      log_line(Level::warn, fmt::format("stopping without waiting cause={}", cause));
      stage = Stage::done;
      return;
    }
    log_line(Level::info, fmt::format("stopping cause={}", cause));
    stage = Stage::handing_over;
    stage_until = Clock::now() + milliseconds(2 * config.election_ms);
    if (membership.voter_count() > 1) node->retire();
    work_left = true;
  }

  // The others must be an election quorum without this member.
  bool someone_can_take_over() const {
    uint32_t connected = 0;
    for (const decree::Member& m : membership.members)
      if (m.role == MemberRole::voter && m.node != data->identity().node && transport->is_connected(m.node))
        ++connected;
    return connected >= membership.election_quorum;
  }

  void stopping(Clock::time_point now) {
    if (stage == Stage::handing_over) {
      const ReplicaStatus replica = node->replica().status();
      const bool could = someone_can_take_over();
      if (could && replica.role == Role::leader && now < stage_until) return;
      if (could && replica.role == Role::leader) log_line(Level::warn, "nobody took over leadership in time");
      if (!removed) front->shut_down();
      stage = Stage::draining;
      stage_until = now + kDrain;
    }
    if (stage == Stage::draining && (front->drained() || now >= stage_until)) {
      if (!front->drained()) log_line(Level::warn, "calls were cut off, they did not end in time");
      front->close();
      stage = Stage::done;
    }
  }

  // ---- runtime::Host ----
  void send(NodeId to, Message message) override { transport->send(to, message); }
  void commit(std::vector<PersistedRecord> batch) override { log->append(std::move(batch)); }
  void read_log(SlotRange slots, uint64_t bytes_max, LogReadDone done) override {
    auto result = std::make_shared<std::optional<Result<std::vector<Entry>>>>();
    pool->run([result, slots, bytes_max, &wal = data->wal()] { result->emplace(wal.read(slots, bytes_max)); },
              [result, done = std::move(done)] {
                Result<std::vector<Entry>>& read = **result;
                if (read && read->empty())
                  done(Error{ErrorCode::not_found, "the log was cut behind a newer snapshot"});
                else
                  done(std::move(read));
              });
  }
  void truncate_log(Slot upto) override {
    auto result = std::make_shared<Result<void>>();
    pool->run([result, upto, &wal = data->wal()] { *result = wal.truncate_behind(upto); },
              [result] {
                if (!*result)
                  log_line(Level::warn, fmt::format("log not cut cause=\"{}\"", result->error().message));
              });
  }
  void run(std::function<void()> work, std::function<void()> done) override {
    pool->run(std::move(work), std::move(done));
  }
  void wake() override { work_left = true; }
  bool turn_spent() override { return Clock::now() - turn_began > kTurnShare; }
  uint64_t log_bytes() const override { return data->wal().live_bytes(); }
  uint64_t clock_us() override {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count());
  }

  // The next segment is made ready ahead, so that a full disk is noticed while there is still room in the
  // present one.
  void prepare_reserve() {
    if (reserve_busy) return;
    reserve_busy = true;
    auto result = std::make_shared<Result<void>>();
    pool->run(
        [result, &wal = data->wal()] { *result = wal.prepare_reserve(); },
        [this, result] {
          reserve_busy = false;
          const bool full = !*result && result->error().code == ErrorCode::no_space;
          if (!*result && !full)
            log_line(Level::error, fmt::format("no reserve segment cause=\"{}\"", result->error().message));
          if (full && !reserve_full)
            log_line(Level::error,
                     fmt::format("no room for the next log segment cause=\"{}\"", result->error().message));
          reserve_full = full;
          reserve_retry = Clock::now() + milliseconds(1000);
          node->on_disk_health(!log_full && !reserve_full);
        });
  }

  // What the log thread and the workers have to say, in their order.
  void run_posted() {
    std::vector<std::function<void()>> taken;
    {
      const std::lock_guard lock(posted_mutex);
      taken.swap(posted);
    }
    for (const std::function<void()>& work : taken) work();
  }

  // ---- transport::TransportSink ----
  void on_peer_message(NodeId from, Message message) override { node->on_message(from, std::move(message)); }
  void on_peer_link(NodeId peer, bool up, const transport::PeerProcess& process) override {
    node->on_peer_link(PeerLink{peer, up, process.incarnation, process.boot, process.disk_writes});
  }
  void on_other_disk(NodeId peer, Incarnation incarnation) override {
    node->on_disk_replaced(peer, incarnation);
  }
  void on_incarnation(NodeId peer, Incarnation incarnation) override {
    log_line(Level::info,
             fmt::format("first contact, this disk is trusted from now on node={} incarnation={:x}",
                         peer.value, incarnation.value));
  }
  void on_transport_log(transport::LogLevel level, const std::string& line) override {
    log_line(to_level(level), line);
  }

  // ---- runtime::NodeObserver ----
  void on_event(runtime::Severity severity, const char* event, const std::string& detail) override {
    log_line(to_level(severity), detail.empty() ? std::string(event) : fmt::format("{} {}", event, detail));
  }

  net::EventLoop& loop;
  const Config config;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  std::unique_ptr<storage::DataDir> data;
  RecoveredState recovered;
  bool comes_back = false;               // the old disk was given up, the others said who this is
  bool open = false;                     // clients are taken
  std::optional<StartProblem> unopened;  // why they could not be
  uint64_t boot = 0;                     // of this start, in requests' ids and handshakes
  uint64_t disk_writes = 0;              // that the disk had taken before this start
  Membership membership;
  std::unique_ptr<kv::Store> store;
  std::unique_ptr<runtime::FileSnapshotStore> snapshots;
  std::mutex posted_mutex;
  std::vector<std::function<void()>> posted;  // guarded by posted_mutex
  std::unique_ptr<runtime::WorkerPool> pool;
  std::unique_ptr<runtime::LogThread> log;
  std::unique_ptr<runtime::Node> node;
  std::unique_ptr<transport::Transport> transport;
  std::unique_ptr<ClusterView> view;
  std::unique_ptr<api::ServerFront> front;

  LogicalClock clock{Clock::now()};
  TurnWatch watch;
  Clock::time_point turn_began{};
  bool work_left = true;
  bool log_full = false;
  bool reserve_full = false;
  bool reserve_busy = false;
  Clock::time_point reserve_retry{};
  std::unique_ptr<ScrubTask> scrub;
  bool failed_by_log = false;
  bool removed = false;
  Clock::time_point removed_until{};
  std::string sentence;
  std::optional<Divergence> divergence;
  Stage stage = Stage::running;
  Clock::time_point stage_until{};
};

Member::Member(net::EventLoop& loop, const Config& config) : impl_(std::make_unique<Impl>(loop, config)) {}
Member::~Member() = default;
std::optional<StartProblem> Member::start() { return impl_->start(); }
ExitCode Member::run() { return impl_->run(); }
void Member::stop(const char* cause) { impl_->stop(cause); }
const std::string& Member::end_sentence() const { return impl_->sentence; }
const std::optional<Divergence>& Member::divergence() const { return impl_->divergence; }

}  // namespace decree::server
