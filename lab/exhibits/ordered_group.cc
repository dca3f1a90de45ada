#include "lab/exhibits/ordered_group.h"

#include <algorithm>

namespace decree::lab {

OrderedGroup::OrderedGroup(const GroupOptions& options)
    : options_(options), random_(options.seed), members_(options.processes) {}

void OrderedGroup::send_to_all(uint32_t from, uint32_t id) {
  for (uint32_t to = 1; to <= processes(); ++to) {
    if (to == from) continue;
    ++data_messages_;
    parcels_.push_back(Parcel{from, to, id});
  }
}

void OrderedGroup::broadcast(uint32_t p, uint32_t id) {
  if (!at(p).alive) return;
  send_to_all(p, id);
  at(p).received.insert(id);
  if (options_.ordering == Ordering::receipt) at(p).delivered.push_back(id);
  advance(p);
}

void OrderedGroup::crash(uint32_t p) {
  at(p).alive = false;
  std::erase_if(parcels_, [&](const Parcel& parcel) {
    return parcel.to == p || (parcel.from == p && random_.chance(0.5));
  });
}

void OrderedGroup::receive(uint32_t p, uint32_t id) {
  if (!at(p).received.insert(id).second) return;
  if (options_.relay) send_to_all(p, id);
  if (options_.ordering == Ordering::receipt) at(p).delivered.push_back(id);
  advance(p);
}

OrderedGroup::Instance& OrderedGroup::instance(size_t k) {
  while (instances_.size() <= k) {
    KernelOptions o;
    o.voters = processes();
    o.laws = true;
    for (uint32_t p = 0; p < processes(); ++p) o.inputs.push_back(p);  // the value is whose set it is
    Instance& added = instances_.emplace_back();
    added.world = std::make_unique<KernelWorld>(o);
    added.proposals.resize(processes());
  }
  return instances_[k];
}

void OrderedGroup::in_instance(Instance& i, size_t taken, const std::function<void(KernelWorld&)>& event) {
  const size_t before = i.world->pool().size() - taken;
  event(*i.world);
  consensus_messages_ += i.world->pool().size() - before;
}

// Delivers what is decided, proposes what is not.
void OrderedGroup::advance(uint32_t p) {
  if (options_.ordering == Ordering::receipt) return;
  Member& m = at(p);
  while (true) {
    if (m.instance < instances_.size()) {
      Instance& i = instances_[m.instance];
      if (const auto winner = i.world->decision(p)) {
        for (const uint32_t id : i.proposals[*winner])
          if (m.done.insert(id).second) m.delivered.push_back(id);
        m.received.insert(i.proposals[*winner].begin(), i.proposals[*winner].end());
        ++m.instance;
        m.proposed = false;
        continue;
      }
    }
    if (m.proposed) return;
    std::vector<uint32_t> open;
    std::set_difference(m.received.begin(), m.received.end(), m.done.begin(), m.done.end(),
                        std::back_inserter(open));
    if (open.empty()) return;
    Instance& i = instance(m.instance);
    i.proposals[p - 1] = std::move(open);
    m.proposed = true;
    in_instance(i, 0, [p](KernelWorld& w) { w.start(p); });
    return;
  }
}

bool OrderedGroup::step() {
  struct Choice {
    size_t instance = 0;
    size_t index = 0;
  };
  std::vector<Choice> choices;
  for (size_t k = 0; k < instances_.size(); ++k) {
    KernelWorld& w = *instances_[k].world;
    for (size_t i = w.pool().size(); i-- > 0;)
      if (!at(w.pool()[i].to).alive) w.drop(i);
    for (size_t i = 0; i < w.pool().size(); ++i) choices.push_back({k, i});
  }
  if (!parcels_.empty() || !choices.empty()) {
    const size_t n = random_.below(parcels_.size() + choices.size());
    if (n < parcels_.size()) {
      const Parcel parcel = parcels_[n];
      parcels_.erase(parcels_.begin() + static_cast<ptrdiff_t>(n));
      if (at(parcel.to).alive) receive(parcel.to, parcel.id);
      return true;
    }
    const Choice c = choices[n - parcels_.size()];
    Instance& i = instances_[c.instance];
    const uint32_t to = i.world->pool()[c.index].to;
    in_instance(i, 1, [&c](KernelWorld& w) { w.deliver(c.index); });
    advance(to);
    return true;
  }
  // Nothing under way: the clock of somebody who still waits.
  std::vector<uint32_t> waiting;
  for (uint32_t p = 1; p <= processes(); ++p)
    if (at(p).alive && at(p).instance < instances_.size()) waiting.push_back(p);
  if (waiting.empty()) return false;
  const uint32_t p = waiting[random_.below(waiting.size())];
  in_instance(instances_[at(p).instance], 0, [p](KernelWorld& w) { w.start(p); });
  advance(p);
  return true;
}

}  // namespace decree::lab
