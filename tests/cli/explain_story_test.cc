#include "cli/explain_story.h"

#include <gtest/gtest.h>

namespace decree::cli {
namespace {

using explain::SlotResponse;
using explain::Story;

void set_ballot(explain::Ballot* b, uint32_t round, uint32_t node) {
  b->set_round(round);
  b->set_node(node);
}

// Member `node` of three; its clock runs `ahead` microseconds before the proposer's.
SlotResponse answer(uint32_t node, uint32_t leader = 1) {
  SlotResponse a;
  a.set_member_id(100 + node);
  a.set_node(node);
  a.set_name("m" + std::to_string(node));
  a.set_slot(42);
  a.set_in_history(true);
  a.set_what("put");
  a.set_request_node(2);
  a.set_request_boot(9);
  a.set_request_seq(5);
  a.set_bill_quorum(2);
  a.set_applied(50);
  a.set_decided(50);
  for (uint32_t n = 1; n <= 3; ++n) {
    explain::Voter* v = a.add_voters();
    v->set_node(n);
    v->set_name("m" + std::to_string(n));
  }
  set_ballot(a.mutable_ballot(), 7, leader);
  set_ballot(a.mutable_first_ballot(), 7, leader);
  a.set_acceptances(1);
  return a;
}

void stamp(SlotResponse& a, uint64_t accepted, uint64_t durable, uint64_t decided, uint64_t applied) {
  a.set_accepted_us(accepted);
  a.set_durable_us(durable);
  a.set_decided_us(decided);
  a.set_applied_us(applied);
}

void hears(SlotResponse& leader, uint32_t node, uint64_t at) {
  explain::Acknowledgement* ack = leader.add_acknowledged();
  ack->set_node(node);
  ack->set_at_us(at);
}

// The true story on the proposer's clock: proposed 1000; 2 accepts 1100, durable 1500, heard 1600; the
// proposer's own disk 1900; 3 accepts 1100, durable 2400, heard 2500; decided 1900.
std::vector<SlotResponse> usual() {
  std::vector<SlotResponse> all;
  SlotResponse leader = answer(1);
  leader.set_proposed_here(true);
  stamp(leader, 1000, 1900, 1900, 1910);
  hears(leader, 2, 1600);
  hears(leader, 3, 2500);
  all.push_back(leader);
  const uint64_t ahead2 = 5'000'000;
  SlotResponse second = answer(2);
  stamp(second, 1100 + ahead2, 1500 + ahead2, 2000 + ahead2, 2010 + ahead2);
  second.set_taken_us(900 + ahead2);
  second.set_client("127.0.0.1:5000");
  second.set_revision(33);
  all.push_back(second);
  SlotResponse third = answer(3);
  const uint64_t ahead3 = 700;
  stamp(third, 1100 + ahead3, 2400 + ahead3, 2000 + ahead3, 2410 + ahead3);
  all.push_back(third);
  return all;
}

const explain::Event* event(const Story& story, const std::string& member, const std::string& part) {
  for (const explain::Event& e : story.events())
    if (e.member() == member && e.what().find(part) != std::string::npos) return &e;
  return nullptr;
}

TEST(ExplainStory, PlacesEverybodyOnTheProposersClockWithinTheUncertaintyItStates) {
  const Story story = tell_story(usual());
  EXPECT_EQ(story.slot(), 42u);
  EXPECT_EQ(story.proposer(), "m1");
  EXPECT_EQ(story.client(), "127.0.0.1:5000");
  EXPECT_EQ(story.revision(), 33);
  struct Truth {
    const char* member;
    const char* what;
    int64_t at;
  };
  for (const Truth& t :
       {Truth{"m1", "proposed", 0}, Truth{"m2", "took the request", -100}, Truth{"m2", "accepted", 100},
        Truth{"m2", "durably", 500}, Truth{"m3", "durably", 1400}, Truth{"m3", "applied", 1410},
        Truth{"m2", "answered the client", 1010}}) {
    const explain::Event* e = event(story, t.member, t.what);
    ASSERT_NE(e, nullptr) << t.member << " " << t.what;
    EXPECT_FALSE(e->at_least());
    EXPECT_LE(std::abs(e->at_us() - t.at), e->uncertainty_us()) << t.member << " " << t.what;
    EXPECT_LE(e->uncertainty_us(), 100) << "proposal to acceptance and vote to hearing took 100 us each";
  }
  for (int i = 1; i < story.events_size(); ++i)
    EXPECT_LE(story.events(i - 1).at_us(), story.events(i).at_us());
}

TEST(ExplainStory, ThePointOfNoReturnIsTheQuorumsLastSyncAndNotTheAnnouncement) {
  std::vector<SlotResponse> all = usual();
  Story story = tell_story(all);
  EXPECT_TRUE(story.irrevocable_known());
  EXPECT_EQ(story.irrevocable_us(), 900) << "m2 at about 500, the proposer itself at 900";
  EXPECT_EQ(story.announced_us(), 900);
  // The proposer's own disk hangs: the followers decide, and it hears of it later.
  stamp(all[0], 1000, 9000, 2500, 9010);
  all[1].set_decided_us(5'000'000 + 2600);
  all[2].set_decided_us(700 + 2600);
  story = tell_story(all);
  EXPECT_NEAR(static_cast<double>(story.irrevocable_us()), 1400, 100);
  EXPECT_EQ(story.announced_us(), 1500);
}

TEST(ExplainStory, AnAcceptanceAtAnotherBallotIsNoVote) {
  std::vector<SlotResponse> all = usual();
  set_ballot(all[2].mutable_ballot(), 6, 3);
  all[0].set_durable_us(0);
  const Story story = tell_story(all);
  EXPECT_FALSE(story.irrevocable_known());
  EXPECT_NE(event(story, "m3", "another ballot"), nullptr);
}

TEST(ExplainStory, WithoutTheProposersViewItSaysSoAndClaimsNoPointOfNoReturn) {
  std::vector<SlotResponse> all = usual();
  all.erase(all.begin());
  const Story story = tell_story(all);
  EXPECT_EQ(story.proposer(), "m1");
  EXPECT_FALSE(story.irrevocable_known());
  bool said = false;
  for (const std::string& note : story.notes())
    said = said || note.find("m1, which proposed it") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST(ExplainStory, AMemberThatForgotOrHasNotComeSoFarIsNamed) {
  std::vector<SlotResponse> all = usual();
  all[1] = SlotResponse();
  all[1].set_node(2);
  all[1].set_name("m2");
  all[1].set_in_log(true);
  all[1].set_slot(42);
  all[1].set_what("put");
  all[1].set_applied(90);
  all[1].set_oldest(60);
  all[2] = SlotResponse();
  all[2].set_node(3);
  all[2].set_name("m3");
  all[2].set_applied(41);
  const Story story = tell_story(all);
  std::string notes;
  for (const std::string& note : story.notes()) notes += note + "\n";
  EXPECT_NE(notes.find("m2 has it in its log, but its history has moved on (oldest slot 60)"),
            std::string::npos)
      << notes;
  EXPECT_NE(notes.find("m3 has not applied it yet (it is at slot 41)"), std::string::npos) << notes;
  EXPECT_EQ(tell_story({all[2]}).slot(), 0u) << "nobody knows it";
}

TEST(ExplainStory, ALeaderElectedLaterAndTheBallotBeforeAreTold) {
  std::vector<SlotResponse> all = usual();
  for (SlotResponse& a : all) {
    set_ballot(a.mutable_first_ballot(), 5, 3);
    a.set_acceptances(2);
  }
  const Story story = tell_story(all);
  EXPECT_NE(event(story, "m1", "proposed it again"), nullptr);
  bool said = false;
  for (const std::string& note : story.notes())
    said = said || note.find("first in round 5") != std::string::npos;
  EXPECT_TRUE(said);
}

}  // namespace
}  // namespace decree::cli
