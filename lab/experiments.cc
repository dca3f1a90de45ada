#include "lab/experiments.h"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "lab/page/serve.h"

namespace decree::lab {

namespace {

void add_synod(CLI::App& app, int* code) {
  auto options = std::make_shared<SynodCommand>();
  CLI::App* sub = app.add_subcommand(
      "synod", "one-shot consensus on the shipped replica: ELECTION, BILL, LAW and the point of no return");
  sub->add_option("--processes", options->processes, "N")->capture_default_str()->check(CLI::Range(1, 9));
  sub->add_option("--inputs", options->inputs, "x_1,x_2,...; default: drawn from the seed, 0 or 1");
  sub->add_option("--seeds,--seed", options->seeds, "one seed tells its story, a range A..B is counted")
      ->capture_default_str();
  sub->add_option("--schedule", options->schedule, "file with the faults; default: drawn from the seed");
  sub->add_flag("--show-schedule", options->show_schedule, "print the drawn schedule as such a file");
  sub->add_option("--kill-leader", options->kill, "kill it for good at that step")
      ->check(CLI::IsMember({"after-point-of-no-return", "before-point-of-no-return"}));
  sub->add_option("--json", options->json,
                  "trace of a single seed, a JSON object a line; - is standard output");
  sub->add_flag("--bounded", options->bounded, "the synchronous world: no fault, every delay at most 20 ms");
  sub->add_option("--scene", options->scene, "a prepared run; 'list' names them");
  sub->add_option("--plant", options->plant, "switch on a planted bug (decree-lab-planted only)");
  sub->callback([options, code] { *code = synod_command(*options); });
}

void add_synchronous(CLI::App& app, int* code) {
  auto options = std::make_shared<SynchronousCommand>();
  CLI::App* sub = app.add_subcommand(
      "synchronous", "consensus in f+1 rounds: every run of small groups, and why f rounds are never enough");
  sub->add_option("--part", options->part, "one part only")
      ->capture_default_str()
      ->check(CLI::IsMember({"all", "flood", "contradiction", "early", "omission", "chain", "timing"}));
  sub->add_option("--processes", options->processes, "n of the contradiction and of the chain")
      ->capture_default_str()
      ->check(CLI::Range(2, 5));
  sub->add_option("--faults", options->faults, "f")->capture_default_str()->check(CLI::Range(1, 3));
  sub->add_option("--rounds", options->rounds, "of the chain; 0 = f")->capture_default_str();
  sub->callback([options, code] { *code = synchronous_command(*options, std::cout); });
}

void add_flp(CLI::App& app, int* code) {
  auto options = std::make_shared<FlpCommand>();
  CLI::App* sub = app.add_subcommand(
      "flp", "an adversary that only delays keeps the shipped core undecided; what defeats it");
  sub->add_option("--part", options->part, "one part only")
      ->capture_default_str()
      ->check(CLI::IsMember({"all", "initial", "graph", "adversary", "lemma", "lasso", "remedies"}));
  sub->add_option("--rounds", options->rounds, "Elections that the adversary has to spoil")
      ->capture_default_str();
  sub->add_option("--seeds", options->seeds, "runs per remedy")->capture_default_str();
  sub->callback([options, code] { *code = flp_command(*options, std::cout); });
}

void add_exhibit(CLI::App& app, int* code) {
  auto options = std::make_shared<ExhibitCommand>();
  CLI::App* sub =
      app.add_subcommand("exhibit", "the four group problems of the notes, and what breaks each solution");
  sub->add_option("name", options->name, "broadcast, detector, election or mutex")
      ->required()
      ->check(CLI::IsMember({"broadcast", "detector", "election", "mutex"}));
  sub->add_option("--seeds", options->seeds, "runs per line")->capture_default_str();
  sub->callback([options, code] { *code = exhibit_command(*options, std::cout); });
}

void add_serve(CLI::App& app, int* code) {
  auto options = std::make_shared<ServeCommand>();
  CLI::App* sub = app.add_subcommand(
      "serve", "a page on which you build a run of the shipped replica, step by step (loopback only)");
  sub->add_option("--listen", options->listen, "address; port 0: a free one, which is printed")
      ->capture_default_str();
  sub->add_option("--plant", options->plant, "switch on a planted bug (decree-lab-planted only)");
  sub->callback([options, code] { *code = serve_command(*options); });
}

}  // namespace

void add_experiments(CLI::App& app, int* code) {
  add_synod(app, code);
  add_synchronous(app, code);
  add_flp(app, code);
  add_exhibit(app, code);
  add_serve(app, code);
}

}  // namespace decree::lab
