// Consensus as the API sees it: the node, plus what only the whole server knows (client URLs from the store,
// round trips from the transport).
#pragma once

#include <utility>

#include "decree/consensus.h"
#include "kv/applier.h"
#include "runtime/node.h"
#include "transport/transport.h"

namespace decree::server {

class ClusterView final : public Consensus {
 public:
  ClusterView(runtime::Node& node, const kv::Store& store, const transport::Transport& transport)
      : node_(node), store_(store), transport_(transport) {}

  void set_sink(ConsensusSink* sink) override { node_.set_sink(sink); }
  using Consensus::propose;
  uint64_t propose(std::shared_ptr<const std::string> command) override {
    return node_.propose(std::move(command));
  }
  uint64_t read() override { return node_.read(); }
  ConsensusStatus status() const override;
  const Membership& membership() const override { return node_.membership(); }
  uint64_t change_members(Membership next, bool forced) override {
    return node_.change_members(std::move(next), forced);
  }
  void transfer_leadership(NodeId to) override { node_.transfer_leadership(to); }
  void explain(Slot slot, const ExplainDone& done) override { node_.explain(slot, done); }
  SlotRange slots_of_version(uint64_t version) const override { return node_.slots_of_version(version); }

 private:
  runtime::Node& node_;
  const kv::Store& store_;
  const transport::Transport& transport_;
};

}  // namespace decree::server
