// GET /health, /livez, /readyz, /version, /metrics: etcd's paths, texts and codes.
#pragma once

#include <string>
#include <vector>

#include "api/context.h"
#include "api/metrics.h"
#include "http/server.h"

namespace decree::api {

class HttpPages final : public http::HttpHandler, public Finisher {
 public:
  HttpPages(Context& context, http::Server& server, Metrics& metrics);
  void on_request(http::CallId call, const http::HttpRequest& request) override;
  void on_read(http::CallId call, uint32_t tag) override;
  void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) override;

  uint64_t health_successes() const { return health_successes_; }
  uint64_t health_failures() const { return health_failures_; }

 private:
  // A page that waits for a read. Its call may be of another port than the one that pending_replies knows, so
  // it is remembered here.
  struct Probe {
    http::CallId call;
    bool health = false;
    bool verbose = false;
    uint32_t checks = 0;  // bits
  };
  void health(http::CallId call, const http::HttpRequest& request);
  void checks(http::CallId call, const http::HttpRequest& request);
  void ask(const Probe& probe);
  Probe take(uint32_t tag);
  void finish_health(http::CallId call, const std::string& reason);
  void finish_checks(const Probe& probe, const std::string& read_error);
  std::string run_check(const std::string& name, const std::string& read_error);

  Context& context_;
  http::Server& server_;
  Metrics& metrics_;
  std::vector<Probe> probes_;
  std::vector<uint32_t> free_probes_;
  uint64_t health_successes_ = 0;
  uint64_t health_failures_ = 0;
};

}  // namespace decree::api
