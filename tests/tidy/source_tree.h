// The source tree as text, and CMakeLists.txt's layer table, for the rules in tidy_test.cc.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace decree::tidy {

struct SourceFile {
  std::string path;  // relative to the root, with forward slashes
  std::vector<std::string> lines;
};

struct Layer {
  std::string name;
  std::string folder;               // "src/kv"
  std::set<std::string> links;      // layers named in LINK
  std::set<std::string> externals;  // libraries named in EXTERNAL
};

// Files below `folder` whose name ends in one of `endings`, sorted by path. Build output and hidden folders
// are left out.
std::vector<SourceFile> read_files(const std::string& folder, const std::vector<std::string>& endings);
SourceFile read_file(const std::string& path);
bool exists(const std::string& path);

// The decree_library() lines of CMakeLists.txt, by layer name.
std::map<std::string, Layer> read_layer_table();
// The layer that a file belongs to, by the longest folder; "" if to none.
std::string layer_of(const std::map<std::string, Layer>& table, const std::string& path);
// The layer's own headers and sources, without those of layers in folders below.
std::vector<SourceFile> files_of(const std::map<std::string, Layer>& table, const Layer& layer);
// The layer itself and everything it links, directly or not.
std::set<std::string> reachable_layers(const std::map<std::string, Layer>& table, const std::string& name);

// Text between the quotes or angle brackets of an #include line, with the opening character in front; else
// "".
std::string included_name(const std::string& line);
bool starts_with(const std::string& text, const std::string& prefix);
bool ends_with(const std::string& text, const std::string& ending);
// The line without a // comment and without the contents of string literals.
std::string code_only(const std::string& line);

}  // namespace decree::tidy
