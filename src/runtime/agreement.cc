#include "runtime/agreement.h"

#include <algorithm>

#include <fmt/format.h>

namespace decree::runtime {

namespace {

bool same(const StateDigest& a, const StateDigest& b) { return a.chain == b.chain && a.state == b.state; }

std::string line_of(NodeId node, const StateDigest& d) {
  return fmt::format("node={} slot={} history={:016x}{:016x} state={:016x}{:016x}\n", node.value,
                     d.slot.value, d.chain.hi, d.chain.lo, d.state.hi, d.state.lo);
}

}  // namespace

bool Agreement::note(NodeId from, const StateDigest& told, Tick now) {
  if (told.slot == Slot(0)) return false;
  // What lies far behind is not kept; a peer cannot make this grow.
  if (samples_.size() >= kSlotsKept && told.slot < samples_.begin()->first) return false;
  Sample& sample = samples_[told.slot];
  if (sample.told.empty()) sample.since = now;
  const auto [known, first] = sample.told.try_emplace(from, told);
  const bool news = first || !same(known->second, told);
  known->second = told;
  while (samples_.size() > kSlotsKept) samples_.erase(samples_.begin());
  return news;
}

StateDigest Agreement::latest_own() const {
  for (auto it = samples_.rbegin(); it != samples_.rend(); ++it)
    if (const auto own = it->second.told.find(self_); own != it->second.told.end()) return own->second;
  return {};
}

std::string Agreement::Finding::summary() const {
  const auto list = [](const std::vector<NodeId>& nodes) {
    std::string out;
    for (const NodeId node : nodes) out += (out.empty() ? "" : ",") + std::to_string(node.value);
    return out;
  };
  return fmt::format("slot={} differs={} agreeing_nodes={} differing_nodes={}", slot.value,
                     histories_differ ? "history" : "state", list(agreeing), list(differing));
}

Agreement::Finding Agreement::look(const Membership& membership, Tick now) const {
  Finding result;
  for (auto it = samples_.rbegin(); it != samples_.rend(); ++it) {
    Finding found = look_at(it->first, it->second, membership, now);
    if (found.verdict == Verdict::diverged) return found;
    // A newer slot on which a majority is with this member makes older doubts moot: histories are chained.
    if (found.settled) {
      if (result.differing.empty()) result = std::move(found);
      result.vouched = it->first;
      return result;
    }
    if (!found.differing.empty() && result.verdict == Verdict::agrees) result = found;
  }
  return result;
}

Agreement::Finding Agreement::look_at(Slot slot, const Sample& sample, const Membership& membership,
                                      Tick now) const {
  Finding found;
  found.slot = slot;
  const auto own = sample.told.find(self_);
  if (own == sample.told.end()) return found;
  const uint32_t majority = membership.voter_count() / 2 + 1;
  uint32_t with_me = 0;
  uint32_t largest_other = 0;
  for (const auto& [node, told] : sample.told) {
    if (node != self_ && !membership.is_voter(node)) continue;
    if (same(told, own->second)) {
      found.agreeing.push_back(node);
      with_me += membership.is_voter(node) ? 1 : 0;
      continue;
    }
    found.differing.push_back(node);
    found.histories_differ = found.histories_differ || told.chain != own->second.chain;
    uint32_t with_them = 0;
    for (const auto& [other, also] : sample.told)
      with_them += membership.is_voter(other) && same(told, also) ? 1 : 0;
    largest_other = std::max(largest_other, with_them);
  }
  found.settled = with_me >= majority;
  if (found.differing.empty()) return found;
  for (const auto& [node, told] : sample.told) found.text += line_of(node, told);
  if (found.settled) return found;
  if (largest_other >= majority) {
    found.verdict = Verdict::diverged;
    return found;
  }
  uint32_t told = 0;
  for (const auto& [node, unused] : sample.told) told += membership.is_voter(node) ? 1 : 0;
  const bool nobody_left = told >= membership.voter_count() || now.value - sample.since.value >= kWaitTicks;
  if (nobody_left) found.verdict = Verdict::undecided;
  return found;
}

}  // namespace decree::runtime
