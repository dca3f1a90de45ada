// SimMember: what clients ask and what they are told; either through the request layer (front.h), or straight
// to the log and the store.
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "kv/command.h"
#include "lab/sim/script.h"
#include "lab/sim/sim_member.h"

namespace decree::lab {

// Stands between the request layer and the Node: remembers whose proposal got which number, and since when a
// read has been asked for.
class SimMember::WatchedConsensus final : public Consensus {
 public:
  explicit WatchedConsensus(SimMember& owner) : owner_(owner) {}
  void set_sink(ConsensusSink* /*sink*/) override {}  // the member is the sink, and passes on
  using Consensus::propose;
  uint64_t propose(std::shared_ptr<const std::string> command) override {
    const uint64_t seq = owner_.node_->propose(command);
    const RequestId id{owner_.self_, owner_.boot_, seq};
    const auto again = submitted_.find(command);
    if (again != submitted_.end())
      owner_.world_.remember_request_again(id, again->second);
    else if (owner_.asking_ != kNoClient)
      owner_.world_.remember_request(id, owner_.asking_);
    submitted_.emplace(std::move(command), id);
    return seq;
  }
  uint64_t read() override {
    const uint64_t seq = owner_.node_->read();
    owner_.reads_[seq] = Asked{kNoClient, 0, owner_.world_.acknowledged()};
    return seq;
  }
  ConsensusStatus status() const override { return owner_.node_->status(); }
  const Membership& membership() const override { return owner_.node_->membership(); }
  uint64_t change_members(Membership next, bool forced) override {
    return owner_.node_->change_members(std::move(next), forced);
  }
  void transfer_leadership(NodeId to) override { owner_.node_->transfer_leadership(to); }

 private:
  SimMember& owner_;
  // What the request layer submits again is the same object. Look-up only: its order is no one's business.
  std::unordered_map<std::shared_ptr<const std::string>, RequestId> submitted_;
};

void SimMember::open_front() {
  if (!world_.swarm().request_layer || store_->kv() == nullptr) return;
  consensus_ = std::make_unique<WatchedConsensus>(*this);
  front_ = std::make_unique<Front>(*consensus_, *store_->kv(),
                                   Front::Outside{[this] { return clock_us(); }, [this] { wake(); },
                                                  [this](const Front::Answer& a) { on_answer(a); }});
}

void SimMember::on_answer(const Front::Answer& answer) {
  if (!world_.is_waiting(answer.client, answer.serial)) return;
  Operation& op = world_.operation_of(answer.client);
  if (answer.ok) {
    if (!store_->decode_answer(answer.text, &op))
      return world_.fail("I17", fmt::format("node {} answered with bytes that are no answer to {}",
                                            self_.value, describe(op)));
    if (op.kind != OpKind::range) world_.on_acknowledged(node_->applied());
    return world_.finish(answer.client, answer.serial, OpOutcome::ok);
  }
  // A read that failed did nothing, whatever its error says.
  const bool unknown = answer.may_have_happened && op.kind != OpKind::range;
  world_.finish(answer.client, answer.serial, unknown ? OpOutcome::unknown : OpOutcome::fail);
}

void SimMember::ask_compaction(int64_t keep, bool physical) {
  if (node_ == nullptr || paused_ || store_->kv() == nullptr || store_->revision() - keep < 1) return;
  if (Recorder* recorder = world_.recorder(); recorder != nullptr)
    recorder->on_step(StepKind::compact, self_.value, physical ? 1 : 0, static_cast<uint32_t>(keep));
  const std::string request = store_->encode_compaction(store_->revision() - keep, physical);
  if (front_)
    front_->call_unheard("Compact", request);
  else
    node_->propose(kv::encode_command(kv::CommandType::compact, request));
  turn_soon();
}

void SimMember::on_request(uint32_t client, uint64_t serial) {
  if (!world_.is_waiting(client, serial)) return;  // given up meanwhile
  Operation& op = world_.operation_of(client);
  if (Recorder* recorder = world_.recorder(); recorder != nullptr) recorder->on_request(client, op);
  if (front_) {
    std::string_view method;
    const std::string request = store_->encode_request(op, &method);
    asking_ = client;
    front_->call(client, serial, method, request);
    asking_ = kNoClient;
    return turn_soon();
  }
  if (op.kind == OpKind::range && op.serializable) {
    // A member that has not caught up since its start answers nothing (attack A10).
    const bool done = node_->status().replica.ready && store_->read(&op);
    world_.finish(client, serial, done ? OpOutcome::ok : OpOutcome::fail);
    return;
  }
  Asked asked{client, serial, Slot(0)};
  if (op.kind == OpKind::range) {
    asked.acknowledged_before = world_.acknowledged();
    reads_[node_->read()] = asked;
  } else {
    const uint64_t seq = node_->propose(store_->encode(op));
    writes_[seq] = asked;
    world_.remember_request(RequestId{self_, boot_, seq}, client);
  }
  turn_soon();
}

void SimMember::on_applied(uint64_t seq, Reply reply) {
  if (front_) return front_->sink().on_applied(seq, std::move(reply));
  const auto it = writes_.find(seq);
  if (it == writes_.end()) return;  // told "unknown" before
  const Asked asked = it->second;
  writes_.erase(it);
  if (!world_.is_waiting(asked.client, asked.serial)) return;
  Operation& op = world_.operation_of(asked.client);
  if (reply.code != 0 && op.asks_for_the_future())
    return world_.finish(asked.client, asked.serial, OpOutcome::fail);
  if (!store_->decode(reply, &op))
    return world_.fail("I17", fmt::format("node {} answered with an error: code {} {}", self_.value,
                                          reply.code, reply.body));
  world_.on_acknowledged(node_->applied());
  world_.finish(asked.client, asked.serial, OpOutcome::ok);
}

void SimMember::on_outcome(uint64_t seq, Outcome outcome) {
  if (outcome == Outcome::definitely_not) world_.ghost().on_definitely_not(RequestId{self_, boot_, seq});
  if (front_) return front_->sink().on_outcome(seq, outcome);
  const auto it = writes_.find(seq);
  if (it == writes_.end()) return;
  const Asked asked = it->second;
  writes_.erase(it);
  world_.finish(asked.client, asked.serial,
                outcome == Outcome::definitely_not ? OpOutcome::fail : OpOutcome::unknown);
}

void SimMember::on_leader_gone(uint64_t seq) {
  if (!front_) return on_outcome(seq, Outcome::definitely_not);
  world_.ghost().on_definitely_not(RequestId{self_, boot_, seq});
  front_->sink().on_leader_gone(seq);
}

void SimMember::on_read(uint64_t seq, bool ok) {
  const auto it = reads_.find(seq);
  if (it == reads_.end())
    return world_.fail("I15", fmt::format("node {} answered read {} twice", self_.value, seq));
  const Asked asked = it->second;
  reads_.erase(it);
  if (ok && node_->applied() < asked.acknowledged_before)
    return world_.fail(
        "I15",
        fmt::format(
            "stale read: node {} serves a read at slot {}, but slot {} was acknowledged before it was asked",
            self_.value, node_->applied().value, asked.acknowledged_before.value));
  if (front_) return front_->sink().on_read(seq, ok);
  if (!world_.is_waiting(asked.client, asked.serial)) return;
  const bool done = ok && store_->read(&world_.operation_of(asked.client));
  world_.finish(asked.client, asked.serial, done ? OpOutcome::ok : OpOutcome::fail);
}

}  // namespace decree::lab
