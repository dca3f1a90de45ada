// etcdserverpb.Cluster: who the members are, and changing them. A change is an epoch of the log
// (docs/decisions/0014); a member added to vote joins as a learner and votes by itself when it has caught up.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/context.h"

namespace decree::api {

class ClusterService final : public http::GrpcService, public Finisher {
 public:
  explicit ClusterService(Context& context);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;
  void on_read(http::CallId call, uint32_t tag) override;
  void on_applied(http::CallId call, uint32_t tag, Reply reply) override;
  void on_change_refused(http::CallId call, uint32_t tag, const ChangeRefused& why) override;
  void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) override;

 private:
  enum Method : uint32_t { kList, kAdd, kRemove, kUpdate, kPromote };
  struct Change {
    Method method = kList;
    uint64_t id = 0;  // of the member concerned; set by add
    bool learner = false;
    std::vector<std::string> peer_urls;
    uint32_t attempts = 0;
  };

  bool parse(uint32_t method, std::string_view message, Change* change) const;
  void propose(http::CallId call, uint32_t tag);
  // The next epoch, or why not.
  std::optional<EtcdError> edit(Change& change, Membership* next);
  std::optional<EtcdError> edit_add(Change& change, Membership* next);
  std::optional<EtcdError> may_remove(const Member& member);
  std::optional<EtcdError> may_promote(const Member& member);
  void list(http::CallId call);
  void answer(http::CallId call, const Change& change);

  Context& context_;
  std::map<uint32_t, Change> changes_;
  uint32_t next_tag_ = 1;
};

}  // namespace decree::api
