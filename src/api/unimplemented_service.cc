#include "api/unimplemented_service.h"

#include <fmt/format.h>

#include <set>

#include "etcd/rpc.pb.h"

namespace decree::api {

UnimplementedService::UnimplementedService(http::Server& server) : server_(server) {
  std::set<std::string> served;
  for (const auto& route : server.routes()) served.insert(route->path);
  const google::protobuf::FileDescriptor* file = etcdserverpb::RangeRequest::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s) {
    const google::protobuf::ServiceDescriptor* service = file->service(s);
    for (int m = 0; m < service->method_count(); ++m) {
      const google::protobuf::MethodDescriptor* method = service->method(m);
      const std::string path = fmt::format("/{}/{}", service->full_name(), method->name());
      if (served.count(path) != 0) continue;
      names_.push_back(fmt::format("{}.{}", service->name(), method->name()));
      const auto number = static_cast<uint32_t>(names_.size() - 1);
      if (method->client_streaming() || method->server_streaming())
        server.add_streaming(path, this, number);
      else
        server.add_unary(path, this, number);
    }
  }
}

// The code tells clients not to try again; the Go client's Authenticate, called first thing when a user is
// given, has a text of its own that lets it go on without a token.
void UnimplementedService::refuse(http::CallId call, uint32_t method) {
  if (names_[method] == "Auth.Authenticate")
    return server_.fail(call, http::GrpcCode::failed_precondition,
                        "etcdserver: authentication is not enabled");
  server_.fail(
      call, http::GrpcCode::unimplemented,
      fmt::format(
          "decree: {} is not in this release of decreed; it serves KV, Cluster, Status, Alarm, HashKV, "
          "Snapshot and MoveLeader",
          names_[method]));
}

void UnimplementedService::on_unary(http::CallId call, uint32_t method, std::string_view /*message*/) {
  refuse(call, method);
}
void UnimplementedService::on_message(http::CallId call, uint32_t method, std::string_view /*message*/) {
  refuse(call, method);
}
void UnimplementedService::on_half_closed(http::CallId call, uint32_t method) { refuse(call, method); }

HealthCheckService::HealthCheckService(http::Server& server) : server_(server) {
  server.add_unary("/grpc.health.v1.Health/Check", this, 0);
}

void HealthCheckService::on_unary(http::CallId call, uint32_t /*method*/, std::string_view message) {
  // HealthCheckRequest{service 1 string}, HealthCheckResponse{status 1 enum: SERVING = 1}.
  if (!message.empty() && message != std::string_view("\x0a\x00", 2))
    return server_.fail(call, http::GrpcCode::not_found, "unknown service");
  server_.reply(call, std::string("\x08\x01", 2));
}

}  // namespace decree::api
