#include "lab/model/config.h"
#include "lab/model/replica_catalog.h"

namespace decree::lab::model {

namespace {

using Owners = std::vector<std::vector<uint32_t>>;

// All ways to deal out so many rounds, up to renaming the members.
Owners deals(uint32_t rounds) {
  if (rounds == 1) return {{0}};
  Owners all;
  for (const std::vector<uint32_t>& shorter : deals(rounds - 1)) {
    uint32_t fresh = 0;
    for (uint32_t m : shorter) fresh = std::max(fresh, m + 1);
    for (uint32_t m = 0; m <= fresh; ++m) {
      all.push_back(shorter);
      all.back().push_back(m);
    }
  }
  return all;
}

Config config(std::string name, std::string about, uint32_t rounds, uint32_t slots) {
  Config c;
  c.name = std::move(name);
  c.about = std::move(about);
  c.slots = slots;
  c.owners = deals(rounds);
  return c;
}

// A member may know a slot to be chosen, acknowledge it at a higher ballot than its disk has it at, restart,
// and report the lower one (docs/invariants.md).
Config known_vote(std::string name, std::string about, uint32_t rounds) {
  Config c = config(std::move(name), std::move(about), rounds, 1);
  c.learn = true;
  c.crashes = 1;
  c.writes_at_once = true;
  return c;
}

void add_ours(std::vector<Config>& all) {
  all.push_back(config("3x2x1", "3 acceptors, 2 ballots, 1 slot; loss, duplication, reordering", 2, 1));
  all.push_back(config("3x2x2", "3 acceptors, 2 ballots, 2 slots; loss, duplication, reordering", 2, 2));
  Config c = config("3x2x1_laws", "one slot, with deciding, Law and Chosen", 2, 1);
  c.learn = true;
  all.push_back(c);
  c = config("3x2x2_laws", "the same, with deciding, Law and Chosen", 2, 2);
  c.learn = true;
  all.push_back(c);
  c = config("3x1x1_crash", "one ballot, one slot, one crash and restart", 1, 1);
  c.crashes = 1;
  all.push_back(c);
  c = config("3x2x1_crash", "two ballots, one slot, one crash and restart", 2, 1);
  c.crashes = 1;
  all.push_back(c);
  c = config("3x2x2_crash", "the same as 3x2x2, with one crash and restart; every write a step of its own", 2,
             2);
  c.crashes = 1;
  all.push_back(c);
  c = config("3x2x1_laws_crash", "one slot, deciding, Law and Chosen, one crash and restart", 2, 1);
  c.crashes = 1;
  c.learn = true;
  all.push_back(c);
  c = config("3x2x2_laws_crash", "two slots, deciding, Law and Chosen, one crash and restart", 2, 2);
  c.crashes = 1;
  c.learn = true;
  all.push_back(c);
  c = config("3x2x1_two_crashes", "one slot, two crashes", 2, 1);
  c.crashes = 2;
  all.push_back(c);
  all.push_back(config("3x3x2", "three ballots, two slots", 3, 2));
  c = known_vote("known_vote", "three ballots; what is known to be chosen is acknowledged, then a restart",
                 3);
  all.push_back(c);
  c = known_vote("known_vote_4_ballots", "the same with four", 4);
  c.owners = {{0, 2, 1, 2}};
  c.states_max = 4'000'000;
  all.push_back(c);
  c = config("3x3x1_crash", "three ballots, one slot, one crash and restart", 3, 1);
  c.crashes = 1;
  all.push_back(c);
  c = config("stop_2_slots", "a stop sign that any leader may propose at any of two slots", 2, 2);
  c.stop = true;
  all.push_back(c);
  c = config("stop", "contiguous acceptance and a stop sign that any leader may propose at any slot", 2, 3);
  c.stop = true;
  all.push_back(c);
  c = config("stop_3_ballots", "a stop sign, three ballots, two slots", 3, 2);
  c.stop = true;
  all.push_back(c);
  c = config("stop_crash", "a stop sign, two slots, one crash and restart", 2, 2);
  c.stop = true;
  c.crashes = 1;
  all.push_back(c);
  c = config("barriers", "every new leader appends its barrier", 2, 3);
  c.barriers = true;
  all.push_back(c);
  c = config("barriers_3_ballots", "barriers, three ballots, two slots", 3, 2);
  c.barriers = true;
  all.push_back(c);
  c = config("batches_2_slots", "an Election's values also leave as one Accept, two slots", 2, 2);
  c.batches = true;
  all.push_back(c);
  c = config("batches", "an Election's values also leave as one Accept", 2, 3);
  c.batches = true;
  all.push_back(c);
  c = config("snapshots", "laggards may install a snapshot instead of learning", 2, 2);
  c.learn = true;
  c.snapshots = true;
  all.push_back(c);
  c = config("5x2x2", "5 acceptors, 2 ballots, 2 slots", 2, 2);
  c.members = 5;
  c.election_quorum = c.bill_quorum = 3;
  all.push_back(c);
  c = config("damage", "a restart finds its newest acceptance damaged; one slot", 2, 1);
  c.rots = 1;
  all.push_back(c);
  c = config("damage_2_slots", "the same with two slots", 2, 2);
  c.rots = 1;
  all.push_back(c);
  c = config("damage_laws", "the same with one slot, deciding, Law and Chosen", 2, 1);
  c.rots = 1;
  c.learn = true;
  all.push_back(c);
  c = config("lost_disk_1_slot", "one member loses its disk and never votes again in this epoch; one slot", 2,
             1);
  c.wipes = 1;
  all.push_back(c);
  c = config("lost_disk",
             "the same with two slots: one member loses its disk and never votes again in this epoch", 2, 2);
  c.wipes = 1;
  all.push_back(c);
}

void add_quorum_pairs(std::vector<Config>& all) {
  for (uint32_t n = 3; n <= 5; ++n)
    for (uint32_t q1 = 1; q1 <= n; ++q1) {
      const uint32_t q2 = n + 1 - q1;
      const std::string pair = std::to_string(n) + "_" + std::to_string(q1) + "_" + std::to_string(q2);
      const uint32_t rounds = n < 5 ? 3 : 2;
      Config c = config("quorums_" + pair,
                        std::to_string(n) + " acceptors, Elections by " + std::to_string(q1) + ", Bills by " +
                            std::to_string(q2) + "; " + std::to_string(rounds) + " ballots, 1 slot",
                        rounds, 1);
      c.members = n;
      c.election_quorum = q1;
      c.bill_quorum = q2;
      all.push_back(c);
    }
}

void twin(std::vector<Config>& all, Config c, Draft draft) {
  c.draft = draft;
  c.expect = Expect::breaks;
  c.harm_only = true;
  all.push_back(c);
}

void add_twins(std::vector<Config>& all) {
  Config c = config("twin_quorums", "BROKEN: Elections by 2 and Bills by 2 of 4 members need not meet", 2, 1);
  c.members = 4;
  twin(all, c, Draft::none);
  c = config("twin_forgotten_promise", "BROKEN: a restart forgets what was promised", 2, 1);
  c.crashes = 1;
  twin(all, c, Draft::forgotten_promise);
  twin(all, config("twin_lowest_ballot", "BROKEN: the value of the lowest ballot wins an Election", 3, 1),
       Draft::lowest_ballot);
  c = config("twin_early_on_duplicates",
             "BROKEN: a second copy of an Accept is acknowledged before the disk has it", 2, 1);
  c.crashes = 1;
  c.learn = true;
  twin(all, c, Draft::early_on_duplicates);
  c = known_vote("twin_vote_from_memory",
                 "BROKEN: a value on the disk at a lower ballot is acknowledged and not written again", 2);
  twin(all, c, Draft::vote_from_memory);
  all.back().harm_only = false;  // the harm takes four ballots and a restart
  c = known_vote("twin_known_vote_binds",
                 "TOO STRICT A CHECKER: a vote for what is known to be chosen binds to its ballot", 3);
  twin(all, c, Draft::known_vote_binds);
  all.back().harm_only = false;  // it does no harm: what it breaks is the checker's sentence
  c = config("twin_damage_is_absence", "BROKEN: a slot that cannot be read is reported as never accepted", 2,
             1);
  c.rots = 1;
  twin(all, c, Draft::damage_is_absence);
  c = config("twin_wiped_member_votes", "BROKEN: a member that lost its disk votes again under its old name",
             2, 1);
  c.wipes = 1;
  twin(all, c, Draft::wiped_member_votes);
}

// Once with the draft's rule, once with ours.
void attack(std::vector<Config>& all, Config c, Draft draft, Expect draft_ends = Expect::breaks) {
  Config held = c;
  c.name += "_draft";
  c.about += ": the draft's rule";
  c.draft = draft;
  c.expect = draft_ends;
  held.name += "_held";
  held.about += ": our rule";
  held.expect = draft_ends == Expect::unreachable ? Expect::reached : Expect::holds;
  all.push_back(c);
  all.push_back(held);
}

void add_attacks(std::vector<Config>& all) {
  Config c = config("A1", "a ballot is used before it is durable", 1, 1);
  c.crashes = 1;
  attack(all, c, Draft::a1_early_prepare);
  c = config("A2", "a laggard with a snapshot joins the running ballot", 1, 2);
  c.learn = c.snapshots = true;
  c.start = Start::laggard;
  c.goal_member = 0;
  c.goal_decided = 2;
  attack(all, c, Draft::a2_exact_predecessor, Expect::unreachable);
  c = config("A3", "an epoch's first ballot after a restart of its leader", 1, 1);
  c.start = Start::initial_ballot;
  c.crashes = 1;
  attack(all, c, Draft::a3_initial_ballot);
  c = config("A4", "a stop sign known as a heard index only (Elections by 3 of 3, Bills by 1)", 2, 2);
  c.election_quorum = 3;
  c.bill_quorum = 1;
  c.owners = {{0, 1}};
  c.learn = c.stop = true;
  attack(all, c, Draft::a4_heard_index);
  c = config("A6", "two values with one checksum", 2, 1);
  c.one_digest = c.learn = true;
  attack(all, c, Draft::a6_by_checksum);
  c = config("A7", "the record that implied a promise rots", 2, 1);
  c.rots = 1;
  attack(all, c, Draft::a7_promise_in_record);
  c = config("A9", "a value of an old epoch with a high round", 2, 2);
  c.start = Start::old_value;
  attack(all, c, Draft::a9_round_only);
  c = config("A10", "applied before the own copy is durable", 1, 1);
  c.crashes = 1;
  c.learn = c.apply = true;
  attack(all, c, Draft::a10_early_apply);
  c = config("A11", "an Election in a new epoch by members that lack the old one's slots", 2, 3);
  c.start = Start::old_laws;
  c.owners = {{1, 2}, {1, 1}};
  c.learn = true;
  attack(all, c, Draft::a11_base_of_quorum);
  c = config("A12", "an Election by a quorum that knows less than the candidate", 2, 2);
  c.owners = {{0, 0}};
  c.learn = true;
  attack(all, c, Draft::a12_quorum_only);
  c = config("A13", "a Promise overtakes an acceptance on its way to the disk", 2, 1);
  c.crashes = 1;
  attack(all, c, Draft::a13_durable_report);
  c = config("A14", "learning a Law, and a crash that loses the decided index", 2, 1);
  c.crashes = 1;
  c.learn = true;
  attack(all, c, Draft::a14_bare_law);
  c = config("A15", "power fails between the two writes that open an epoch", 1, 1);
  c.start = Start::half_opened;
  c.learn = true;
  c.goal_decided = 1;
  attack(all, c, Draft::a15_superblock_first, Expect::unreachable);
  c = config("A16", "chunks of one Promise from before and after a snapshot", 2, 2);
  c.learn = c.snapshots = true;
  c.laws = false;
  c.owners = {{0, 1}};
  attack(all, c, Draft::a16_mixed_captures);
}

}  // namespace

const std::vector<Config>& catalog() {
  static const std::vector<Config> all = [] {
    std::vector<Config> c;
    add_ours(c);
    add_quorum_pairs(c);
    add_twins(c);
    add_attacks(c);
    add_clusters(c);
    return c;
  }();
  return all;
}

const Config* find_config(const std::string& name) {
  for (const Config& c : catalog())
    if (c.name == name) return &c;
  return nullptr;
}

}  // namespace decree::lab::model
