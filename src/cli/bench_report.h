// The load generator's report for people and for programs.
#pragma once

#include <string>

#include "client/load.h"

namespace decree::cli {

std::string bench_text(const client::LoadOptions& options, const client::LoadReport& report);
// One JSON object on one line; its fields are what bench/compare.py reads.
std::string bench_json(const client::LoadOptions& options, const client::LoadReport& report);

}  // namespace decree::cli
