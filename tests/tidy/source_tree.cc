#include "tests/tidy/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace decree::tidy {
namespace {

namespace fs = std::filesystem;

fs::path root() { return DECREE_SOURCE_DIR; }

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

}  // namespace

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

bool exists(const std::string& path) { return fs::exists(root() / path); }

SourceFile read_file(const std::string& path) {
  SourceFile file{path, {}};
  std::ifstream in(root() / path);
  for (std::string line; std::getline(in, line);) file.lines.push_back(line);
  return file;
}

std::vector<SourceFile> read_files(const std::string& folder, const std::vector<std::string>& endings) {
  std::vector<std::string> paths;
  const fs::path start = folder.empty() ? root() : root() / folder;
  if (!fs::exists(start)) return {};
  for (auto it = fs::recursive_directory_iterator(start); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && (name == "build" || name == "node_modules" || name == "__pycache__" ||
                               (starts_with(name, ".") && name != ".ci"))) {
      it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file()) continue;
    const bool wanted =
        std::any_of(endings.begin(), endings.end(), [&](const std::string& e) { return ends_with(name, e); });
    if (wanted) paths.push_back(fs::relative(it->path(), root()).generic_string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<SourceFile> files;
  files.reserve(paths.size());
  for (const std::string& path : paths) files.push_back(read_file(path));
  return files;
}

std::map<std::string, Layer> read_layer_table() {
  std::map<std::string, Layer> table;
  for (const std::string& line : read_file("CMakeLists.txt").lines) {
    const bool is_proto = starts_with(line, "decree_proto(");
    if (!is_proto && !starts_with(line, "decree_library(")) continue;
    const size_t open = line.find('(');
    const std::vector<std::string> words = words_of(line.substr(open + 1, line.rfind(')') - open - 1));
    Layer layer;
    layer.name = words.at(0);
    std::string list;
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "DIR" || words[i] == "EXCEPT" || words[i] == "LINK" || words[i] == "EXTERNAL" ||
          words[i] == "MAIN") {
        list = words[i];
      } else if (list == "DIR") {
        layer.folder = words[i];
      } else if (list == "LINK") {
        layer.links.insert(words[i]);
      } else if (list == "EXTERNAL") {
        layer.externals.insert(words[i]);
      }
    }
    table[layer.name] = layer;
  }
  return table;
}

std::string layer_of(const std::map<std::string, Layer>& table, const std::string& path) {
  const Layer* best = nullptr;
  for (const auto& [name, layer] : table)
    if (starts_with(path, layer.folder + "/") &&
        (best == nullptr || layer.folder.size() > best->folder.size()))
      best = &layer;
  return best == nullptr ? "" : best->name;
}

std::vector<SourceFile> files_of(const std::map<std::string, Layer>& table, const Layer& layer) {
  std::vector<SourceFile> files = read_files(layer.folder, {".h", ".cc"});
  std::erase_if(files, [&](const SourceFile& file) { return layer_of(table, file.path) != layer.name; });
  return files;
}

std::set<std::string> reachable_layers(const std::map<std::string, Layer>& table, const std::string& name) {
  std::set<std::string> reached;
  std::vector<std::string> open = {name};
  while (!open.empty()) {
    const std::string current = open.back();
    open.pop_back();
    if (!reached.insert(current).second) continue;
    const auto layer = table.find(current);
    if (layer == table.end()) continue;
    open.insert(open.end(), layer->second.links.begin(), layer->second.links.end());
  }
  return reached;
}

std::string included_name(const std::string& line) {
  const size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || line[hash] != '#') return "";
  const size_t word = line.find("include", hash);
  if (word == std::string::npos) return "";
  const size_t open = line.find_first_of("<\"", word);
  if (open == std::string::npos) return "";
  const size_t close = line.find(line[open] == '<' ? '>' : '"', open + 1);
  return close == std::string::npos ? "" : line.substr(open, close - open);
}

std::string code_only(const std::string& line) {
  std::string code;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
        code += c;
      }
      continue;
    }
    // A digit separator (1'000) is not a quote.
    const bool separator = c == '\'' && i > 0 && std::isxdigit(static_cast<unsigned char>(line[i - 1])) != 0;
    if (c == '/' && i + 1 < line.size() && line[i + 1] == '/') break;
    if ((c == '"' || c == '\'') && !separator) quote = c;
    code += c;
  }
  return code;
}

}  // namespace decree::tidy
