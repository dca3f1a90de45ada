// etcdserverpb.Cluster: who the members are. Changing them is not in this release.
#pragma once

#include "api/context.h"

namespace decree::api {

class ClusterService final : public http::GrpcService, public Finisher {
 public:
  explicit ClusterService(Context& context);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;
  void on_read(http::CallId call, uint32_t tag) override;
  void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) override;

 private:
  void list(http::CallId call);
  Context& context_;
};

}  // namespace decree::api
