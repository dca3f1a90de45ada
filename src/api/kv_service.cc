#include "api/kv_service.h"

#include <algorithm>

#include "api/parse.h"
#include "etcd/rpc.pb.h"
#include "kv/command.h"
#include "kv/request_check.h"

namespace decree::api {

namespace {

enum : uint32_t { method_range, method_put, method_delete_range, method_txn, method_compact };

}  // namespace

struct KvService::Saved {
  bool is_txn = false;
  int64_t revision = 0;
  etcdserverpb::RangeRequest range;
  etcdserverpb::TxnRequest txn;
};

struct KvService::Scratch {
  etcdserverpb::RangeRequest range;
  etcdserverpb::PutRequest put;
  etcdserverpb::DeleteRangeRequest delete_range;
  etcdserverpb::TxnRequest txn;
  etcdserverpb::CompactionRequest compaction;
};

KvService::KvService(Context& context) : context_(context), scratch_(std::make_unique<Scratch>()) {
  http::CallPort& server = context_.server;
  server.add_unary("/etcdserverpb.KV/Range", this, method_range);
  server.add_unary("/etcdserverpb.KV/Put", this, method_put);
  server.add_unary("/etcdserverpb.KV/DeleteRange", this, method_delete_range);
  server.add_unary("/etcdserverpb.KV/Txn", this, method_txn);
  server.add_unary("/etcdserverpb.KV/Compact", this, method_compact);
}

KvService::~KvService() = default;

void KvService::on_unary(http::CallId call, uint32_t method, std::string_view message) {
  // etcd's clients ask by this field to hear at once that there is no leader, instead of waiting for one.
  if (!context_.has_leader() && context_.server.metadata(call, "hasleader") == "true")
    return send_error(context_.server, call, kNoLeader);
  switch (method) {
    case method_range:
      return range(call, message);
    case method_put:
      return put(call, message);
    case method_delete_range:
      return delete_range(call, message);
    case method_txn:
      return txn(call, message);
    default:
      return compact(call, message);
  }
}

void KvService::on_writable(http::CallId /*call*/, uint32_t /*method*/) { context_.long_answers.kick(); }

uint32_t KvService::save() {
  if (free_saved_.empty()) {
    saved_.push_back(std::make_unique<Saved>());
    return static_cast<uint32_t>(saved_.size() - 1);
  }
  const uint32_t tag = free_saved_.back();
  free_saved_.pop_back();
  return tag;
}

void KvService::release(uint32_t tag) {
  // A large transaction must not stay for ever in a place that a get uses next.
  const etcdserverpb::RangeRequest& range = saved_[tag]->range;
  if (saved_[tag]->is_txn || range.key().capacity() + range.range_end().capacity() > 4096)
    saved_[tag] = std::make_unique<Saved>();
  free_saved_.push_back(tag);
}

void KvService::range(http::CallId call, std::string_view message) {
  etcdserverpb::RangeRequest& request = scratch_->range;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (const kv::Refusal refusal = kv::check_range(request); !refusal.ok())
    return send_reply(context_.server, call, refusal.reply());
  const uint32_t tag = save();
  Saved& saved = *saved_[tag];
  saved.range.Swap(&request);
  // A member that has not caught up since its start may be far behind what it once served (attack A10).
  if (saved.range.serializable() && context_.status().replica.ready) {
    serve(call, saved);
    return release(tag);
  }
  context_.pending.read(call, this, tag);
}

void KvService::serve(http::CallId call, const Saved& saved) {
  if (saved.is_txn)
    return send_reply(context_.server, call, context_.store.read_txn(saved.txn, context_.term()));
  kv::Store::RangeOutcome outcome = context_.store.range(saved.range, context_.term());
  if (auto* reply = std::get_if<Reply>(&outcome))
    send_reply(context_.server, call, std::move(*reply));
  else
    context_.long_answers.add(call, std::move(std::get<std::unique_ptr<kv::RangeJob>>(outcome)));
}

// Size, alarm and quota, in etcd's order.
bool KvService::write_refused(http::CallId call, std::string_view message, bool puts, uint64_t cost_bytes) {
  if (message.size() + kv::kCommandHeaderBytes > context_.options.request_bytes_max) {
    send_reply(context_.server, call, kv::kTooLarge.reply());
    return true;
  }
  if (!puts) return false;
  const bool over = context_.store.over_quota(cost_bytes, context_.options.quota_bytes);
  if (over) context_.raise_no_space();
  if (!over && !context_.store.has_alarm(kv::AlarmKind::no_space)) return false;
  send_reply(context_.server, call, kv::kNoSpace.reply());
  return true;
}

void KvService::put(http::CallId call, std::string_view message) {
  etcdserverpb::PutRequest& request = scratch_->put;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (const kv::Refusal refusal = kv::check_put(request); !refusal.ok())
    return send_reply(context_.server, call, refusal.reply());
  if (write_refused(call, message, true, kv::quota_cost_bytes(request))) return;
  context_.pending.propose(call,
                           kv::encode_command(kv::CommandType::put, message, context_.options.quota_bytes));
}

void KvService::delete_range(http::CallId call, std::string_view message) {
  etcdserverpb::DeleteRangeRequest& request = scratch_->delete_range;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (const kv::Refusal refusal = kv::check_delete_range(request); !refusal.ok())
    return send_reply(context_.server, call, refusal.reply());
  if (write_refused(call, message, false, 0)) return;
  context_.pending.propose(
      call, kv::encode_command(kv::CommandType::delete_range, message, context_.options.quota_bytes));
}

void KvService::txn(http::CallId call, std::string_view message) {
  etcdserverpb::TxnRequest& request = scratch_->txn;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (const kv::Refusal refusal = kv::check_txn(request, context_.options.txn_ops_max); !refusal.ok())
    return send_reply(context_.server, call, refusal.reply());
  if (!kv::txn_is_read_only(request)) {
    const bool puts = kv::txn_has_put(request);
    if (write_refused(call, message, puts, puts ? kv::quota_cost_bytes(request) : 0)) return;
    return context_.pending.propose(
        call, kv::encode_command(kv::CommandType::txn, message, context_.options.quota_bytes));
  }
  const bool local = kv::txn_is_serializable(request) && context_.status().replica.ready;
  const uint32_t tag = save();
  Saved& saved = *saved_[tag];
  saved.is_txn = true;
  saved.txn.Swap(&request);
  if (!local) return context_.pending.read(call, this, tag);
  serve(call, saved);
  release(tag);
}

void KvService::compact(http::CallId call, std::string_view message) {
  etcdserverpb::CompactionRequest& request = scratch_->compaction;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (write_refused(call, message, false, 0)) return;
  std::string command = kv::encode_command(kv::CommandType::compact, message, context_.options.quota_bytes);
  if (!request.physical()) return context_.pending.propose(call, std::move(command));
  const uint32_t tag = save();
  saved_[tag]->revision = request.revision();
  context_.pending.propose(call, std::move(command), this, tag);
}

void KvService::on_applied(http::CallId call, uint32_t tag, Reply reply) {
  const int64_t revision = saved_[tag]->revision;
  release(tag);
  if (reply.code != 0 || context_.store.compaction_done(revision))
    return send_reply(context_.server, call, std::move(reply));
  compactions_.push_back({call, revision, std::move(reply)});
}

void KvService::tick() {
  const auto done = [this](Waiting& waiting) {
    if (!context_.server.open(waiting.call)) return true;
    if (!context_.store.compaction_done(waiting.revision)) return false;
    send_reply(context_.server, waiting.call, std::move(waiting.reply));
    return true;
  };
  compactions_.erase(std::remove_if(compactions_.begin(), compactions_.end(), done), compactions_.end());
}

void KvService::on_read(http::CallId call, uint32_t tag) {
  if (context_.server.open(call)) serve(call, *saved_[tag]);
  release(tag);
}

void KvService::on_failed(http::CallId call, uint32_t tag, const EtcdError& error) {
  release(tag);
  send_error(context_.server, call, error);
}

}  // namespace decree::api
