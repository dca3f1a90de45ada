// Breadth-first search over whole replicas: the shipped `Replica` behind its one door, in small clusters.
#pragma once

#include "lab/model/search.h"

namespace decree::lab::model {

// REQUIRES config.cluster.
Found search_replicas(const Config& config, const Limits& limits);

}  // namespace decree::lab::model
