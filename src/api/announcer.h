// Tells the cluster, through the log, this member's name and client URLs, and the cluster version when
// leading.
#pragma once

#include "api/context.h"

namespace decree::api {

class Announcer final : public Finisher {
 public:
  explicit Announcer(Context& context) : context_(context) {}
  void tick(net::SteadyTime now);
  void on_applied(http::CallId, uint32_t, Reply) override { waiting_ = false; }
  void on_failed(http::CallId, uint32_t, const EtcdError&) override { waiting_ = false; }

 private:
  Context& context_;
  bool waiting_ = false;
  net::SteadyTime next_{};
};

}  // namespace decree::api
