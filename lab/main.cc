// decree-lab: the same object files under simulated time, network and disks. One subcommand per experiment.
#include <CLI/CLI.hpp>

#include "lab/check/linearizability.h"
#include "lab/commands.h"
#include "lab/experiments.h"

namespace {

CLI::App* add_model(CLI::App* app, decree::lab::ModelCommand* command) {
  CLI::App* explore = app->add_subcommand(
      "model", "everything that can happen to the safety kernel in a small configuration (docs/model.md)");
  explore->add_option("--config", command->config, "one configuration; without it, all");
  explore->add_flag("--list", command->list, "name the configurations");
  explore->add_flag("--quiet", command->quiet, "tell the steps of unexpected findings only");
  explore->add_option("--states", command->states_max, "stop a search at so many states")
      ->capture_default_str();
  explore->add_flag("--no-order-reduction", command->no_order_reduction,
                    "search every order of independent steps");
  explore->add_flag("--no-symmetry", command->no_symmetry, "tell members apart that nobody else can");
  explore->add_option("--plant", command->plant, "switch on a planted bug (decree-lab-planted only)");
  return explore;
}

CLI::App* add_shrink(CLI::App* app, decree::lab::ShrinkCommand* command) {
  CLI::App* cut =
      app->add_subcommand("shrink", "cut a failing seed down to a short schedule and tell its story");
  cut->add_option("--seed", command->sim.seeds, "the seed that breaks something")->required();
  cut->add_option("--out", command->out, "file for the schedule; without it, standard output");
  cut->add_option("--cpu-seconds", command->cpu_seconds, "for the search")->capture_default_str();
  cut->add_option("--log", command->sim.log, "as in sim")->check(CLI::IsMember({"mixed", "model"}));
  cut->add_option("--store", command->sim.store, "as in sim")->check(CLI::IsMember({"kv", "toy"}));
  cut->add_option("--scale", command->sim.scale, "as in sim");
  cut->add_option("--plant", command->sim.plant, "switch on a planted bug (decree-lab-planted only)");
  return cut;
}

CLI::App* add_mutants(CLI::App* app, char** argv, decree::lab::MutantsCommand* command) {
  command->argv = argv;
  CLI::App* hunt = app->add_subcommand(
      "mutants",
      "plants one bug after the other and lets the simulator find and shrink it (docs/mutants.md)");
  hunt->add_option("--only", command->only, "names, or beginnings of names, separated by commas")
      ->delimiter(',');
  hunt->add_option("--first-seed", command->first_seed, "where the search begins")->capture_default_str();
  hunt->add_option("--budget", command->cpu_seconds, "CPU seconds of search for each")->capture_default_str();
  hunt->add_option("--shrink-budget", command->shrink_seconds, "CPU seconds of shrinking for each")
      ->capture_default_str();
  hunt->add_option("--jobs", command->jobs, "processes")->capture_default_str()->check(CLI::Range(1, 256));
  hunt->add_option("--scale", command->scale, "as in sim")->capture_default_str();
  hunt->add_option("--out", command->out, "directory for schedules and stories");
  hunt->add_flag("--no-shrink", command->no_shrink, "only search");
  hunt->add_flag("--list", command->list, "only name them");
  return hunt;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "decree-lab: searches the shipped object files for faults under simulated time, network and disks."};
  app.require_subcommand(1);

