// Consensus as the API sees it: the node, plus what only the whole server knows (client URLs from the store, round
// trips from the transport). Also tells the cluster, through the log, how clients reach this member.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "decree/consensus.h"
#include "kv/applier.h"
#include "runtime/node.h"
#include "transport/transport.h"

namespace decree::server {

class ClusterView final : public Consensus, public ConsensusSink {
 public:
  struct Own {
    uint64_t member_id = 0;
    std::string name;
    std::vector<std::string> client_urls;
    std::string cluster_version;
  };
  ClusterView(runtime::Node& node, const kv::Store& store, const transport::Transport& transport, Own own);

  // Proposes what the cluster does not know yet about this member. About every 100 ms.
  void announce();

  void set_sink(ConsensusSink* sink) override { sink_ = sink; }
  uint64_t propose(std::string command) override { return node_.propose(std::move(command)); }
  uint64_t read() override { return node_.read(); }
  ConsensusStatus status() const override;
  void transfer_leadership(NodeId to) override { node_.transfer_leadership(to); }

  void on_applied(uint64_t seq, Reply reply) override;
  void on_outcome(uint64_t seq, Outcome outcome) override;
  void on_read(uint64_t seq, bool ok) override;

 private:
  bool take(uint64_t seq);

  runtime::Node& node_;
  const kv::Store& store_;
  const transport::Transport& transport_;
  const Own own_;
  ConsensusSink* sink_ = nullptr;
  uint64_t member_proposal_ = 0;   // 0: none under way
  uint64_t version_proposal_ = 0;
};

}  // namespace decree::server
