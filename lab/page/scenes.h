// What the page has prepared: the experiments of docs/lab.md, each with a paragraph.
#pragma once

#include <string>
#include <vector>

namespace decree::lab {

struct PageScene {
  std::string name;   // unique
  std::string group;  // "synod", "synchronous", "flp", "exhibit"
  std::string row;    // of the mission table
  std::string title;
  std::string paragraph;  // what is to be seen, and what to try
  std::string command;    // that shows it without the page
  std::string run;        // synod: the request that builds it (lab/page/run.h), without `to`
};

const std::vector<PageScene>& page_scenes();
// As a JSON array, without the runs' outcomes.
std::string page_scenes_json();

// Runs the experiment of a scene that is not a synod run. A JSON object: the trace's lines, in the words of
// `synod --json` (times are steps or rounds), and what the command prints. Takes up to a few seconds. Empty:
// no such scene.
std::string play_page_scene(const std::string& name);

}  // namespace decree::lab