  decree::lab::SimCommand sim;
  sim.program = argv[0];
  CLI::App* run = app.add_subcommand(
      "sim", "members, network, disks and clients under one virtual clock, every step checked");
  run->add_option("--seeds", sim.seeds,
                  "a range A..B, or one seed; without: fresh ones from the time of day");
  run->add_option("--fresh", sim.fresh, "so many fresh seeds (default 100)");
  run->add_option("--past", sim.past, "run the seeds of a file, each with its options");
  run->add_option("--jobs", sim.jobs, "processes")->capture_default_str()->check(CLI::Range(1, 256));
  run->add_option("--minutes", sim.minutes, "go on with seed after seed for so long");
  run->add_flag("--verbose", sim.verbose, "a line per seed");
  run->add_option("--trace", sim.trace,
                  "write one JSON line per step of a single seed; - is standard output");
  run->add_flag("--beats", sim.beats, "heartbeats in the trace as well");
  run->add_option(
         "--profile", sim.profile,
         "mixed: up to five simulated minutes of everything; core: five minutes or more of the replica "
         "on a perfect log; server: ten minutes of log, store and request layer")
      ->capture_default_str()
      ->check(CLI::IsMember({"mixed", "core", "server"}));
  run->add_option("--members", sim.members, "of every cluster; 0: drawn, 1 to 7")
      ->capture_default_str()
      ->check(CLI::Range(0, 7));
  run->add_flag("--old-image", sim.old_image,
                "old images of disks are put back in every run on the real log, not in some");
  run->add_flag("--markers", sim.markers, "in how many seeds each rare branch was hit");
  run->add_option("--history", sim.history, "write the clients' history of a single seed");
  run->add_option("--log", sim.log,
                  "mixed: half of the seeds on the real log; model: all on a perfect log, faster")
      ->capture_default_str()
      ->check(CLI::IsMember({"mixed", "model"}));
  run->add_option("--store", sim.store, "kv: the server's store; toy: the checkers' own")
      ->capture_default_str()
      ->check(CLI::IsMember({"kv", "toy"}));
  run->add_option("--plant", sim.plant, "switch on a planted bug (decree-lab-planted only)");
  run->add_option("--ledger", sim.ledger, "append one line about this campaign to a file");
  run->add_option("--scale", sim.scale, "length of the fault phase")->capture_default_str();
  run->add_option("--failures", sim.failures_max, "stop after so many")->capture_default_str();
  run->add_option("--twice", sim.hash_every, "run every n-th seed twice and compare the traces; 0 = never")
      ->capture_default_str();

  run->add_option("--schedule", sim.schedule,
                  "follow a written schedule instead of seeds, and tell its story");
  decree::lab::LedgerCommand ledger;
  CLI::App* totals = app.add_subcommand("ledger", "adds up the campaigns of lab/ledger.jsonl");
  totals->add_option("file", ledger.file)->capture_default_str();
  totals->add_option("--readme", ledger.readme, "put the totals between the ledger marks of this file");
  decree::lab::ModelCommand model;
  CLI::App* explore = add_model(&app, &model);

  decree::lab::ShrinkCommand shrink;
  CLI::App* cut = add_shrink(&app, &shrink);
  decree::lab::MutantsCommand mutants;
  CLI::App* hunt = add_mutants(&app, argv, &mutants);

  std::string history_file;
  bool also_keys = true;
  CLI::App* check =
      app.add_subcommand("check-history", "judge a recorded client history (format: lab/check/history.h)");
  check->add_option("file", history_file, "JSON lines, or - for standard input")->required();
  check->add_flag("--keys,!--no-keys", also_keys, "also run the independent search per key");
  uint64_t key_steps_max = decree::lab::CheckLimits{}.steps_max;
  check->add_option("--key-steps", key_steps_max, "the search gives up on a key after so many steps")
      ->capture_default_str();

  decree::lab::EnumerateCommand enumerate;
  CLI::App* all_cases = app.add_subcommand(
      "enumerate",
      "every crash point and every flipped bit of canonical data directories, on the real log code");
  all_cases->add_option("--what", enumerate.what, "which part")
      ->capture_default_str()
      ->check(CLI::IsMember({"all", "crash", "rot"}));
  all_cases->add_option("--every", enumerate.every, "only every n-th case of each row")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  all_cases->add_option("--seed", enumerate.seed, "of the samples, and which n-th")->capture_default_str();
  all_cases
      ->add_option("--samples", enumerate.samples, "random subsets where more than 8 pieces are unsynced")
      ->capture_default_str();

  int experiment = -1;
  decree::lab::add_experiments(app, &experiment);

  CLI11_PARSE(app, argc, argv);
  if (experiment >= 0) return experiment;
  if (run->parsed() && !sim.schedule.empty()) return decree::lab::follow_command(sim.schedule, sim.trace);
  if (run->parsed()) return decree::lab::sim_command(sim);
  if (totals->parsed()) return decree::lab::ledger_command(ledger);
  if (check->parsed()) return decree::lab::check_history_command(history_file, also_keys, key_steps_max);
  if (all_cases->parsed()) return decree::lab::enumerate_command(enumerate);
  if (explore->parsed()) return decree::lab::model_command(model);
  if (cut->parsed()) return decree::lab::shrink_command(shrink);
  if (hunt->parsed()) return decree::lab::mutants_command(mutants);
  return 2;
}
