// The page behind its HTTP port: what it refuses, and that a run in somebody's hands is the run of the synod
// command.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <set>

#include "lab/page/run.h"
#include "lab/page/scenes.h"
#include "lab/page/serve.h"
#include "lab/sim/random.h"
#include "lab/synod/run.h"

namespace decree::lab {
namespace {

constexpr const char* kBegin = "processes 3\ninputs a,b,c\nseed 4\ncalm 0\n";

std::string refusal_of(const std::string& text) {
  const Result<PageRequest> request = parse_page_request(text);
  return request.ok() ? "" : request.error().message;
}

std::string played(const std::string& text) {
  Result<PageRequest> request = parse_page_request(text);
  EXPECT_TRUE(request.ok()) << text;
  return request.ok() ? play_page_run(*request) : "";
}

uint64_t number_after(const std::string& json, const std::string& key) {
  const size_t at = json.find("\"" + key + "\":");
  return at == std::string::npos ? 0 : std::stoull(json.substr(at + key.size() + 3));
}

TEST(PageRequests, WhatIsWrongIsSaidWithItsLine) {
  EXPECT_EQ(refusal_of("processes 0\n"), "line 1: a run has 1 to 7 processes");
  EXPECT_EQ(refusal_of("processes three\n"), "line 1: a run has 1 to 7 processes");
  EXPECT_EQ(refusal_of("processes 2\ninputs 0\n"), "2 processes need 2 inputs, and there are 1");
  EXPECT_EQ(refusal_of("inputs a b\"\n"), "3 processes need 3 inputs, and there are 1");
  EXPECT_EQ(refusal_of("inputs a\"b,c,d\n"),
            "line 1: an input has 1 to 12 letters or digits; separate inputs by commas");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "seed -1\n"), "line 5: a seed is a number");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "to 100001\n"), "line 5: a run has at most 100000 steps");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "until dawn\n"),
            "line 5: until: here, message, note, point or end");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "step 5 crash 4\n"), "line 5: processes are numbered 1 to 3");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "step 5 delay 7\n"),
            "line 5: 'delay' needs a message and milliseconds");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "step 5 delay 7 10001\n"),
            "line 5: a message is delayed by at most 10000 ms");
  EXPECT_EQ(refusal_of(std::string(kBegin) + "step 5 burn 1\n"),
            "line 5: unknown word 'burn'; after 'step' there are crash, restart, cut, join, rival, drop, "
            "delay, deliver");
  EXPECT_EQ(refusal_of(kBegin), "");
}

TEST(PageRuns, AreAPureFunctionOfTheRequest) {
  const std::string text = std::string(kBegin) + "step 30 crash 2\nstep 60 restart 2\nto 400\n";
  EXPECT_EQ(played(text), played(text));
  // What will be done later changes nothing before.
  const std::string before = std::string(kBegin) + "to 29\n";
  EXPECT_EQ(played(before), played(before + "step 30 crash 2\n"));
}

TEST(PageRuns, PlayingOnEndsWhereItWasAskedTo) {
  const std::string at_point = played(std::string(kBegin) + "until point\n");
  const uint64_t step = number_after(at_point, "step");
  EXPECT_NE(at_point.find("\"reached\":true"), std::string::npos);
  EXPECT_NE(at_point.find(R"("what":"point_of_no_return")"), std::string::npos);
  EXPECT_NE(at_point.find("\"first_known_ms\":0"), std::string::npos) << "decided, and nobody knows it";
  const std::string before = played(std::string(kBegin) + "to " + std::to_string(step - 1) + "\n");
  EXPECT_NE(before.find("\"point\":null"), std::string::npos);
  EXPECT_NE(played(std::string(kBegin) + "until end\n").find("\"finished\":true"), std::string::npos);
}

TEST(PageRuns, WaitingForWhatNeverComesEnds) {
  const std::string deaf =
      std::string(kBegin) + "step 0 cut 1 2\nstep 0 cut 1 3\nstep 0 cut 2 3\nuntil end\n";
  const std::string json = played(deaf);
  EXPECT_NE(json.find("\"reached\":false"), std::string::npos);
  EXPECT_NE(json.find("\"finished\":false"), std::string::npos);
  EXPECT_NE(json.find("[1,2]"), std::string::npos) << "the cuts are told";
  const std::string dead =
      std::string(kBegin) + "step 0 crash 1\nstep 0 crash 2\nstep 0 crash 3\nuntil note\n";
  EXPECT_NE(played(dead).find("\"reached\":false"), std::string::npos);
}

