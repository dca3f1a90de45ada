#pragma once

#include <vector>

#include "lab/model/config.h"

namespace decree::lab::model {

// Appends the configurations of whole replicas.
void add_clusters(std::vector<Config>& all);

}  // namespace decree::lab::model
