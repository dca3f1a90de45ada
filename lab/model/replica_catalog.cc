// The configurations of whole replicas: epochs, joining members, lost and old disks.
#include "lab/model/replica_catalog.h"

namespace decree::lab::model {

namespace {

constexpr MemberRole kVoter = MemberRole::voter;
constexpr MemberRole kJoining = MemberRole::joining;
constexpr MemberRole kLearner = MemberRole::learner;

Config cluster(std::string name, std::string about, std::vector<MemberRole> roles) {
  Config c;
  c.name = std::move(name);
  c.about = std::move(about);
  c.members = static_cast<uint32_t>(roles.size());
  c.owners = {{}};
  c.cluster.emplace();
  c.cluster->roles = std::move(roles);
  return c;
}

void twin(std::vector<Config>& all, Config c, std::string name, std::string about, Draft draft,
          bool harm_only = true) {
  c.name = std::move(name);
  c.about = "BROKEN: " + std::move(about);
  c.draft = draft;
  c.expect = Expect::breaks;
  c.harm_only = harm_only;
  c.passes_goal = false;
  all.push_back(std::move(c));
}

// Once with the draft's rule, once with ours.
void attack(std::vector<Config>& all, Config c, Draft draft, Expect draft_ends, Expect ours_ends) {
  Config held = c;
  c.name += "_draft";
  c.about += ": the draft's rule";
  c.draft = draft;
  c.expect = draft_ends;
  c.passes_goal = false;
  held.name += "_held";
  held.about += ": our rule";
  held.expect = ours_ends;
  all.push_back(std::move(c));
  all.push_back(std::move(held));
}

// Too large for the time that `decree-lab model` may take: searched breadth first so far.
constexpr uint64_t kBound = 1'000'000;

void add_epochs(std::vector<Config>& all) {
  Config c = cluster("epoch_in_election", "a leader removes C while somebody runs against it; 3 members",
                     {kVoter, kVoter, kVoter});
  c.cluster->before = {Before::elect_a};
  c.cluster->changes = {{kVoter, kVoter, std::nullopt}};
  c.cluster->elections = 1;
  c.goal_member = 1;
  c.goal_epoch = 1;
  c.passes_goal = true;
  all.push_back(c);
  Config more = c;
  more.name = "epoch_in_election_command";
  more.about = "the same with a command, before or behind the stop sign";
  more.cluster->commands = 1;
  more.states_max = kBound;
  all.push_back(more);
  more = c;
  more.name = "epoch_two_elections";
  more.about = "the same with two Elections";
  more.cluster->elections = 2;
  more.states_max = kBound;
  all.push_back(more);
  more = c;
  more.name = "epoch_two_changes";
  more.about = "two changes, by whoever leads: remove C, then remove B";
  more.cluster->changes = {{kVoter, kVoter, std::nullopt}, {kVoter, std::nullopt, kVoter}};
  all.push_back(more);
  more = c;
  more.name = "epoch_crash";
  more.about = "two voters; one restart, every write a step of its own";
  more.members = 2;
  more.cluster->roles = {kVoter, kVoter};
  more.cluster->changes = {{kVoter, kLearner}};
  more.cluster->crashes = 1;
  more.goal_member = 0;
  all.push_back(more);
  more.cluster->commands = 1;
  twin(all, more, "twin_lost_epoch_record", "a restart finds no record of the epoch that was opened",
       Draft::lost_epoch_record);
  more = c;
  more.cluster->changes = {{kVoter, kVoter, kVoter}};
  more.cluster->elections = 0;
  twin(all, more, "twin_every_opener_leads",
       "whoever opens an epoch leads it by an initial ballot of its own", Draft::every_opener_leads);
}

void add_promotion(std::vector<Config>& all) {
  Config c =
      cluster("promotion", "A and B vote, C joins and is promoted by its leader", {kVoter, kVoter, kJoining});
  c.cluster->before = {Before::elect_a};
  c.cluster->tendings = 1;
  c.goal_member = 2;
  c.goal_epoch = 1;
  c.passes_goal = true;
  all.push_back(c);
  Config more = c;
  more.name = "promotion_election";
  more.about = "the same while somebody runs";
  more.cluster->elections = 1;
  more.states_max = kBound;
  all.push_back(more);
  more.states_max = 0;
  more.cluster->commands = 1;
  more.cluster->election_quorum = 1;
  more.cluster->bill_quorum = 2;
  more.cluster->tendings = 0;
  twin(all, more, "twin_joiner_counts",
       "what a joining member accepts counts as a voter's; Elections by 1 of 2", Draft::joiner_counts);
}

void add_disks(std::vector<Config>& all) {
  Config c =
      cluster("wiped_at_genesis",
              "N=3, disks not named yet: one is emptied, and its new one never votes before it is let in",
              {kVoter, kVoter, kVoter});
  c.cluster->before = {Before::elect_a};
  c.cluster->disks = true;
  c.cluster->wipes = 1;
  c.cluster->at_risk = 0b010;
  c.cluster->elections = 1;
  all.push_back(c);
  c.cluster->commands = 1;
  c.states_max = kBound;
  c.name = "wiped_at_genesis_command";
  c.about = "the same with a command";
  all.push_back(c);
  c.states_max = 0;
  twin(all, c, "twin_fresh_disk_votes", "the emptied disk is let in by all and votes",
       Draft::fresh_disk_votes);
  c.name = "wiped_readmitted";
  c.about =
      "N=3, disks named by an epoch: an emptied one comes back as another, joins, is promoted and votes";
  c.cluster->before = {Before::elect_a, Before::tend};
  c.cluster->at_risk = 0b100;
  c.cluster->elections = 0;
  c.cluster->commands = 0;
  c.cluster->tendings = 2;
  c.goal_epoch = 3;
  c.goal_member = 2;
  c.passes_goal = true;
  c.states_max = 2 * kBound;
  all.push_back(c);
  c.passes_goal = false;
  c.states_max = 0;
  c.cluster->elections = 1;
  c.cluster->tendings = 0;
  c.cluster->commands = 1;
  twin(all, c, "twin_wiped_old_name", "the emptied disk comes back under its old incarnation",
       Draft::wiped_old_name);
  c = cluster("old_image", "an old image of a disk is put back; everybody had heard a beat of what it held",
              {kVoter, kVoter, kVoter});
  c.cluster->before = {Before::elect_a};
  c.cluster->disks = true;
  c.cluster->images = 1;
  c.cluster->at_risk = 0b010;
  c.cluster->elections = 1;
  c.cluster->commands = 1;
  c.states_max = kBound;
  all.push_back(c);
  c.states_max = 0;
  twin(all, c, "twin_writes_not_counted", "nobody remembers how much a disk held", Draft::writes_not_counted);
  c.cluster->image_after_beat = false;
  twin(all, c, "window_old_image",
       "the window of decision 0015: only the leader was told of what the disk lost", Draft::none);
}

void add_cluster_attacks(std::vector<Config>& all) {
  Config c = cluster("A5", "the cluster moves from A to B, and A is wiped", {kVoter, kJoining});
  c.cluster->before = {Before::elect_a};
  c.cluster->commands = 2;
  c.cluster->changes = {{std::nullopt, kVoter}};
  c.cluster->elections = 1;
  c.cluster->retire_removed = true;
  c.goal_member = 1;
  c.goal_epoch = 1;
  c.passes_goal = true;
  attack(all, c, Draft::a5_wiped_at_stop_sign, Expect::breaks, Expect::holds);
  c = cluster("A8", "5 voters, Elections by 2, Bills by 4, two are down: three more Elections",
              {kVoter, kVoter, kVoter, kVoter, kVoter});
  c.cluster->election_quorum = 2;
  c.cluster->bill_quorum = 4;
  c.cluster->before = {Before::elect_a};
  c.cluster->dead = 0b11000;
  c.cluster->elections = 3;
  c.cluster->true_answers = true;
  c.goal_round = 15;
  attack(all, c, Draft::a8_too_few_answers, Expect::reached, Expect::unreachable);
  c = cluster("A17", "a newcomer, told the members of epoch 2, learns the log from slot 1",
              {kVoter, kVoter, kLearner});
  c.cluster->silent = 0b100;
  c.cluster->roles = {kVoter, kVoter};
  c.cluster->changes = {{kVoter, kVoter, kLearner}, {kVoter, kVoter, kJoining}};
  c.cluster->before = {Before::elect_a, Before::change, Before::change, Before::newcomer};
  c.cluster->tendings = 1;
  c.goal_member = 2;
  c.goal_epoch = 3;
  c.passes_goal = true;
  attack(all, c, Draft::a17_any_stop_sign, Expect::breaks, Expect::holds);
}

}  // namespace

void add_clusters(std::vector<Config>& all) {
  add_epochs(all);
  add_promotion(all);
  add_disks(all);
  add_cluster_attacks(all);
}

}  // namespace decree::lab::model
