// World: the clients. Few keys, many ways to touch them; unique values, so that every value tells where it
// came from.
#include <algorithm>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/script.h"
#include "lab/sim/sim_member.h"
#include "lab/sim/world.h"

namespace decree::lab {

void World::start_clients() {
  schedule_chore();
  // Behind the ordinary clients stands one probe per member, idle until the faults stop.
  clients_.resize(swarm_.clients + swarm_.members);
  for (uint32_t c = 0; c < clients_.size(); ++c) {
    clients_[c].is_probe = c >= swarm_.clients;
    if (clients_[c].is_probe) {
      clients_[c].member = c - swarm_.clients + 1;
      continue;
    }
    Event e;
    e.kind = EventKind::client_next;
    e.a = c;
    queue_.schedule(static_cast<int64_t>(client_random_.below(500'000)), e);
  }
}

std::string World::key(uint64_t n) const { return "k" + std::to_string(10 + n); }

uint32_t World::choose_member() {
  if (!faults_on_) {
    uint32_t n = 0;
    do n = static_cast<uint32_t>(client_random_.between(1, swarm_.members));
    while (core_ != 0 && !in_core(n));
    return n;
  }
  if (client_random_.chance(swarm_.follow_leader))
    for (uint32_t n = 1; n <= swarm_.members; ++n)
      if (member(n).running() && member(n).node()->replica().status().role == Role::leader) return n;
  return static_cast<uint32_t>(client_random_.between(1, swarm_.members));
}

SimpleRequest World::make_request(uint32_t client, OpKind kind) {
  SimpleRequest r;
  r.kind = kind;
  const uint64_t n = client_random_.below(swarm_.keys);
  r.key = key(n);
  if (kind == OpKind::put) {
    r.value = fmt::format("c{}.{}", client, ++clients_[client].values);
    if (swarm_.value_bytes > 0) r.value.append(1 + client_random_.below(swarm_.value_bytes), '-');
    return r;
  }
  if (client_random_.chance(kind == OpKind::range ? 0.6 : 0.2))
    r.range_end = key(n + client_random_.between(1, 5));
  if (kind == OpKind::range && client_random_.chance(0.1)) r.limit = 2;
  return r;
}

Operation World::make_operation(uint32_t client) {
  Operation op;
  bool old = false;
  const uint64_t dice = client_random_.below(100);
  if (dice < swarm_.puts) {
    op.kind = OpKind::put;
  } else if (dice < swarm_.puts + swarm_.removes) {
    op.kind = OpKind::remove;
  } else if (dice < swarm_.puts + swarm_.removes + swarm_.ranges) {
    op.kind = OpKind::range;
    op.serializable = client_random_.chance(0.35);
    old = client_random_.chance(swarm_.old_reads);
  } else {
    op.kind = OpKind::txn;
  }
  if (op.kind != OpKind::txn) {
    op.request = make_request(client, op.kind);
    const int64_t seen = clients_[client].revision;
    if (old && seen > 1)
      op.request.at_revision =
          seen -
          static_cast<int64_t>(client_random_.below(std::min<uint64_t>(static_cast<uint64_t>(seen), 50)));
    return op;
  }
  // Compare-and-swap over one to three keys, mostly with what was last seen of them.
  const uint64_t compares = client_random_.between(1, 3);
  for (uint64_t i = 0; i < compares; ++i) {
    const uint64_t n = client_random_.below(swarm_.keys);
    Comparison c;
    c.key = key(n);
    c.target = client_random_.chance(0.7) ? CompareTarget::mod : CompareTarget::version;
    c.is = client_random_.chance(0.8) ? CompareIs::equal : CompareIs::greater;
    c.number = c.target == CompareTarget::mod ? clients_[client].last_mod[n]
                                              : static_cast<int64_t>(client_random_.below(3));
    op.compare.push_back(std::move(c));
  }
  // A key is put at most once in a branch, as etcd demands.
  const uint64_t puts = client_random_.between(1, std::min<uint64_t>(3, swarm_.keys));
  const uint64_t first = client_random_.below(swarm_.keys);
  for (uint64_t i = 0; i < puts; ++i) {
    SimpleRequest r = make_request(client, OpKind::put);
    r.key = key((first + i) % swarm_.keys);
    op.then_branch.push_back(std::move(r));
  }
  if (client_random_.chance(0.3)) op.then_branch.push_back(make_request(client, OpKind::range));
  if (client_random_.chance(0.05)) {
    op.then_branch.push_back(make_request(client, OpKind::range));
    op.then_branch.back().at_revision = kFarFuture;
  }
  op.else_branch.push_back(make_request(client, client_random_.chance(0.9) ? OpKind::range : OpKind::remove));
  return op;
}

void World::on_chore() {
  if (!faults_on_) return;
  schedule_chore();
  const uint32_t n = static_cast<uint32_t>(client_random_.between(1, swarm_.members));
  const bool all = client_random_.chance(swarm_.compact_all);
  const auto keep = static_cast<int64_t>(all ? 0 : client_random_.exponential(30));
  if (trace_.wanted()) note(n, "compaction asked", fmt::format("\"keep\":{}", keep));
  member(n).ask_compaction(keep, client_random_.chance(0.5));
}

void World::schedule_chore() {
  if (swarm_.compact_mean_us == 0) return;
  Event e;
  e.kind = EventKind::chore;
  queue_.schedule(
      static_cast<int64_t>(client_random_.exponential(static_cast<uint64_t>(swarm_.compact_mean_us))), e);
}

void World::client_next(uint32_t client) {
  Client& c = clients_[client];
  if (c.waiting || (!clients_on_ && !c.is_probe)) return;
  if (!c.is_probe) c.member = choose_member();
  Operation op;
  if (c.is_probe) {
    op.kind = OpKind::put;
    op.request.kind = OpKind::put;
    op.request.key = key(client_random_.below(swarm_.keys));
    op.request.value = fmt::format("probe{}.{}", client, ++c.values);
  } else {
    op = make_operation(client);
  }
  op.client = client;
  op.member = c.member;
  op.invoke_ns = now_ns();
  c.operation = history_.size();
  c.waiting = true;
  ++c.serial;
  if (trace_.wanted()) note(c.member, "asked", json_string("op") + ":" + json_string(describe(op)));
  history_.push_back(std::move(op));
  Event e;
  e.kind = EventKind::request;
  e.member = static_cast<uint8_t>(c.member);
  e.a = client;
  e.b = static_cast<uint32_t>(c.serial);
  queue_.schedule(static_cast<int64_t>(client_random_.below(300)), e);
  if (faults_on_) {
    Event late;
    late.kind = EventKind::client_late;
    late.a = client;
    late.b = static_cast<uint32_t>(c.serial);
    queue_.schedule(swarm_.patience_us, late);
  }
}

void World::client_late(uint32_t client, uint64_t serial) {
  if (!faults_on_) return;  // now everything has to end by itself
  if (recorder_ && is_waiting(client, serial)) recorder_->on_step(StepKind::give_up, 0, 0, client);
  finish(client, serial, OpOutcome::unknown);
}

void World::finish(uint32_t client, uint64_t serial, OpOutcome outcome) {
  Client& c = clients_[client];
  if (c.serial != serial || !c.waiting) return;
  c.waiting = false;
  Operation& op = history_[c.operation];
  // Until it is found out, what it tells is wrong, and nobody promised otherwise.
  if (member(op.member).diverged()) {
    outcome = OpOutcome::unknown;
    const auto applied = applied_revisions_.find(c.operation);
    op.revision = applied == applied_revisions_.end() ? 0 : applied->second;
  }
  op.outcome = outcome;
  op.return_ns = now_ns();
  if (outcome != OpOutcome::ok) {
    // A late answer may have been begun to be filled in.
    op.answers.clear();
    op.succeeded = false;
    if (op.kind == OpKind::range) op.revision = 0;
  } else {
    if (op.request.at_revision == 0) c.revision = std::max(c.revision, op.revision);
    for (const SimpleAnswer& a : op.answers)
      for (const SeenKv& kv : a.kvs)
        clients_[client].last_mod[(std::stoull(kv.key.substr(1)) - 10) % 32] = kv.mod;
    if (op.kind == OpKind::put) c.last_mod[(std::stoull(op.request.key.substr(1)) - 10) % 32] = op.revision;
  }
  if (trace_.wanted()) note(op.member, "answered", json_string("op") + ":" + json_string(describe(op)));
  if (c.is_probe && outcome == OpOutcome::ok) return;
  Event e;
  e.kind = EventKind::client_next;
  e.a = client;
  const int64_t think = c.is_probe || outcome != OpOutcome::ok ? 100'000 : swarm_.think_us;
  const auto delay = static_cast<int64_t>(client_random_.exponential(static_cast<uint64_t>(think)));
  queue_.schedule(c.is_probe ? delay : delay + rest_after(delay), e);
}

// What would fall into a rest waits for the next burst.
int64_t World::rest_after(int64_t delay_us) {
  if (swarm_.rest_us == 0) return 0;
  const int64_t period = swarm_.burst_us + swarm_.rest_us;
  const int64_t at = (queue_.now_us() + delay_us) % period;
  if (at < swarm_.burst_us) return 0;
  return period - at +
         static_cast<int64_t>(client_random_.below(static_cast<uint64_t>(swarm_.burst_us) / 4 + 1));
}

}  // namespace decree::lab