// Whatever somebody does with the page, the core keeps its invariants and the world comes to an answer.
TEST(PageRuns, WildHandsBreakNothing) {
  static constexpr const char* kWords[] = {"crash", "restart", "restart", "cut",    "join",
                                           "rival", "drop",    "delay",   "deliver"};
  uint64_t decided = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    const uint64_t n = random.between(1, 5);
    std::string text =
        fmt::format("processes {}\nseed {}\ndelay 40\ncalm {}\ninputs ", n, seed, random.below(1000));
    for (uint64_t p = 1; p <= n; ++p) text += fmt::format("{}v{}", p == 1 ? "" : ",", p);
    uint64_t step = 0;
    for (uint64_t i = random.below(40); i > 0; --i) {
      step += random.below(60);
      const std::string word = kWords[random.below(std::size(kWords))];
      text += fmt::format("\nstep {} {} {}", step, word, random.between(1, n));
      if (word == "cut" || word == "join") text += fmt::format(" {}", random.between(1, n));
      // Ids that are under way about then; some are not, and that has to be borne, too.
      if (word == "drop" || word == "delay" || word == "deliver")
        text.erase(text.rfind(' ')).append(fmt::format(" {}", step / 2 + random.below(40)));
      if (word == "delay") text += fmt::format(" {}", random.below(400));
    }
    text += fmt::format("\nto {}\nuntil end\n", step);
    const std::string json = played(text);
    EXPECT_NE(json.find("\"breach\":\"\""), std::string::npos) << "the run of seed " << seed << ":\n" << text;
    EXPECT_NE(json.find(R"("property":"agreement","holds":true)"), std::string::npos) << text;
    decided += json.find("\"point\":null") == std::string::npos ? 1 : 0;
  }
  EXPECT_GT(decided, 200u) << "else the hands were too heavy to show anything";
}

// The command follows a saved run: the same words, the same outcome, whatever was done by hand.
TEST(PageRuns, AreTheRunsOfTheSynodCommand) {
  const std::string hands =
      "step 20 drop 45\nstep 25 delay 46 100\nstep 60 crash 1\nstep 90 cut 2 3\nstep 300 join 2 3\n"
      "step 320 restart 1\nstep 380 rival 2\n";
  Result<PageRequest> request = parse_page_request(std::string(kBegin) + hands + "until end\n");
  ASSERT_TRUE(request.ok()) << request.error().message;
  SynodOptions options = request->options;
  std::vector<std::string> told;
  options.json_line = [&told](const std::string& line) {
    if (line.find("\"message\":\"Beat") == std::string::npos) told.push_back(line);
  };
  const SynodResult result = run_synod(options);
  EXPECT_EQ(result.breach, "");
  for (const PropertyVerdict& v : check_run(result.run)) EXPECT_TRUE(v.holds) << v.sentence;
  request->until = PageUntil::here;
  request->to = result.steps;
  const std::string json = play_page_run(*request);
  for (const std::string& line : told) ASSERT_NE(json.find(line), std::string::npos) << line;
  SynodSchedule again;
  std::string error;
  ASSERT_TRUE(parse_synod_schedule(show(options.schedule), 3, &again, &error)) << error;
  EXPECT_EQ(show(again), show(options.schedule));
}

TEST(PageRuns, AMessageIsDroppedDelayedAndLetGoNext) {
  const std::string begin = std::string(kBegin) + "until message\n";
  std::string json = played(begin);
  const size_t flight = json.find("\"message\":\"Prepare\",\"due_ms\"");
  ASSERT_NE(flight, std::string::npos);
  const size_t id_at = json.rfind("\"id\":", flight);
  const std::string id = std::to_string(std::stoull(json.substr(id_at + 5)));
  const uint64_t due = number_after(json.substr(flight), "due_ms");
  const std::string at = std::string(kBegin) + "to " + std::to_string(number_after(json, "step")) + "\n";
  const std::string step = "step " + std::to_string(number_after(json, "step")) + " ";
  json = played(at + step + "delay " + id + " 70\n");
  EXPECT_NE(json.find("{\"id\":" + id + ",\"from\":"), std::string::npos);
  EXPECT_NE(json.find("\"due_ms\":" + std::to_string(due + 70)), std::string::npos);
  json = played(at + step + "drop " + id + "\n");
  EXPECT_NE(json.find(R"("what":"lost","id":)" + id), std::string::npos);
  EXPECT_EQ(json.find("{\"id\":" + id + ",\"from\":"), std::string::npos);
  json = played(at + step + "deliver " + id + "\nuntil message\n");
  EXPECT_NE(json.find(R"("what":"deliver","id":)" + id), std::string::npos);
  json = played(at + step + "drop 9999\n");
  EXPECT_NE(json.find("message 9999 is not under way any more"), std::string::npos);
}

