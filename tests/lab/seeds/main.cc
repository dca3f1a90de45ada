// decree-lab sim with nothing else of the laboratory around it: what the sanitized build compiles.
//   seeds A..B: with short fault phases, for a build that is ten times slower
#include <cstdio>

#include "lab/commands.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: seeds A..B\n", stderr);
    return 2;
  }
  decree::lab::SimCommand sim;
  sim.seeds = argv[1];
  sim.jobs = 2;
  sim.scale = 0.1;
  return decree::lab::sim_command(sim);
}
