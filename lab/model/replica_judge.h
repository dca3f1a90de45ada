// What must hold in every state of whole replicas, over all members at once (docs/invariants.md).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lab/model/replica_step.h"

namespace decree::lab::model {

std::string show(const Word& word);

class ReplicaJudge {
 public:
  ReplicaJudge(const Config& config, const SiteTables& tables, const Membership& first)
      : config_(config), tables_(tables), first_(first) {}
  // `said`: per member the set of its words; `added`: new words of `who`. Empty: nothing is broken.
  std::string look(std::span<const uint32_t> said, uint32_t who, const std::vector<uint32_t>& added) const;
  // I18: whatever is chosen is held by somebody who is still there.
  std::string look_at_loss(std::span<const uint32_t> said, std::span<const Site* const> sites) const;
  // May the operator throw away the disk of `node`?
  bool may_retire(std::span<const uint32_t> said, NodeId node) const;

 private:
  template <class Each>
  void each_word(std::span<const uint32_t> said, Each&& each) const;
  const Membership* epoch(std::span<const uint32_t> said, uint32_t number) const;
  bool chosen(std::span<const uint32_t> said, const Word& vote) const;
  const Word* chosen_otherwise(std::span<const uint32_t> said, Slot slot, const Entry& value) const;
  std::string look_at_vote(std::span<const uint32_t> said, const Word& vote) const;
  std::string look_at_stop(std::span<const uint32_t> said, const Word& vote) const;
  std::string look_at_accept(std::span<const uint32_t> said, const Accept& accept) const;
  std::string look_at_decided(std::span<const uint32_t> said, const Word& decided) const;
  std::string look_at_opened(std::span<const uint32_t> said, const Word& opened) const;
  std::string look_at_reports(const std::vector<uint32_t>& own) const;

  const Config& config_;
  const SiteTables& tables_;
  const Membership& first_;
};

}  // namespace decree::lab::model
