// The real thing: pread, pwrite, fdatasync, flock.
#pragma once

#include <memory>

#include "storage/file_system.h"

namespace decree::storage {

// Stateless; one object may serve any number of threads and directories.
std::unique_ptr<FileSystem> make_posix_file_system();

}  // namespace decree::storage
