#include "lab/model/bytes.h"

#include "decree/check.h"

namespace decree::lab::model {

namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

void Bytes::one(const Message& message) {
  put(static_cast<uint64_t>(message.index()));
  std::visit(
      Overloaded{
          [&](const Prepare& m) { put(m.ballot, m.first); },
          [&](const Promise& m) {
            put(m.ballot, m.decided, m.snapshot_index, m.capture, m.boot, m.chunk, m.last, m.runs, m.unknown,
                m.disk_writes);
          },
          [&](const Fetch& m) { put(m.ballot, m.items); },
          [&](const FetchReply& m) { put(m.ballot, m.entries); },
          [&](const Accept& m) { put(m.ballot, m.base, m.first, m.decided, m.entries); },
          [&](const Accepted& m) { put(m.ballot, m.upto, m.decided, m.wanted, m.behind, m.disk_writes); },
          [&](const Nack& m) {
            put(m.ballot, m.promised, static_cast<uint64_t>(m.reason), m.boot, m.disk_writes);
          },
          [&](const Law& m) { put(m.ballot, m.decided); },
          [&](const Learn& m) { put(m.first); },
          [&](const Chosen& m) { put(m.epoch, m.first, m.entries, m.decided, m.chain_before); },
          [&](const StopHint& m) { put(m.epoch, m.stop_slot); },
          [&](const auto&) { DECREE_CHECK(false, "only messages about votes and Laws are kept"); },
      },
      message);
}

void Bytes::one(const Record& record) {
  put(static_cast<uint64_t>(record.index()));
  std::visit(Overloaded{
                 [&](const PromiseRecord& r) { put(r.promised); },
                 [&](const EpochRecord& r) { put(r.membership, r.initial_ballot); },
                 [&](const AcceptRecord& r) { put(r.ballot, r.first, r.entries); },
                 [&](const LawRecord& r) { put(r.first, r.entries); },
                 [&](const DecidedRecord& r) { put(r.upto); },
                 [&](const SnapshotRecord& r) { put(r.index, r.chain, r.term); },
             },
             record);
}

void Bytes::one(const RecoveredState& disk) {
  put(disk.identity.node, disk.identity.incarnation, disk.promised, disk.has_membership, disk.membership,
      disk.initial_ballot, disk.snapshot_index, disk.snapshot_chain, disk.snapshot_term, disk.decided_hint,
      disk.disk_writes);
  list(disk.accepted, [&](const auto& held) { put(held.first, held.second); });
  list(disk.unknown, [&](const auto& lost) { put(lost.first, lost.second); });
}

}  // namespace decree::lab::model
