// etcdserverpb.KV over the log and the store.
#pragma once

#include <memory>
#include <vector>

#include "api/context.h"

namespace decree::api {

class KvService final : public http::GrpcService, public Finisher {
 public:
  explicit KvService(Context& context);
  ~KvService() override;

  void on_unary(http::CallId call, uint32_t method, std::string_view message) override;
  void on_writable(http::CallId call, uint32_t method) override;

  void on_applied(http::CallId call, uint32_t tag, Reply reply) override;
  void on_read(http::CallId call, uint32_t tag) override;
  void on_failed(http::CallId call, uint32_t tag, const EtcdError& error) override;

  // Answers of physical compactions wait here for the store.
  void tick();

 private:
  struct Saved;     // a request that waits for its read
  struct Waiting {  // an answer that waits for physical compaction
    http::CallId call;
    int64_t revision = 0;
    Reply reply;
  };

  void range(http::CallId call, std::string_view message);
  void put(http::CallId call, std::string_view message);
  void delete_range(http::CallId call, std::string_view message);
  void txn(http::CallId call, std::string_view message);
  void compact(http::CallId call, std::string_view message);
  void serve(http::CallId call, const Saved& saved);
  bool write_refused(http::CallId call, std::string_view message, bool puts, uint64_t cost_bytes);
  uint32_t save();
  void release(uint32_t tag);

  Context& context_;
  // Kept between calls: parsing into a used message allocates nothing.
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
  std::vector<std::unique_ptr<Saved>> saved_;
  std::vector<uint32_t> free_saved_;
  std::vector<Waiting> compactions_;
};

}  // namespace decree::api
