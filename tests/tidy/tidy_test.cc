// The rules of the house (STYLE.md, ARCHITECTURE.md) that a machine can check.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include "tests/tidy/source_tree.h"

namespace decree::tidy {
namespace {

const std::vector<std::string> kCpp = {".h", ".cc"};

std::vector<SourceFile> read_all(const std::vector<std::string>& folders,
                                 const std::vector<std::string>& endings) {
  std::vector<SourceFile> all;
  for (const std::string& folder : folders)
    for (SourceFile& file : read_files(folder, endings)) all.push_back(std::move(file));
  return all;
}

std::vector<SourceFile> own_code() {
  return read_all({"include", "src", "lab", "tests", "bench", "fuzz", "examples"}, kCpp);
}

// Applies `broken` to every line; every hit is a failure that names the place.
template <class Rule>
void expect_no_line(const std::vector<SourceFile>& files, const std::string& rule, Rule broken) {
  for (const SourceFile& file : files)
    for (size_t i = 0; i < file.lines.size(); ++i)
      if (broken(file, file.lines[i]))
        ADD_FAILURE() << file.path << ":" << i + 1 << ": " << rule << "\n  " << file.lines[i];
}

// ---- layers ----

// Which library a header belongs to, by prefix. The standard library and the system's own headers are free.
const std::vector<std::pair<std::string, std::string>> kLibraryOfHeader = {{"<boost/beast", "beast"},
                                                                           {"<boost/asio", "asio"},
                                                                           {"<nghttp2/", "nghttp2"},
                                                                           {"<spdlog/", "spdlog"},
                                                                           {"<fmt/", "fmt"},
                                                                           {"<CLI/", "cli11"},
                                                                           {"<prometheus/", "prometheus"},
                                                                           {"<absl/", "absl"},
                                                                           {"\"absl/", "absl"},
                                                                           {"<xxhash", "xxhash"},
                                                                           {"<openssl/", "openssl"},
                                                                           {"<google/protobuf", "protobuf"},
                                                                           {"<grpc", "grpc"},
                                                                           {"<gtest", "gtest"},
                                                                           {"<gmock", "gtest"}};

TEST(Layers, CMakeListsHasTheTable) {
  const auto table = read_layer_table();
  for (const char* name : {"base", "paxos", "storage", "net", "proto", "kv", "transport", "http", "runtime",
                           "api", "server", "client", "cli", "check", "sim", "lab"})
    EXPECT_TRUE(table.count(name)) << name;
  EXPECT_TRUE(table.at("paxos").externals.empty()) << "paxos links nothing but the standard library";
  EXPECT_EQ(table.at("paxos").links, std::set<std::string>{"base"});
  for (const std::string a : {"storage", "transport", "kv", "http"}) {
    for (const std::string b : {"storage", "transport", "kv", "http"}) {
      EXPECT_TRUE(a == b || reachable_layers(table, a).count(b) == 0) << a << " -> " << b;
    }
  }
}

TEST(Layers, EveryIncludeFollowsTheTable) {
  const auto table = read_layer_table();
  for (const auto& [name, layer] : table) {
    if (name == "proto") continue;
    const std::set<std::string> reachable = reachable_layers(table, name);
    for (const SourceFile& file : files_of(table, layer)) {
      for (const std::string& line : file.lines) {
        const std::string included = included_name(line);
        if (included.empty() || included[0] != '"' || ends_with(included, ".pb.h")) continue;
        const std::string path = included.substr(1);
        if (starts_with(path, "decree/") || starts_with(path, "absl/")) continue;
        const std::string owner = layer_of(table, starts_with(path, "lab/") ? path : "src/" + path);
        EXPECT_TRUE(reachable.count(owner)) << file.path << " includes " << path << ", but layer '" << name
                                            << "' does not link '" << owner << "'";
      }
    }
  }
}

TEST(Layers, GeneratedMessagesOnlyWhereProtoIsLinked) {
  const auto table = read_layer_table();
  for (const auto& [name, layer] : table) {
    if (name == "proto" || reachable_layers(table, name).count("proto")) continue;
    expect_no_line(
        read_files(layer.folder, kCpp), "this layer does not link proto",
        [](const SourceFile&, const std::string& line) { return ends_with(included_name(line), ".pb.h"); });
  }
}

TEST(Layers, BigLibrariesOnlyWhereTheTableNamesThem) {
  const auto table = read_layer_table();
  for (const auto& [name, layer] : table) {
    if (name == "proto") continue;
    std::set<std::string> allowed = layer.externals;
    // fmt is everywhere, protobuf comes with proto, Beast brings Asio.
    allowed.insert("fmt");
    if (allowed.count("beast")) allowed.insert("asio");
    if (reachable_layers(table, name).count("proto")) allowed.insert("protobuf");
    if (name == "paxos" || name == "base") allowed.clear();
    for (const SourceFile& file : files_of(table, layer)) {
      for (const std::string& line : file.lines) {
        const std::string included = included_name(line);
        for (const auto& [prefix, library] : kLibraryOfHeader) {
          if (!starts_with(included, prefix)) continue;
          EXPECT_TRUE(allowed.count(library))
              << file.path << " includes " << included.substr(1) << ", but layer '" << name
              << "' does not name '" << library << "' in CMakeLists.txt";
          break;
        }
      }
    }
  }
}

TEST(Layers, TheContractAndTheCoreIncludeOnlyTheStandardLibrary) {
  const std::regex standard("<[a-z_]+");  // no dot, no slash: a header of the standard library
  for (const SourceFile& file : read_all({"include", "src/base", "src/paxos"}, kCpp)) {
    for (const std::string& line : file.lines) {
      const std::string included = included_name(line);
      if (included.empty()) continue;
      // The planted bugs' switch, constexpr false in all that ships.
      const bool own = starts_with(included, "\"decree/") || starts_with(included, "\"base/planted_bugs.h") ||
                       (starts_with(included, "\"paxos/") && starts_with(file.path, "src/paxos/")) ||
                       (starts_with(included, "\"base/") && starts_with(file.path, "src/base/"));
      EXPECT_TRUE(own || std::regex_match(included, standard)) << file.path << ": " << line;
    }
  }
}

TEST(Layers, NothingInSrcIncludesTheLab) {
  expect_no_line(read_all({"include", "src"}, kCpp), "the lab is never linked into the server or the client",
                 [](const SourceFile&, const std::string& line) {
                   return starts_with(included_name(line), "\"lab/") ||
                          starts_with(included_name(line), "\"tests/");
                 });
}

TEST(Layers, EverySourceFileBelongsToALayer) {
  std::set<std::string> folders;
  for (const auto& [name, layer] : read_layer_table()) folders.insert(layer.folder);
  for (const SourceFile& file : read_files("src", kCpp)) {
    const size_t slash = file.path.find('/', 4);
    EXPECT_TRUE(slash != std::string::npos && folders.count(file.path.substr(0, slash)))
        << file.path << " is in no folder of CMakeLists.txt's table";
  }
}

// A file whose guards are compiled for the shipped programs only would hold a planted bug that cannot be
// planted.
TEST(Layers, EveryFileWithAPlantedBugIsCompiledForTheProgramThatPlantsIt) {
  const SourceFile lists = read_file("CMakeLists.txt");
  std::set<std::string> listed;
  bool inside = false;
  for (const std::string& line : lists.lines) {
    if (starts_with(line, "decree_planted_program(")) {
      inside = true;
      continue;
    }
    if (!inside) continue;
    std::istringstream words(line.substr(0, line.find(')')));
    for (std::string word; words >> word;) listed.insert(word);
    if (line.find(')') != std::string::npos) inside = false;
  }
  std::set<std::string> guarded = {"lab/main.cc", "lab/planted.cc", "src/base/planted_bugs.cc"};
  for (const SourceFile& file : read_files("src", {".cc", ".h"}))
    for (const std::string& line : file.lines)
      if (included_name(line) == "\"base/planted_bugs.h") guarded.insert(file.path);
  EXPECT_EQ(listed, guarded)
      << "decree_planted_program() in CMakeLists.txt names the files with planted bugs; headers "
         "must have none";
}

// Two types of one name in one namespace are one to the linker, which then keeps only one of their
// destructors.
TEST(Layers, NoTwoHeadersDefineOneType) {
  const std::regex space("^namespace ([a-z_:]+) \\{");
  const std::regex type("^(struct|class|enum|enum class) ([A-Za-z0-9_]+)( final)?( :[^:].*)? \\{.*");
  std::map<std::string, std::string> places;
  for (const SourceFile& file : read_all({"include", "src", "lab"}, {".h"})) {
    std::string inside;
    std::smatch found;
    for (const std::string& line : file.lines) {
      if (std::regex_search(line, found, space)) inside = found[1];
      if (!std::regex_match(line, found, type)) continue;
      const auto [known, is_new] = places.emplace(inside + "::" + found[2].str(), file.path);
      EXPECT_TRUE(is_new) << known->first << " is defined in " << known->second << " and in " << file.path;
    }
  }
  EXPECT_GT(places.size(), 100u) << "hardly a type is seen: is the pattern still right?";
}

TEST(Layers, ArchitectureNamesEveryFolder) {
  std::string text;
  for (const std::string& line : read_file("ARCHITECTURE.md").lines) text += line + "\n";
  for (const auto& [name, layer] : read_layer_table())
    EXPECT_NE(text.find("`" + layer.folder), std::string::npos)
        << layer.folder << " is not in ARCHITECTURE.md";
}

// ---- form ----

TEST(Form, LinesHaveAtMost110Columns) {
  expect_no_line(own_code(), "longer than 110 columns", [](const SourceFile&, const std::string& line) {
    if (line.find("R\"(") != std::string::npos) return false;  // text of another format, not to be broken
    if (line.find("R\"(") != std::string::npos)
      return false;  // a raw string cannot be broken by the formatter
    size_t columns = 0;
    for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return columns > 110;
  });
}

TEST(Form, FilesHaveAtMost700Lines) {
  for (const SourceFile& file : own_code()) EXPECT_LE(file.lines.size(), 700u) << file.path;
}

// A definition starts in column 0 with a line that ends in "{" and ends with "}" in column 0.
TEST(Form, FunctionsHaveAtMost100Lines) {
  const std::regex other(
      "^(namespace|struct|class|enum|union|extern|template|#|const|static const|constexpr)\\b.*");
  for (const SourceFile& file : read_all({"src", "lab"}, {".cc"})) {
    size_t start = 0;
    bool inside = false;
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      if (line.empty()) continue;
      if (line[0] == '}' && inside) {
        EXPECT_LE(i - start, 100u) << file.path << ":" << start + 1 << ": " << file.lines[start];
        inside = false;
      } else if (!inside && line[0] != ' ' && line[0] != '}' && line.back() == '{' &&
                 !std::regex_match(line, other)) {
        start = i;
        inside = true;
      }
    }
  }
}

TEST(Form, HeadersHavePragmaOnce) {
  for (const SourceFile& file : read_all({"include", "src", "lab", "tests"}, {".h"})) {
    bool found = false;
    for (const std::string& line : file.lines) found = found || line == "#pragma once";
    EXPECT_TRUE(found) << file.path;
  }
}

TEST(Form, NoTabsAndNoTrailingSpace) {
  expect_no_line(own_code(), "tab or trailing space", [](const SourceFile&, const std::string& line) {
    return line.find('\t') != std::string::npos || (!line.empty() && line.back() == ' ');
  });
}

// ---- words ----

TEST(Words, DecidedAppliedDurableInsteadOfTheOtherWord) {
  // etcd's metric and field names, and SQL-like quotes of other systems' messages, keep their own word.
  const std::regex word("\\b(un)?committed\\b", std::regex::icase);
  const std::regex allowed(
      "etcd_|etcd's|etcd:|proposals_commit|committedIndex|git commit|commit hash|\\bcommit:",
      std::regex::icase);
  expect_no_line(read_all({"include", "src", "lab"}, kCpp), "say decided, applied or durable",
                 [&](const SourceFile&, const std::string& line) {
                   return std::regex_search(line, word) && !std::regex_search(line, allowed);
                 });
}

TEST(Words, NothingIsLeftForLater) {
  const std::regex later(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b");
  expect_no_line(read_all({""}, {".h", ".cc", ".md", ".txt", ".cmake", ".py", ".sh", ".proto"}),
                 "do it or drop it",
                 [&](const SourceFile&, const std::string& line) { return std::regex_search(line, later); });
}

TEST(Words, NoPathOfOneMachine) {
  const std::regex path(std::string("(^|[^A-Za-z0-9_.*/-])/(wo") + "rk|ro" + "ot|ho" + "me)(/|\\b)");
  const std::vector<std::string> endings = {".h",  ".cc", ".md",    ".txt", ".cmake", ".json",
                                            ".py", ".sh", ".proto", "/dev", "run",    ".service"};
  std::vector<SourceFile> files = read_all({""}, endings);
  files.push_back(read_file("dev"));
  expect_no_line(files, "path of one machine",
                 [&](const SourceFile&, const std::string& line) { return std::regex_search(line, path); });
}

// ---- what code must not call ----

TEST(Calls, TestsDoNotSleep) {
  const std::regex waiting("\\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\\s*\\(");
  expect_no_line(read_all({"tests", "lab"}, kCpp), "poll with a cap or use virtual time",
                 [&](const SourceFile&, const std::string& line) {
                   return line.find("the stall under test") == std::string::npos &&
                          std::regex_search(code_only(line), waiting);
                 });
}

TEST(Calls, CoreAndStoreKnowNoClockNoChanceNoEnvironment) {
  const std::regex banned(
      "std::chrono|\\b(time|clock|clock_gettime|gettimeofday|rand|srand|random|getenv)\\s*\\(|random_device|"
      "std::thread|std::mutex|std::hash<|absl::Hash|std::shuffle|__DATE__|__TIME__|std::cout|std::cerr|"
      "printf\\s*\\(");
  expect_no_line(read_all({"include", "src/base", "src/paxos", "src/kv"}, kCpp),
                 "the core and the store are deterministic",
                 [&](const SourceFile& file, const std::string& line) {
                   // The one place that speaks before it aborts.
                   return file.path != "src/base/check.cc" && std::regex_search(code_only(line), banned);
                 });
}

TEST(Calls, NothingCallsRandOrWallClockSeeds) {
  const std::regex banned("\\b(rand|srand)\\s*\\(|\\btime\\s*\\(\\s*(NULL|nullptr|0)\\s*\\)");
  expect_no_line(
      own_code(), "seeds are handed in and printed",
      [&](const SourceFile&, const std::string& line) { return std::regex_search(code_only(line), banned); });
}

TEST(Calls, NoCoroutinesNoFormatNoExpectedNoSourceLocation) {
  const std::regex banned(
      "\\bco_(await|return|yield)\\b|std::format\\b|std::expected\\b|std::source_location\\b|"
      "std::views::|std::ranges::views");
  expect_no_line(own_code(), "not on our compilers", [&](const SourceFile&, const std::string& line) {
    return std::regex_search(code_only(line), banned);
  });
}

TEST(Calls, NoUsingNamespaceInHeaders) {
  const std::regex banned("^\\s*using\\s+namespace\\b");
  expect_no_line(read_all({"include", "src", "lab"}, {".h"}), "name what you use",
                 [&](const SourceFile&, const std::string& line) { return std::regex_search(line, banned); });
}

// ---- documents ----

TEST(Documents, Exist) {
  for (const char* path : {"README.md", "ARCHITECTURE.md", "STYLE.md", "CONTRIBUTING.md", "CHANGELOG.md",
                           "SECURITY.md", "LICENSE", ".clang-format", ".clang-tidy", ".editorconfig",
                           ".ci/run", "dev", "docs/protocol.md", "docs/invariants.md", "docs/wal_format.md",
                           "docs/operations.md", "docs/figures.md", "docs/decisions/0001-sans-io-core.md"})
    EXPECT_TRUE(exists(path)) << path;
}

TEST(Documents, LinksBetweenOurPagesLeadSomewhere) {
  const std::regex link("\\]\\(([^)#: ]+)(#[^)]*)?\\)");
  for (const SourceFile& file : read_all({""}, {".md"})) {
    const size_t slash = file.path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : file.path.substr(0, slash + 1);
    for (const std::string& line : file.lines)
      for (std::sregex_iterator it(line.begin(), line.end(), link), end; it != end; ++it)
        EXPECT_TRUE(exists(folder + (*it)[1].str())) << file.path << " -> " << (*it)[1];
  }
}

TEST(Documents, EveryInvariantIsCitedInCodeAndOnItsPage) {
  std::string code;
  for (const SourceFile& file : read_all({"include", "src", "lab"}, kCpp))
    for (const std::string& line : file.lines) code += line + "\n";
  std::string page;
  for (const std::string& line : read_file("docs/invariants.md").lines) page += line + "\n";
  for (int i = 1; i <= 10; ++i) {
    const std::regex id("\\bI" + std::to_string(i) + "\\b");
    EXPECT_TRUE(std::regex_search(code, id)) << "I" << i << " is cited nowhere in include, src or lab";
    EXPECT_TRUE(std::regex_search(page, id)) << "I" << i << " is not in docs/invariants.md";
  }
}

TEST(Documents, EveryMessageIsInTheProtocolTable) {
  std::string page;
  for (const std::string& line : read_file("docs/protocol.md").lines) page += line + "\n";
  std::string list;
  bool inside = false;
  for (const std::string& line : read_file("include/decree/message.h").lines) {
    if (starts_with(line, "using Message = std::variant<")) inside = true;
    if (inside) list += line + " ";
    if (inside && line.find(">;") != std::string::npos) break;
  }
  const std::regex name("[A-Z][A-Za-z]+");
  const std::string arguments = list.substr(list.find('<') + 1);
  int seen = 0;
  for (std::sregex_iterator it(arguments.begin(), arguments.end(), name), end; it != end; ++it, ++seen)
    EXPECT_NE(page.find("`" + it->str() + "`"), std::string::npos)
        << it->str() << " is not in docs/protocol.md";
  EXPECT_GE(seen, 20) << "could not read the list of messages";
}

}  // namespace
}  // namespace decree::tidy
