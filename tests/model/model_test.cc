// The model checker itself: small configurations are searched to the end, broken twins and drafts are caught
// with a story, and the reductions change neither verdicts nor what may be chosen.
#include <gtest/gtest.h>

#include "lab/model/search.h"

namespace decree::lab::model {
namespace {

const Config& named(const std::string& name) {
  const Config* config = find_config(name);
  EXPECT_NE(config, nullptr) << name;
  static const Config none;
  return config != nullptr ? *config : none;
}

Found found(const std::string& name) { return search_all(named(name), Limits{}); }

std::string told(const Found& f) {
  std::string text = f.breach + "\n";
  for (const std::string& line : f.story) text += "  " + line + "\n";
  return text;
}

class Ours : public ::testing::TestWithParam<const char*> {};

TEST_P(Ours, IsSearchedToTheEndAndHolds) {
  const Found f = found(GetParam());
  EXPECT_TRUE(f.exhausted);
  EXPECT_EQ(f.breach, "") << told(f);
  EXPECT_GT(f.states, 10u);
  EXPECT_GT(f.depth, 3u);
}

INSTANTIATE_TEST_SUITE_P(Small, Ours,
                         ::testing::Values("3x2x2", "3x2x1_crash", "3x2x1_laws", "stop_2_slots", "barriers",
                                           "lost_disk_1_slot", "quorums_3_1_3", "quorums_3_2_2",
                                           "quorums_3_3_1", "damage", "epoch_in_election", "epoch_crash",
                                           "promotion", "wiped_at_genesis"));

struct Broken {
  const char* name;
  const char* invariant;
  size_t steps_max;
};
class Twin : public ::testing::TestWithParam<Broken> {};

TEST_P(Twin, IsCaughtWithAStory) {
  const Found f = found(GetParam().name);
  ASSERT_NE(f.breach, "") << "nothing found in " << f.states << " states";
  EXPECT_EQ(f.breach.rfind(GetParam().invariant, 0), 0u) << told(f);
  EXPECT_GT(f.story.size(), 3u);
  EXPECT_LE(f.story.size(), GetParam().steps_max) << told(f);
}

INSTANTIATE_TEST_SUITE_P(
    All, Twin,
    ::testing::Values(Broken{"twin_quorums", "I7", 16}, Broken{"twin_forgotten_promise", "I7", 30},
                      Broken{"twin_lowest_ballot", "I7", 24}, Broken{"twin_early_on_duplicates", "I8", 40},
                      Broken{"twin_damage_is_absence", "I7", 30}, Broken{"twin_vote_from_memory", "I10", 16},
                      Broken{"twin_known_vote_binds", "I5", 24}, Broken{"twin_wiped_member_votes", "I7", 30},
                      Broken{"twin_lost_epoch_record", "I7", 30}, Broken{"twin_every_opener_leads", "I7", 30},
                      Broken{"twin_joiner_counts", "I8", 30}, Broken{"twin_fresh_disk_votes", "I7", 30},
                      Broken{"twin_wiped_old_name", "I7", 30}, Broken{"twin_writes_not_counted", "I8", 30},
                      Broken{"window_old_image", "I8", 30}),
    [](const auto& p) { return std::string(p.param.name); });

// The same faults without the planted rule: it is the rule that makes the difference.
TEST(Twin, WithoutItsFaultHolds) {
  for (const char* name : {"twin_forgotten_promise", "twin_lowest_ballot", "twin_wiped_member_votes"}) {
    Config config = named(name);
    config.draft = Draft::none;
    config.harm_only = false;
    config.owners.resize(2);
    const Found f = search_all(config, Limits{});
    EXPECT_EQ(f.breach, "") << name << ": " << told(f);
    EXPECT_TRUE(f.exhausted) << name;
  }
}

class Attack : public ::testing::TestWithParam<const char*> {};

TEST_P(Attack, BreaksTheDraftAndNotOurRule) {
  for (const char* side : {"_draft", "_held"}) {
    const Config& config = named(GetParam() + std::string(side));
    const Found f = search_all(config, Limits{});
    EXPECT_TRUE(f.as_expected(config)) << config.name << ": " << told(f);
  }
}

INSTANTIATE_TEST_SUITE_P(Small, Attack,
                         ::testing::Values("A1", "A2", "A3", "A4", "A5", "A6", "A8", "A9", "A10", "A11",
                                           "A13", "A15", "A17"));

// Both reductions, and each alone, against the search without any: the same verdict, and the same values can
// be chosen in the end.
TEST(Reductions, ChangeNeitherVerdictsNorOutcomes) {
  for (const char* name : {"3x2x1", "quorums_3_2_2", "quorums_4_2_3", "stop_2_slots", "3x1x1_crash",
                           "lost_disk_1_slot", "batches_2_slots", "A9_held", "A1_draft", "A9_draft",
                           "A13_draft", "twin_quorums", "twin_lowest_ballot"}) {
    Config config = named(name);
    if (config.owners.size() > 2 && config.name != "twin_lowest_ballot") config.owners = {{0, 0}, {0, 1}};
    std::set<std::string> full_outcomes;
    uint64_t full_states = 0;
    bool full_broken = false;
    for (const bool order : {false, true})
      for (const bool symmetry : {false, true}) {
        Limits limits;
        limits.outcomes = true;
        limits.reduce_order = order;
        limits.reduce_symmetry = symmetry;
        const Found f = search_all(config, limits);
        if (!order && !symmetry) {
          full_outcomes = f.outcomes;
          full_states = f.states;
          full_broken = !f.breach.empty();
          EXPECT_TRUE(full_broken || f.exhausted) << name;
          continue;
        }
        EXPECT_EQ(!f.breach.empty(), full_broken) << name << " order " << order << " symmetry " << symmetry;
        if (full_broken) continue;
        EXPECT_EQ(f.outcomes, full_outcomes) << name << " order " << order << " symmetry " << symmetry;
        EXPECT_LE(f.states, full_states) << name;
      }
  }
}

// Words that can do nothing any more are forgotten: the same verdicts without that.
TEST(Reductions, ForgettingVoidWordsChangesNoVerdict) {
  for (const char* name : {"A5_held", "A5_draft", "epoch_crash", "twin_joiner_counts"}) {
    Limits limits;
    limits.reduce_order = false;
    limits.states_max = 60'000;
    const Found all = search_all(named(name), limits);
    const Found reduced = found(name);
    EXPECT_EQ(all.breach.empty(), reduced.breach.empty()) << name << ": " << told(all) << told(reduced);
    EXPECT_EQ(all.goal, reduced.goal) << name;
    EXPECT_LE(reduced.states, all.states) << name;
  }
}

// A8_held has nothing to search: nobody runs. With one member down instead of two, somebody does.
TEST(Clusters, WithAsManyAsABillNeedsAnElectionIsHeld) {
  Config config = named("A8_held");
  config.cluster->dead = 0b10000;
  config.expect = Expect::reached;
  EXPECT_TRUE(search_all(config, Limits{}).as_expected(config));
}

TEST(Search, SaysWhenItStoppedAtItsBound) {
  Limits limits;
  limits.states_max = 500;
  const Found f = search_all(named("3x2x2_laws"), limits);
  EXPECT_FALSE(f.exhausted);
  EXPECT_EQ(f.breach, "");
  EXPECT_FALSE(f.as_expected(named("3x2x2_laws")));
}

TEST(Search, IsTheSameEveryTime) {
  const Found a = found("3x2x2");
  const Found b = found("3x2x2");
  EXPECT_EQ(a.states, b.states);
  EXPECT_EQ(a.transitions, b.transitions);
  EXPECT_EQ(told(found("twin_lowest_ballot")), told(found("twin_lowest_ballot")));
}

// The smallest Paxos there is, counted by hand: one member, one ballot, one slot: idle, runs, leads,
// proposed.
TEST(Search, CountsTheSmallestConfiguration) {
  Config config;
  config.name = "one";
  config.members = 1;
  config.election_quorum = config.bill_quorum = 1;
  config.owners = {{0}};
  Limits limits;
  limits.outcomes = true;
  const Found f = search_all(config, limits);
  EXPECT_TRUE(f.exhausted);
  EXPECT_EQ(f.states, 4u);
  EXPECT_EQ(f.depth, 3u);
  EXPECT_EQ(f.outcomes, std::set<std::string>{"1=v[1A slot 1] "});
}

TEST(Catalog, NamesAreUniqueAndEveryConfigurationSaysWhatItShows) {
  std::set<std::string> names;
  for (const Config& config : catalog()) {
    EXPECT_TRUE(names.insert(config.name).second) << config.name;
    EXPECT_FALSE(config.about.empty()) << config.name;
    EXPECT_FALSE(config.owners.empty()) << config.name;
    EXPECT_LE(config.members, 5u) << config.name;
    const bool wrong_rule =
        config.draft != Draft::none || config.name == "twin_quorums" || config.name == "window_old_image";
    if (config.goal_round > 0) continue;  // A8: there it is our rule that makes the goal unreachable
    EXPECT_EQ(wrong_rule, config.expect == Expect::breaks || config.expect == Expect::unreachable)
        << config.name;
  }
}

}  // namespace
}  // namespace decree::lab::model
