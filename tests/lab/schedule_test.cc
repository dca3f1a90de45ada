// Runs written down as schedules, schedules followed, and failing ones cut short.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "lab/shrink/shrink.h"
#include "lab/sim/schedule.h"
#include "lab/sim/script.h"
#include "lab/story.h"

namespace decree::lab {
namespace {

Schedule parse_schedule(const std::string& text) {
  std::istringstream in(text);
  Result<Schedule> s = read_schedule(in);
  EXPECT_TRUE(s.ok()) << (s.ok() ? "" : s.error().message);
  return s.ok() ? s.value() : Schedule{};
}
std::string text_of(const Schedule& schedule) {
  std::ostringstream out;
  write_schedule(schedule, out);
  return out.str();
}
Schedule record(uint64_t seed, RunOptions options, RunResult* run = nullptr) {
  Schedule schedule;
  options.record = &schedule;
  RunResult result = World(seed, options).run();
  schedule.swarm.network = NetworkProfile{};
  schedule.swarm.liveness_core = false;
  schedule.early_persisted = options.early_persisted;
  if (run != nullptr) *run = result;
  return schedule;
}

const char* kOneElection =
    "decree-schedule 1\n"
    "set members 3\n"
    "deliver 2 1 BeatReply 0\n"  // nothing was sent yet: no effect
    "time 0 20\n"
    "deliver 1 2 Beat 0\n"
    "deliver 2 1 BeatReply 0\n"
    "time 0 20\n"
    "deliver 1 2 Prepare 0\n"
    "deliver 2 1 Promise 0\n"
    "deliver 1 2 Accept 0\n";

TEST(Schedule, OneElectionOneChoice) {
  const ScriptResult result = follow(parse_schedule(kOneElection));
  EXPECT_FALSE(result.run.breach) << result.run.breach.sentence;
  EXPECT_EQ(result.run.statistics.slots, 1u);  // the barrier of the new leader
}
TEST(Schedule, WhatIsNotDeliveredIsLost) {
  std::string text = kOneElection;
  text.erase(text.find("deliver 2 1 Promise 0\n"), 22);
  EXPECT_EQ(follow(parse_schedule(text)).run.statistics.slots, 0u);
}
TEST(Schedule, ADiskThatHangsAcknowledgesNothing) {
  std::string text = kOneElection;
  text.insert(text.find("deliver 1 2 Accept 0"), "hold 2\n");
  EXPECT_EQ(follow(parse_schedule(text)).run.statistics.slots, 0u);
  text += "release 2\n";
  EXPECT_EQ(follow(parse_schedule(text)).run.statistics.slots, 1u);
}
TEST(Schedule, SettlingBringsEverybodyToTheSameEnd) {
  const ScriptResult result = follow(parse_schedule(std::string(kOneElection) + "crash 1 power 7\nsettle\n"));
  EXPECT_FALSE(result.run.breach) << result.run.breach.invariant << result.run.breach.sentence;
  EXPECT_GE(result.run.statistics.ok, 3u);  // a write through every member
}
TEST(Schedule, TheStoryTellsStepsAndWhatTheyBringAbout) {
  std::ostringstream story;
  tell_story(parse_schedule(kOneElection), story);
  EXPECT_NE(story.str().find("Promise from member 2 reaches member 1"), std::string::npos) << story.str();
  EXPECT_NE(story.str().find("decided slot 1"), std::string::npos) << story.str();
}
TEST(Schedule, SaysWhichLineIsWrong) {
  std::istringstream in("decree-schedule 1\nset members 3\ndeliver 1 2 Telegram 0\n");
  const Result<Schedule> s = read_schedule(in);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.error().message.substr(0, 6), "line 3");
  std::istringstream other("hello\n");
  EXPECT_FALSE(read_schedule(other).ok());
}
TEST(Schedule, SurvivesTheRoundTrip) {
  RunOptions options;
  options.limits.scale = 0.02;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const std::string text = text_of(record(seed, options));
    EXPECT_EQ(text_of(parse_schedule(text)), text) << "seed " << seed;
  }
}

// The finest form of a recording is the run itself: it breaks the same at its very last step.
TEST(Schedule, ARecordedRunBreaksAgainAtItsLastStep) {
  RunOptions options;
  options.early_persisted = true;
  uint64_t broken = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    RunResult run;
    const Schedule schedule = record(seed, options, &run);
    // A fork of the disk is drawn by chance in a run; in a schedule it is not.
    if (!run.breach || run.breach.sentence.find("a crash of") == 0) continue;
    ++broken;
    const ScriptResult again = follow(schedule);
    EXPECT_EQ(again.run.breach.invariant, run.breach.invariant) << "seed " << seed;
    EXPECT_EQ(again.run.breach.sentence, run.breach.sentence) << "seed " << seed;
    EXPECT_EQ(again.steps_followed, schedule.steps.size()) << "seed " << seed;
  }
  EXPECT_GT(broken, 3u);
}

TEST(Shrink, CutsALieAboutDurabilityToAFewSteps) {
  RunOptions options;
  options.early_persisted = true;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const RunResult run = World(seed, options).run();
    if (!run.breach) continue;
    ShrinkLimits limits;
    limits.cpu_seconds_max = 10;
    const Shrunk shrunk = shrink_seed(seed, options, "", limits);
    ASSERT_TRUE(shrunk.reproduced) << "seed " << seed;
    EXPECT_LE(shrunk.schedule.length(), 12u) << text_of(shrunk.schedule);
    // What was written is what breaks.
    const ScriptResult again = follow(parse_schedule(text_of(shrunk.schedule)));
    EXPECT_EQ(again.run.breach.invariant, run.breach.invariant) << text_of(shrunk.schedule);
  }
}

}  // namespace
}  // namespace decree::lab