TEST(PageRuns, EveryInvariantIsNamedAndGreen) {
  const std::string json = played(std::string(kBegin) + "until end\n");
  for (int i = 1; i <= 10; ++i)
    EXPECT_NE(json.find("{\"id\":\"I" + std::to_string(i) + "\""), std::string::npos) << i;
  EXPECT_EQ(json.find("\"holds\":false"), std::string::npos);
  EXPECT_EQ(json.find("\"holds\":null"), std::string::npos);
}

http::HttpAnswer ask(std::string_view method, std::string_view path, std::string_view host = "127.0.0.1:99",
                     std::string_view origin = "", std::string_view type = "", std::string_view body = "") {
  return answer_page({method, path, host, origin, type, body}, 99);
}

TEST(PagePort, AnswersToItsOwnNameAndPortOnly) {
  for (const char* host : {"127.0.0.1:99", "localhost:99", "[::1]:99"})
    EXPECT_EQ(ask("GET", "/", host).status, 200) << host;
  for (const char* host :
       {"", "127.0.0.1", "127.0.0.1:98", "evil.example:99", "127.0.0.1.evil.example:99", "127.0.0.1:99@evil"})
    EXPECT_EQ(ask("GET", "/", host).status, 403) << host;
  EXPECT_EQ(ask("GET", "/api/scenes", "127.0.0.1:99", "http://127.0.0.1:99").status, 200);
  EXPECT_EQ(ask("GET", "/api/scenes", "127.0.0.1:99", "http://evil.example").status, 403);
  EXPECT_EQ(ask("GET", "/api/scenes", "127.0.0.1:99", "null").status, 403);
}

TEST(PagePort, AForeignFormCannotStartARun) {
  EXPECT_EQ(ask("POST", "/api/run", "127.0.0.1:99", "", "text/plain", kBegin).status, 415);
  EXPECT_EQ(ask("POST", "/api/run", "127.0.0.1:99", "", "text/x-decree-run", kBegin).status, 200);
  const http::HttpAnswer answer = ask("GET", "/api/run");
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.allow, "POST");
  for (const auto& [name, value] : answer.headers) EXPECT_EQ(name.find("access-control"), std::string::npos);
}

TEST(PageScenes, EveryPreparedRunCanBePlayedAndTheOthersDrawOrPrint) {
  std::set<std::string> groups;
  for (const PageScene& scene : page_scenes()) {
    groups.insert(scene.group);
    EXPECT_GT(scene.paragraph.size(), 60u) << scene.name;
    if (!scene.run.empty()) {
      EXPECT_EQ(refusal_of(scene.run), "") << scene.name;
    }
  }
  EXPECT_EQ(groups, (std::set<std::string>{"exhibit", "flp", "synchronous", "synod"}));
  const std::string contradiction = play_page_scene("synchronous-contradiction");
  EXPECT_NE(contradiction.find(R"("what":"output","value":"0")"), std::string::npos);
  EXPECT_NE(contradiction.find(R"("what":"output","value":"1")"), std::string::npos)
      << "they disagree, as they must";
  const std::string enough = play_page_scene("synchronous-enough");
  EXPECT_EQ(enough.find(R"("what":"output","value":"1")"), std::string::npos)
      << "one round more: all decide 0";
  const std::string bully = play_page_scene("exhibit-election");
  EXPECT_NE(bully.find("two coordinators: "), std::string::npos);
  const std::string siege = play_page_scene("flp-adversary");
  EXPECT_EQ(siege.find(R"("what":"output")"), std::string::npos) << "nobody decides";
  EXPECT_EQ(siege.find("settled:"), std::string::npos);
  EXPECT_EQ(play_page_scene("synod-calm"), "") << "this one is played by hand";
  EXPECT_EQ(play_page_scene("nothing"), "");
}

}  // namespace
}  // namespace decree::lab
