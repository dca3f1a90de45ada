// What must hold in every state, looked at over all members: the ghost knows which values are chosen because
// it counts durable acceptances, whoever has heard of them (I1, I5, I7, I8, I11 of docs/invariants.md; I3,
// I9, I10 and I21 are looked at where a member takes its step).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lab/model/node.h"

namespace decree::lab::model {

class Judge {
 public:
  Judge(const Config& config, const Tables& tables) : config_(config), tables_(tables) {}

  // Member `who` has just said `added`; `said[m]` is the set of everything m ever said. Looks at what is new,
  // because whatever was wrong before was found before. Empty when all is well.
  std::string look(std::span<const uint32_t> said, uint32_t who, const std::vector<uint32_t>& added) const;
  // After a restart of `who` that left it with this promise.
  std::string look_at_restart(std::span<const uint32_t> said, uint32_t who, Ballot promised) const;
  // "1:v 2:-": which values are chosen.
  std::string outcome(std::span<const uint32_t> said) const;

 private:
  bool chosen(std::span<const uint32_t> said, uint32_t vote) const;
  const Note* chosen_at(std::span<const uint32_t> said, Slot slot, const Entry& other_than) const;
  std::string look_at_vote(std::span<const uint32_t> said, uint32_t number) const;
  std::string look_at_accept(std::span<const uint32_t> said, const Note& accept) const;
  std::string look_at_chosen(std::span<const uint32_t> said, const Note& note) const;
  std::string look_at_reports(const std::vector<uint32_t>& own) const;
  std::string look_at_stop(std::span<const uint32_t> said) const;

  const Config& config_;
  const Tables& tables_;
};

std::string show(const Ballot& ballot);
std::string show(const Entry& entry);
std::string show(const Note& note);

}  // namespace decree::lab::model
