// decree.explain.Explain: what this member remembers of a slot (proto/decree/explain.proto).
#pragma once

#include "api/context.h"

namespace decree::explain {
class SlotResponse;
}

namespace decree::api {

class ExplainService final : public http::GrpcService {
 public:
  explicit ExplainService(Context& context);
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;

 private:
  void answer(http::CallId call, const SlotHistory& story, SlotRange candidates);
  void fill_member(const SlotHistory& story, explain::SlotResponse* response);

  Context& context_;
};

}  // namespace decree::api
