#include "lab/model/start.h"

namespace decree::lab::model {

namespace {

Entry old_value(uint64_t slot, uint32_t round) {
  Entry entry;
  entry.kind = EntryKind::command;
  entry.id = RequestId{NodeId(1), 1, round * 100 + slot};
  entry.digest = chain_link(Digest128{7, round}, Slot(slot), Digest128{});
  return entry;
}

uint32_t vote(Tables& tables, Ballot ballot, uint64_t slot, const Entry& entry) {
  Note note;
  note.kind = Note::Kind::voted;
  note.ballot = ballot;
  note.slot = Slot(slot);
  note.entries = {entry};
  return tables.notes.number(note);
}

// B has died for good after it and A decided slot 1; that Accept will never be sent again.
void play_laggard(const Config& config, Beginning& b, std::vector<Node>& nodes, std::vector<uint32_t>& said,
                  Tables& tables) {
  std::vector<uint32_t> spoken[2];
  const auto take = [&](uint32_t m, auto&& act) {
    NodeStep step(config, b.membership, Ballot{}, tables, true);
    act(step, nodes[m]);
    step.end_turn(nodes[m]);
    spoken[m].insert(spoken[m].end(), step.said.begin(), step.said.end());
    return step.said;
  };
  const auto find = [&](uint32_t m, Note::Kind kind) {
    for (uint32_t n : spoken[m])
      if (tables.notes[n].kind == kind) return n;
    return ~0u;
  };
  take(0, [&](NodeStep& s, Node& n) { s.start_election(n, b.rounds[0]); });
  take(1, [&](NodeStep& s, Node& n) { s.deliver(n, tables.notes[find(0, Note::Kind::prepare)]); });
  const std::vector<uint32_t> promises{find(0, Note::Kind::promise), find(1, Note::Kind::promise)};
  take(0, [&](NodeStep& s, Node& n) { s.lead(n, promises); });
  take(0, [&](NodeStep& s, Node& n) { s.propose(n, EntryKind::command); });
  const uint32_t accept = find(0, Note::Kind::accept);
  take(1, [&](NodeStep& s, Node& n) { s.deliver(n, tables.notes[accept]); });
  take(0, [&](NodeStep& s, Node& n) { s.decide(n, Slot(1)); });
  std::erase(spoken[0], accept);
  for (uint32_t m = 0; m < 2; ++m) said[m] = tables.sets.number(spoken[m]);
  b.dead = 1u << 1;
}

void fill_disks(const Config& config, Beginning& b, std::vector<RecoveredState>& disks,
                std::vector<std::vector<uint32_t>>& said, Tables& tables) {
  const Ballot old{0, 1, 0, NodeId(1)};
  switch (config.start) {
    case Start::fresh:
    case Start::laggard:
      return;
    case Start::initial_ballot:
      for (RecoveredState& disk : disks) disk.promised = b.initial;
      return;
    case Start::old_laws: {
      const Entry value = old_value(1, 1);
      const Entry last = old_value(2, 1);
      for (size_t m = 0; m < disks.size(); ++m) {
        disks[m].promised = old;
        if (m == 0) {
          disks[m].accepted[Slot(1)] = AcceptedEntry{old, true, value};
          disks[m].decided_hint = Slot(2);
        }
        disks[m].accepted[Slot(2)] = AcceptedEntry{old, true, last};
        said[m] = {vote(tables, old, 1, value), vote(tables, old, 2, last)};
      }
      return;
    }
    case Start::old_value: {
      const Entry law = old_value(1, 1);
      for (size_t m = 0; m < disks.size(); ++m) {
        disks[m].promised = old;
        disks[m].accepted[Slot(1)] = AcceptedEntry{old, true, law};
        disks[m].decided_hint = Slot(1);
        said[m] = {vote(tables, old, 1, law)};
      }
      const Ballot high{0, 5, 0, NodeId(1)};
      const Entry left_over = old_value(2, 5);
      disks.back().promised = high;
      disks.back().accepted[Slot(2)] = AcceptedEntry{high, false, left_over};
      said.back().push_back(vote(tables, high, 2, left_over));
      return;
    }
    case Start::half_opened: {
      const bool superblock_first = config.draft == Draft::a15_superblock_first;
      for (RecoveredState& disk : disks) disk.promised = superblock_first ? Ballot{1, 1, 0, NodeId(1)} : old;
      return;
    }
  }
}

}  // namespace

Beginning make_start(const Config& config, size_t pattern, Tables& tables) {
  Beginning b;
  b.owners = config.owners[pattern];
  std::vector<Member> members;
  for (uint32_t m = 0; m < config.members; ++m) {
    Member member;
    member.node = NodeId(m + 1);
    members.push_back(member);
  }
  bool new_epoch = config.start != Start::fresh && config.start != Start::laggard;
  if (config.start == Start::half_opened && config.draft == Draft::a15_superblock_first) new_epoch = false;
  b.membership = make_membership(members, new_epoch ? 1 : 0, Slot(1));
  b.membership.election_quorum = config.election_quorum;
  b.membership.bill_quorum = config.bill_quorum;
  if (config.start == Start::old_laws && config.draft != Draft::a11_base_of_quorum)
    b.membership.base = Slot(3);
  if (config.start == Start::old_value) b.membership.base = Slot(2);
  // Round 1 of an epoch that was opened is its first leader's, without an Election.
  const uint32_t first_round = config.start == Start::fresh || config.start == Start::laggard ? 1 : 2;
  for (size_t i = 0; i < b.owners.size(); ++i)
    b.rounds.push_back(
        Ballot{b.membership.epoch, first_round + static_cast<uint32_t>(i), 0, NodeId(b.owners[i] + 1)});
  if (config.start == Start::initial_ballot) {
    b.initial = Ballot{1, 1, 0, NodeId(1)};
    b.initial_owner = 0;
  }
  std::vector<RecoveredState> disks(config.members);
  std::vector<std::vector<uint32_t>> said(config.members);
  fill_disks(config, b, disks, said, tables);
  std::vector<Node> nodes;
  for (const RecoveredState& disk : disks) nodes.push_back(NodeStep::fresh(b.membership, disk));
  for (const std::vector<uint32_t>& notes : said) b.sets.push_back(tables.sets.number(notes));
  if (config.start == Start::laggard) play_laggard(config, b, nodes, b.sets, tables);
  for (const Node& node : nodes) b.nodes.push_back(tables.nodes.number(node));
  return b;
}

void add_mixed(std::vector<uint32_t>& promises, uint32_t slots, Tables& tables) {
  const std::vector<uint32_t> whole = promises;
  for (uint32_t first : whole)
    for (uint32_t second : whole) {
      if (first == second) continue;
      for (uint64_t cut = 1; cut < slots; ++cut) {
        const Note& low = tables.notes[first];
        const Note& high = tables.notes[second];
        Note mixed = low;
        mixed.runs.clear();
        mixed.entries.clear();
        for (const Note* part : {&low, &high}) {
          size_t at = 0;
          for (const PromiseRun& run : part->runs)
            for (Slot s = run.slots.first; s < run.slots.end; s = s.next(), ++at) {
              if ((s.value <= cut) != (part == &low)) continue;
              mixed.runs.push_back(PromiseRun{run.ballot, run.law, SlotRange{s, s.next()}});
              mixed.entries.push_back(part->entries[at]);
            }
        }
        const uint32_t number = tables.notes.number(mixed);
        if (std::find(promises.begin(), promises.end(), number) == promises.end()) promises.push_back(number);
      }
    }
}

}  // namespace decree::lab::model
