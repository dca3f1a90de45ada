#include "api/server_front.h"

#include "api/announcer.h"
#include "api/auto_compactor.h"
#include "api/cluster_service.h"
#include "api/context.h"
#include "api/etcd_metrics.h"
#include "api/explain_service.h"
#include "api/http_pages.h"
#include "api/kv_service.h"
#include "api/maintenance_service.h"
#include "api/unimplemented_service.h"
#include "etcd/rpc.pb.h"
#include "kv/command.h"

namespace decree::api {

namespace {

constexpr auto expiry_interval = std::chrono::milliseconds(50);

}  // namespace

struct ServerFront::Impl final : Finisher {
  Impl(net::EventLoop& loop_in, Consensus& consensus, kv::Store& store, FrontOptions options_in,
       const Log& log)
      : loop(loop_in),
        options(std::move(options_in)),
        server(loop, options.limits, log),
        metrics_server(loop, options.limits, log),
        context(server, consensus, store, options,
                {std::chrono::steady_clock::now, [&loop_in] { loop_in.wake(); }, log}),
        kv(context),
        maintenance(context),
        cluster(context),
        explain(context),
        health_check(server),
        unimplemented(server),
        pages(context, server, metrics),
        metrics_pages(context, metrics_server, metrics),
        compactor(options.auto_compaction, options.compaction_period, options.compaction_revisions),
        announcer(context) {
    register_process_metrics(metrics);
    register_etcd_metrics(context, server, loop, pages, metrics);
    register_grpc_metrics(server, metrics);
    if (!context.status().replica.ready) context.pending.hold();
    context.forget_status();
    consensus.set_sink(&sink);
    sink.front = this;
  }

  // What was applied may carry a newer term than the status of this turn.
  struct Sink final : ConsensusSink {
    Impl* front = nullptr;
    void on_applied(uint64_t seq, Reply reply) override {
      front->context.forget_status();
      front->context.pending.on_applied(seq, std::move(reply));
    }
    void on_outcome(uint64_t seq, Outcome outcome) override {
      front->context.pending.on_outcome(seq, outcome);
    }
    void on_leader_gone(uint64_t seq) override { front->context.pending.on_leader_gone(seq); }
    void on_change_refused(uint64_t seq, const ChangeRefused& why) override {
      front->context.pending.on_change_refused(seq, why);
    }
    void on_read(uint64_t seq, bool ok) override { front->context.pending.on_read(seq, ok); }
  };

  void on_applied(http::CallId, uint32_t, Reply) override {}
  void on_failed(http::CallId, uint32_t, const EtcdError&) override {}

  void tick(net::SteadyTime now) {
    context.forget_status();
    kv.tick();
    maintenance.tick(now);
    // Status is asked for once a tick only while it matters: a member that has caught up stays so.
    if (context.pending.held() && context.status().replica.ready) context.pending.release(now);
    if (now < next_expiry) return;
    next_expiry = now + expiry_interval;
    context.pending.expire(now);
    if (context.status().state_disputed) context.raise_corrupt();
    if (options.announce) announcer.tick(now);
    const int64_t revision = compactor.due(now, context.store.current_revision(),
                                           context.store.compacted_revision(), context.is_leader());
    if (revision == 0) return;
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    context.pending.propose({}, kv::encode_command(kv::CommandType::compact, request.SerializeAsString()),
                            this);
  }

  net::EventLoop& loop;
  FrontOptions options;
  Metrics metrics;
  http::Server server;
  http::Server metrics_server;
  Context context;
  KvService kv;
  MaintenanceService maintenance;
  ClusterService cluster;
  ExplainService explain;
  HealthCheckService health_check;
  UnimplementedService unimplemented;
  HttpPages pages;
  HttpPages metrics_pages;
  AutoCompactor compactor;
  Announcer announcer;
  Sink sink;
  std::vector<uint16_t> ports;
  net::SteadyTime next_expiry{};
};

ServerFront::ServerFront(net::EventLoop& loop, Consensus& consensus, kv::Store& store, FrontOptions options,
                         Log log)
    : impl_(std::make_unique<Impl>(
          loop, consensus, store, std::move(options), log ? std::move(log) : [](const std::string&) {})) {}

ServerFront::~ServerFront() {
  impl_->context.consensus.set_sink(nullptr);
  // Services hear of their cancelled calls while they still exist.
  impl_->server.stop();
  impl_->metrics_server.stop();
}

Result<void> ServerFront::bind() {
  for (const net::HostPort& address : impl_->options.listen) {
    Result<uint16_t> port = impl_->server.bind(address);
    if (!port.ok()) return port.error();
    impl_->ports.push_back(*port);
  }
  for (const net::HostPort& address : impl_->options.listen_metrics) {
    Result<uint16_t> port = impl_->metrics_server.listen(address);
    if (!port.ok()) return port.error();
  }
  return {};
}

Result<void> ServerFront::open() { return impl_->server.open_bound(); }
bool ServerFront::caught_up() const { return !impl_->context.pending.held(); }
std::vector<uint16_t> ServerFront::ports() const { return impl_->ports; }
void ServerFront::tick(net::SteadyTime now) { impl_->tick(now); }

bool ServerFront::slice(std::chrono::nanoseconds budget) {
  impl_->context.forget_status();
  return impl_->context.long_answers.slice(budget);
}

Metrics& ServerFront::metrics() { return impl_->metrics; }

void ServerFront::shut_down() {
  impl_->server.shut_down();
  impl_->metrics_server.shut_down();
}

void ServerFront::leave_cluster() {
  shut_down();
  impl_->context.pending.leave();
}

bool ServerFront::drained() const { return impl_->server.drained(); }

void ServerFront::close() {
  impl_->context.pending.fail_all(kStopped);
  impl_->loop.flush();
  impl_->server.close_all("the server has stopped");
  impl_->metrics_server.close_all("the server has stopped");
}

}  // namespace decree::api
