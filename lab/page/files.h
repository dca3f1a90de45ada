// The page's files, inside the program (cmake/EmbedFiles.cmake makes the table from lab/page/web).
#pragma once

#include <span>
#include <string_view>

namespace decree::lab {

struct PageFile {
  std::string_view name;  // "page.css"
  std::string_view bytes;
};
std::span<const PageFile> page_files();

}  // namespace decree::lab
