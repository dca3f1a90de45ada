// Every method of etcd's services that nothing else serves: refused by name, in a sentence.
#pragma once

#include <string>
#include <vector>

#include "http/server.h"

namespace decree::api {

class UnimplementedService final : public http::GrpcService {
 public:
  // Construct after all other services: takes what they left.
  explicit UnimplementedService(http::Server& server);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;
  void on_message(http::CallId call, uint32_t method, std::string_view message) override;
  void on_half_closed(http::CallId call, uint32_t method) override;

 private:
  void refuse(http::CallId call, uint32_t method);
  http::Server& server_;
  std::vector<std::string> names_;
};

// grpc.health.v1.Health/Check: SERVING for the server as a whole.
class HealthCheckService final : public http::GrpcService {
 public:
  explicit HealthCheckService(http::Server& server);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;

 private:
  http::Server& server_;
};

}  // namespace decree::api
