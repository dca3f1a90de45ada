// etcdserverpb.Maintenance: status, alarms, hashes, handing leadership over.
#pragma once

#include <vector>

#include "api/context.h"

namespace decree::api {

class MaintenanceService final : public http::GrpcService, public Finisher {
 public:
  explicit MaintenanceService(Context& context);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;
  void on_half_closed(http::CallId call, uint32_t method) override;
  void on_writable(http::CallId /*call*/, uint32_t /*method*/) override { context_.long_answers.kick(); }
  void on_read(http::CallId call, uint32_t tag) override;
  void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) override;
  // Leadership transfers that wait for the new leader.
  void tick(net::SteadyTime now);

 private:
  struct Transfer {
    http::CallId call;
    uint64_t target = 0;
    net::SteadyTime deadline;
  };
  void alarm(http::CallId call, std::string_view message);
  void status(http::CallId call);
  void hash(http::CallId call);
  void hash_kv(http::CallId call, std::string_view message);
  void begin_snapshot(http::CallId call);
  void move_leader(http::CallId call, std::string_view message);

  Context& context_;
  std::vector<Transfer> transfers_;
};

}  // namespace decree::api
