#include "storage/file_system.h"

namespace decree::storage {

std::string join_path(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (!out.empty() && out.back() != '/') out.push_back('/');
  out.append(name);
  return out;
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

Result<std::string> read_whole(FileSystem& files, const std::string& path, uint64_t bytes_max) {
  auto file = files.open(path, OpenMode::read_only);
  if (!file) return file.error();
  auto size = (*file)->size();
  if (!size) return size.error();
  if (*size > bytes_max) {
    return Error{ErrorCode::too_large, path + " has " + std::to_string(*size) + " bytes, more than the " +
                                           std::to_string(bytes_max) +
                                           " that are possible; it is not what its name says"};
  }
  std::string out(*size, '\0');
  auto got = (*file)->read(0, out);
  if (!got) return got.error();
  out.resize(*got);
  return out;
}

Result<void> write_whole(FileSystem& files, const std::string& path, std::string_view bytes) {
  auto kind = files.kind(path);
  if (!kind) return kind.error();
  if (*kind != PathKind::absent) {
    if (auto r = files.unlink(path); !r) return r;
  }
  auto file = files.open(path, OpenMode::create);
  if (!file) return file.error();
  if (auto r = (*file)->write(0, bytes); !r) return r;
  return (*file)->sync();
}

}  // namespace decree::storage
