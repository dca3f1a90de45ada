#pragma once

namespace decree::cli {

constexpr const char* program_version = "0.1.0";

}  // namespace decree::cli
