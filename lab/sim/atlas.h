// The fault atlas: which members' disks may be damaged, so that the damage stays survivable.
//
// Damage of what was synced (rot, misdirected writes, an old image) is held to fewer members than would leave
// a quorum of whole ones: every chosen value is then still on a whole disk in every quorum, and whatever
// happens a wrong answer has no excuse. A halting run breaks this rule on purpose: any disk may be damaged,
// and then the only right answer is to refuse and to halt, never to lie.
#pragma once

#include <cstdint>

namespace decree::lab {

class Atlas {
 public:
  Atlas(uint32_t members, bool halting_run) : members_(members), halting_run_(halting_run) {}

  bool halting_run() const { return halting_run_; }
  uint32_t quorum() const { return members_ / 2 + 1; }
  // A disk that is damaged already may be damaged again; it never counts as whole again in this run.
  bool may_damage(uint32_t node) const {
    const uint32_t with = damaged_ | 1u << node;
    return halting_run_ || count(with) + quorum() <= members_;
  }
  void damage(uint32_t node) { damaged_ |= 1u << node; }
  bool is_damaged(uint32_t node) const { return (damaged_ >> node & 1) != 0; }
  uint32_t whole() const { return members_ - count(damaged_); }

 private:
  static uint32_t count(uint32_t set) { return static_cast<uint32_t>(__builtin_popcount(set)); }
  uint32_t members_;
  bool halting_run_;
  uint32_t damaged_ = 0;  // bit per member, from 1
};

}  // namespace decree::lab
