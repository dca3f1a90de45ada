#include "lab/page/scenes.h"

#include <fmt/format.h>

#include <functional>
#include <sstream>

#include "lab/experiments.h"
#include "lab/page/drawn.h"
#include "lab/sim/trace.h"
#include "lab/synod/schedule.h"

namespace decree::lab {

namespace {

const char* title_of(const std::string& scene) {
  if (scene == "calm") return "Nothing goes wrong";
  if (scene == "no-majority") return "No majority for three seconds";
  if (scene == "two-leaders") return "Two would-be leaders";
  if (scene == "lost-laws") return "Every Law is lost";
  if (scene == "abort") return "A higher round: abort everything";
  if (scene == "restart") return "Crashes, and what the log remembers";
  return "A prepared run";
}

void add_synod(std::vector<PageScene>* out) {
  for (const SynodScene& s : synod_scenes())
    out->push_back(
        {"synod-" + s.name, "synod", s.row, title_of(s.name), s.sees, "decree-lab synod --scene " + s.name,
         fmt::format("processes {}\ninputs {}\nseed {}\n{}", s.processes, s.inputs, s.seed, s.schedule)});
  out->push_back({"synod-point", "synod", "M15", "The point of no return",
                  "Press \"To the point\": with one log write a quorum holds the value, and nobody knows it "
                  "yet. Crash the leader now: whoever "
                  "leads next finds the value and must propose it again. Then rewind to where its Accepts "
                  "are under way, drop them and "
                  "crash it there: now another value wins.",
                  "decree-lab synod --seeds 1..3000 --kill-leader after-point-of-no-return",
                  "processes 3\ninputs a,b,c\nseed 4\ncalm 0\n"});
}

void add_synchronous(std::vector<PageScene>* out) {
  const auto add = [out](const char* name, const char* row, const char* title, const char* text,
                         const char* part) {
    out->push_back({std::string("synchronous-") + name, "synchronous", row, title, text,
                    std::string("decree-lab synchronous --part ") + part, ""});
  };
  add("contradiction", "M9", "f rounds are not enough",
      "Four processes, two of them may crash, and only two rounds. One process after the other crashes in "
      "the middle "
      "of its broadcast and hands its value to a single neighbour. At the end one survivor knows it and "
      "another does "
      "not: they decide differently. Exhaustive search found this run, the first of 48 in 25,616.",
      "contradiction");
  add("enough", "M8", "The same crashes, one round more",
      "With f+1 rounds there is one without a crash. After it all survivors know the same values, for ever. "
      "No run of "
      "56,848 disagrees.",
      "flood");
  add("early", "M8", "Early deciding",
      "Nobody crashes, so nobody has to wait for f+1 rounds: who heard from as many as in the round before "
      "missed "
      "nothing. It says so in one more broadcast and decides, in min(f'+2, f+1) rounds when f' really crash.",
      "early");
  add("omission", "M8", "Messages that are never sent",
      "A faulty process lives on, but its messages may be missing. FloodSet with f+1 rounds fails: the value "
      "comes "
      "too late to be passed on. Passing on only what is new bears it (the table).",
      "omission");
  add("chain", "M9", "Why no algorithm can do it",
      "Each run in this chain looks to one survivor exactly like the next one, so it decides the same in "
      "both. The "
      "chain begins where all inputs are 0 and ends where all are 1: whatever the algorithm, f rounds are "
      "too few.",
      "chain");
  add("late", "M7", "One message past its bound",
      "Rounds by drifting clocks. While delays, steps and drift keep their bounds every run agrees. One "
      "message of "
      "30 ms instead of 10 is enough to break agreement. The shipped core knows no such bound.",
      "timing");
}

void add_flp(std::vector<PageScene>* out) {
  const auto add = [out](const char* name, const char* row, const char* title, const char* text,
                         const char* part) {
    out->push_back({std::string("flp-") + name, "flp", row, title, text,
                    std::string("decree-lab flp --part ") + part, ""});
  };
  add("adversary", "M18", "An adversary that only delays",
      "It sees the pool of messages and nothing else. It holds back the one vote that would make a leader "
      "until the "
      "candidate has moved on, and then delivers it: stale. Every message arrives and nobody crashes; after "
      "every round "
      "both outcomes are still possible, shown by really running a continuation to each.",
      "adversary");
  add("replicas", "M18", "The same against whole replicas",
      "Beats, time-outs, back-off and all: the replica as it ships, under the same adversary. Beats are not "
      "drawn. "
      "Ten thousand Elections without a leader take the command a few minutes.",
      "adversary");
  add("initial", "M19", "A bivalent beginning",
      "All inputs 0 can only decide 0, all 1 only 1. Change one input at a time, and somewhere in between "
      "both can come. "
      "Every configuration is visited; this takes some seconds.",
      "initial");
  add("lemma", "M19", "The proof's own adversary",
      "Every process takes its turn with its oldest message. Where that step alone would settle the outcome, "
      "another "
      "schedule is searched that ends with it and settles nothing. It is always found.",
      "lemma --rounds 1000");
  add("lasso", "M19", "The endless run as a finite object",
      "The configuration comes back, shifted by some rounds: what happened once can happen for ever. All its "
      "messages are "
      "delivered and all processes step on the way.",
      "lasso");
  add("remedies", "M18", "What ends it",
      "Chance, an oracle that names a leader, or synchrony after some time: each of them defeats the "
      "adversary, and the "
      "table says after how many rounds.",
      "remedies --seeds 100");
}

void add_exhibits(std::vector<PageScene>* out) {
  const auto add = [out](const char* name, const char* row, const char* title, const char* text, int seeds) {
    out->push_back({std::string("exhibit-") + name, "exhibit", row, title, text,
                    fmt::format("decree-lab exhibit {} --seeds {}", name, seeds), ""});
  };
  add("broadcast", "M3", "Reliable multicast",
      "Uniform total-order broadcast built on consensus, and consensus built back on it. Delivery on receipt "
      "loses the "
      "order; without relaying a crashing sender splits the group.",
      50);
  add("detector", "M4", "Failure detection",
      "Time-outs and phi-accrual on the same heartbeats: who notices a crash sooner accuses the living more "
      "often. "
      "Nobody can tell a slow process from a dead one.",
      10);
  add("election", "M5", "Leader election",
      "Bully has one coordinator while delays are bounded, and two after a single late message (drawn). With "
      "ballots "
      "two may "
      "also believe that they lead, but only one of them can decide.",
      50);
  add("mutex", "M6", "Mutual exclusion",
      "Ricart and Agrawala need 2(n-1) messages an entry, and one crash blocks all. The lock on the log goes "
      "on, and its "
      "fence refuses the writes of a holder that slept.",
      50);
}

// What its command prints. 0: every claim holds.
int print(const PageScene& scene, std::ostream& out) {
  std::istringstream words(scene.command);
  std::string word;
  std::string kind;
  std::string name;
  words >> word >> kind;  // decree-lab, the subcommand
  FlpCommand flp;
  SynchronousCommand rounds;
  ExhibitCommand exhibit;
  words >> name;
  if (name == "--part") words >> name;
  for (uint64_t n = 0; words >> word >> n;) {
    if (word == "--rounds") flp.rounds = n;
    if (word == "--seeds") flp.seeds = exhibit.seeds = n;
  }
  flp.part = rounds.part = exhibit.name = name;
  if (kind == "flp") return flp_command(flp, out);
  return kind == "synchronous" ? synchronous_command(rounds, out) : exhibit_command(exhibit, out);
}

struct Drawing {
  const char* scene;
  const char* unit;
  bool also_print;
  void (*draw)(TraceLines*);
};
constexpr Drawing kDrawings[] = {
    {"synchronous-contradiction", "half round", true, [](TraceLines* l) { draw_flood(4, 2, 0, l); }},
    {"synchronous-enough", "half round", true, [](TraceLines* l) { draw_flood(4, 2, 1, l); }},
    {"synchronous-early", "half round", true, [](TraceLines* l) { draw_early(4, 2, l); }},
    {"synchronous-omission", "half round", true, draw_omission},
    {"exhibit-election", "ms", true, draw_bully},
    {"flp-adversary", "step", false, [](TraceLines* l) { draw_siege(3, 12, l); }},
    {"flp-replicas", "step", false, [](TraceLines* l) { draw_replica_siege(3, 8, l); }}};

}  // namespace

const std::vector<PageScene>& page_scenes() {
  static const std::vector<PageScene> scenes = [] {
    std::vector<PageScene> all;
    add_synod(&all);
    add_synchronous(&all);
    add_flp(&all);
    add_exhibits(&all);
    return all;
  }();
  return scenes;
}

std::string page_scenes_json() {
  std::string out;
  for (const PageScene& s : page_scenes())
    out += fmt::format(
        "{}{{\"name\":{},\"group\":{},\"row\":{},\"title\":{},\"paragraph\":{},\"command\":{},\"run\":{}}}",
        out.empty() ? "" : ",", json_string(s.name), json_string(s.group), json_string(s.row),
        json_string(s.title), json_string(s.paragraph), json_string(s.command), json_string(s.run));
  return "[" + out + "]";
}

std::string play_page_scene(const std::string& name) {
  for (const PageScene& scene : page_scenes()) {
    if (scene.name != name || !scene.run.empty()) continue;
    TraceLines lines;
    std::string unit;
    bool also_print = true;
    for (const Drawing& d : kDrawings) {
      if (name != d.scene) continue;
      d.draw(&lines);
      unit = d.unit;
      also_print = d.also_print;
    }
    std::ostringstream text;
    const bool holds = !also_print || print(scene, text) == 0;
    return fmt::format("{{\"unit\":{},\"holds\":{},\"lines\":{},\"text\":{}}}", json_string(unit), holds,
                       lines.json(), json_string(text.str()));
  }
  return "";
}

}  // namespace decree::lab
