#include "cli/txn_text.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "cli/text.h"

namespace decree::cli {

namespace {

using etcdserverpb::Compare;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

struct Token {
  enum Kind : uint8_t { word, quoted, symbol, newline, end };
  Kind kind = end;
  std::string text;
  size_t line = 1;
  size_t column = 1;

  bool is_symbol(std::string_view s) const { return kind == symbol && text == s; }
  bool is_word(std::string_view s) const { return kind == word && text == s; }
  bool is_string() const { return kind == word || kind == quoted; }
};

Error at(const Token& token, std::string_view problem) {
  return Error{ErrorCode::invalid,
               fmt::format("txn, line {}, column {}: {}", token.line, token.column, problem)};
}

std::string shown(const Token& token) {
  if (token.kind == Token::end) return "the end";
  if (token.kind == Token::newline) return "the end of the line";
  return fmt::format("\"{}\"", printable(token.text));
}

// ---- Tokens -----------------------------------------------------------------------------------

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> run() {
    std::vector<Token> tokens;
    while (true) {
      Token token;
      if (Result<void> r = next(token); !r) return r.error();
      tokens.push_back(token);
      if (token.kind == Token::end) return tokens;
    }
  }

 private:
  static bool is_symbol_char(char c) {
    return std::string_view("()=!<>;,").find(c) != std::string_view::npos;
  }
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

  Result<void> next(Token& token) {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    token.line = line_;
    token.column = at_ - line_start_ + 1;
    if (at_ == text_.size()) return {};
    const char c = text_[at_];
    if (c == '\n') {
      token.kind = Token::newline;
      ++at_;
      ++line_;
      line_start_ = at_;
      return {};
    }
    if (c == '"' || c == '\'') return quoted(token, c);
    if (is_symbol_char(c)) {
      token.kind = Token::symbol;
      token.text += c;
      ++at_;
      if (at_ < text_.size() && text_[at_] == '=' && (c == '=' || c == '!')) {
        if (c == '!') token.text += '=';
        ++at_;
      } else if (c == '!') {
        return at(token, "a single ! means nothing here; write != for \"not equal\"");
      }
      return {};
    }
    token.kind = Token::word;
    const bool flag = text_.substr(at_, 2) == "--";  // --limit=5 is one word
    while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != '\n' && text_[at_] != '"' &&
           (!is_symbol_char(text_[at_]) || (flag && text_[at_] == '='))) {
      token.text += text_[at_++];
    }
    return {};
  }

  Result<void> quoted(Token& token, char quote) {
    token.kind = Token::quoted;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == quote) {
        ++at_;
        return {};
      }
      if (c == '\n') {
        ++line_;
        line_start_ = at_ + 1;
      }
      if (c == '\\' && quote == '"') {
        if (Result<void> r = escape(token); !r) return r;
      } else {
        token.text += c;
      }
    }
    return at(token, "the closing quote is missing");
  }

  Result<void> escape(Token& token) {
    if (++at_ == text_.size()) return at(token, "the closing quote is missing");
    const char c = text_[at_];
    switch (c) {
      case 'n':
        token.text += '\n';
        return {};
      case 't':
        token.text += '\t';
        return {};
      case 'r':
        token.text += '\r';
        return {};
      case '0':
        token.text += '\0';
        return {};
      case '\\':
      case '"':
      case '\'':
        token.text += c;
        return {};
      case 'x': {
        int value = 0;
        for (int i = 1; i <= 2; ++i) {
          const char d = at_ + 2 < text_.size() ? text_[at_ + static_cast<size_t>(i)] : ' ';
          const size_t digit =
              std::string_view("0123456789abcdef").find(static_cast<char>(d >= 'A' && d <= 'F' ? d + 32 : d));
          if (digit == std::string_view::npos) return at(token, "\\x needs two hexadecimal digits");
          value = value * 16 + static_cast<int>(digit);
        }
        token.text += static_cast<char>(value);
        at_ += 2;
        return {};
      }
      default:
        return at(token, fmt::format("\\{} is not an escape; there are \\n \\t \\r \\0 \\\\ \\\" \\xNN", c));
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t line_ = 1;
  size_t line_start_ = 0;
};

// ---- Parser -----------------------------------------------------------------------------------

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<TxnRequest> run() {
    skip_separators();
    const Token& first = peek();
    const bool readable = first.is_word("if") || first.is_word("then") || first.is_word("else");
    if (!readable) return etcdctl_txn();
    TxnRequest txn;
    if (Result<void> r = readable_txn(txn); !r) return r.error();
    skip_separators();
    if (peek().kind != Token::end)
      return at(peek(), fmt::format("nothing may follow the transaction, but {} does", shown(peek())));
    return txn;
  }

 private:
  static constexpr int depth_max = 32;

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& token = peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return token;
  }
  void skip_newlines() {
    while (peek().kind == Token::newline) take();
  }
  void skip_separators() {
    while (peek().kind == Token::newline || peek().is_symbol(";")) take();
  }
  bool at_block_end() const {
    const Token& token = peek();
    return token.kind == Token::end || token.is_symbol(")") || token.is_word("then") || token.is_word("else");
  }

  // if COND {and COND} then OPS else OPS
  Result<void> readable_txn(TxnRequest& txn) {
    if (++depth_ > depth_max) return at(peek(), "transactions are nested too deeply");
    skip_separators();
    if (peek().is_word("if")) {
      take();
      while (true) {
        skip_newlines();
        if (Result<void> r = compare(*txn.add_compare()); !r) return r;
        skip_newlines();
        if (!peek().is_word("and") && !peek().is_symbol(",")) break;
        take();
      }
      skip_separators();
    }
    if (!peek().is_word("then") && !peek().is_word("else")) {
      return at(peek(), fmt::format("expected \"and\", \"then\" or \"else\", found {}", shown(peek())));
    }
    if (peek().is_word("then")) {
      take();
      if (Result<void> r = readable_ops(*txn.mutable_success()); !r) return r;
    }
    if (peek().is_word("else")) {
      take();
      if (Result<void> r = readable_ops(*txn.mutable_failure()); !r) return r;
    }
    --depth_;
    return {};
  }

  Result<void> readable_ops(google::protobuf::RepeatedPtrField<RequestOp>& ops) {
    while (true) {
      skip_separators();
      if (at_block_end()) return {};
      if (peek().is_symbol("(")) {
        take();
        if (Result<void> r = readable_txn(*ops.Add()->mutable_request_txn()); !r) return r;
        skip_separators();
        if (!peek().is_symbol(")"))
          return at(peek(), fmt::format("expected the closing ), found {}", shown(peek())));
        take();
      } else if (Result<void> r = operation(*ops.Add()); !r) {
        return r;
      }
      if (!at_block_end() && peek().kind != Token::newline && !peek().is_symbol(";")) {
        return at(peek(),
                  fmt::format("expected ; or a new line between operations, found {}", shown(peek())));
      }
    }
  }

  // Three blocks, each ended by an empty line (or the end).
  Result<TxnRequest> etcdctl_txn() {
    TxnRequest txn;
    next_ = 0;
    for (int block = 0; block < 3; ++block) {
      while (peek().kind != Token::newline && peek().kind != Token::end) {
        if (block == 0) {
          if (Result<void> r = compare(*txn.add_compare()); !r) return r.error();
        } else {
          auto& ops = block == 1 ? *txn.mutable_success() : *txn.mutable_failure();
          if (Result<void> r = operation(*ops.Add()); !r) return r.error();
        }
        if (peek().kind != Token::newline && peek().kind != Token::end) {
          return at(peek(), fmt::format("expected the end of the line, found {}", shown(peek())));
        }
        take();
      }
      take();
    }
    skip_separators();
    if (peek().kind != Token::end)
      return at(peek(), "only three blocks are allowed: compares, success, failure");
    return txn;
  }

  Result<std::string> key(std::string_view what) {
    const Token& token = take();
    if (!token.is_string()) return at(token, fmt::format("expected {}, found {}", what, shown(token)));
    if (token.text.empty()) return at(token, fmt::format("{} must not be empty", what));
    return token.text;
  }

  static std::optional<Compare::CompareTarget> target_named(std::string_view name) {
    if (name == "value" || name == "val") return Compare::VALUE;
    if (name == "version" || name == "ver") return Compare::VERSION;
    if (name == "create" || name == "c" || name == "create_revision") return Compare::CREATE;
    if (name == "mod" || name == "m" || name == "mod_revision") return Compare::MOD;
    if (name == "lease") return Compare::LEASE;
    return std::nullopt;
  }

  // value(KEY) = "x", version(prefix KEY) > 0, exists(KEY), missing(KEY)
  Result<void> compare(Compare& out) {
    const Token name = take();
    const bool exists = name.is_word("exists");
    const bool missing = name.is_word("missing");
    const std::optional<Compare::CompareTarget> target =
        exists || missing ? Compare::VERSION
                          : (name.kind == Token::word ? target_named(name.text) : std::nullopt);
    if (!target) {
      return at(
          name,
          fmt::format("expected a condition (value, version, create, mod, lease, exists, missing), found {}",
                      shown(name)));
    }
    out.set_target(*target);
    if (!peek().is_symbol("(")) return at(peek(), fmt::format("expected ( after {}", name.text));
    take();
    const bool prefix = peek().is_word("prefix") && peek(1).is_string();
    if (prefix) take();
    Result<std::string> k = key("a key");
    if (!k) return k.error();
    if (prefix) out.set_range_end(prefix_end(*k));
    out.set_key(std::move(k).value());
    if (!peek().is_symbol(")"))
      return at(peek(), fmt::format("expected ) after the key, found {}", shown(peek())));
    take();
    if (exists || missing) {
      out.set_result(missing ? Compare::EQUAL : Compare::GREATER);
      out.set_version(0);
      return {};
    }
    return relation(out);
  }

  Result<void> relation(Compare& out) {
    const Token& op = take();
    if (op.is_symbol("="))
      out.set_result(Compare::EQUAL);
    else if (op.is_symbol("!="))
      out.set_result(Compare::NOT_EQUAL);
    else if (op.is_symbol("<"))
      out.set_result(Compare::LESS);
    else if (op.is_symbol(">"))
      out.set_result(Compare::GREATER);
    else
      return at(op, fmt::format("expected =, !=, < or >, found {}", shown(op)));
    const Token& literal = take();
    if (!literal.is_string())
      return at(literal, fmt::format("expected something to compare with, found {}", shown(literal)));
    if (out.target() == Compare::VALUE) {
      out.set_value(literal.text);
      return {};
    }
    Result<int64_t> number =
        out.target() == Compare::LEASE ? parse_lease(literal.text) : parse_integer(literal.text);
    if (!number) return at(literal, number.error().message);
    switch (out.target()) {
      case Compare::VERSION:
        out.set_version(*number);
        break;
      case Compare::CREATE:
        out.set_create_revision(*number);
        break;
      case Compare::MOD:
        out.set_mod_revision(*number);
        break;
      default:
        out.set_lease(*number);
        break;
    }
    return {};
  }

  Result<void> operation(RequestOp& out) {
    const Token& name = take();
    if (name.is_word("put")) return put(*out.mutable_request_put());
    if (name.is_word("get")) return get(*out.mutable_request_range());
    if (name.is_word("del") || name.is_word("delete")) return del(*out.mutable_request_delete_range());
    return at(
        name,
        fmt::format("expected an operation (put, get, del or a nested transaction in parentheses), found {}",
                    shown(name)));
  }

  // The next option of an operation without its dashes, or nothing. `value` gets what follows an =.
  std::optional<std::string> option(std::optional<std::string>& value) {
    if (peek().kind != Token::word || at_block_end()) return std::nullopt;
    std::string text = take().text;
    value.reset();
    if (text.substr(0, 2) == "--") {
      text.erase(0, 2);
      const size_t equal = text.find('=');
      if (equal != std::string::npos) {
        value = text.substr(equal + 1);
        text.resize(equal);
      }
    }
    return text;
  }

  template <class Parse>
  Result<int64_t> number_option(std::optional<std::string>& value, Parse parse) {
    const Token place = peek();
    if (!value) {
      if (!peek().is_string()) return at(place, fmt::format("expected a number, found {}", shown(place)));
      value = take().text;
    }
    Result<int64_t> number = parse(*value);
    if (!number) return at(place, number.error().message);
    return number;
  }

  Result<void> put(etcdserverpb::PutRequest& out) {
    Result<std::string> k = key("the key to put");
    if (!k) return k.error();
    out.set_key(std::move(k).value());
    bool has_value = peek().is_string() &&
                     !(peek().kind == Token::word && peek().text.substr(0, 2) == "--") && !at_block_end();
    if (has_value) out.set_value(take().text);
    std::optional<std::string> value;
    Token place = peek();
    while (const std::optional<std::string> name = option(value)) {
      if (*name == "lease") {
        Result<int64_t> id = number_option(value, parse_lease);
        if (!id) return id.error();
        out.set_lease(*id);
      } else if (*name == "prev-kv" || *name == "prev") {
        out.set_prev_kv(true);
      } else if (*name == "ignore-value") {
        out.set_ignore_value(true);
        has_value = true;
      } else if (*name == "ignore-lease") {
        out.set_ignore_lease(true);
      } else {
        return at(
            place,
            fmt::format(
                "put knows lease ID, prev, ignore-value and ignore-lease, not {}; quote a value with spaces",
                shown(place)));
      }
      place = peek();
    }
    if (!has_value) return at(place, "put needs a value; write \"\" for an empty one");
    return {};
  }

  template <class Request>
  void set_range_end(Request& out, std::string_view name) {
    out.set_range_end(name == "prefix" ? prefix_end(out.key()) : std::string(1, '\0'));
  }

  // A bare or quoted word after the key that is no option: the end of the range.
  template <class Request, class Known>
  void optional_range_end(Request& out, Known known) {
    const Token& token = peek();
    const bool plain = token.kind == Token::quoted ||
                       (token.kind == Token::word && token.text.substr(0, 2) != "--" && !known(token.text));
    if (plain && !at_block_end()) out.set_range_end(take().text);
  }

  Result<void> get(etcdserverpb::RangeRequest& out) {
    Result<std::string> k = key("the key to get");
    if (!k) return k.error();
    out.set_key(std::move(k).value());
    optional_range_end(out, [](std::string_view w) {
      return w == "prefix" || w == "from-key" || w == "limit" || w == "rev" || w == "keys-only" ||
             w == "count-only" || w == "serializable";
    });
    std::optional<std::string> value;
    Token place = peek();
    while (const std::optional<std::string> name = option(value)) {
      if (*name == "prefix" || *name == "from-key") {
        set_range_end(out, *name);
      } else if (*name == "limit" || *name == "rev") {
        Result<int64_t> number = number_option(value, parse_integer);
        if (!number) return number.error();
        *name == "limit" ? out.set_limit(*number) : out.set_revision(*number);
      } else if (*name == "keys-only") {
        out.set_keys_only(true);
      } else if (*name == "count-only") {
        out.set_count_only(true);
      } else if (*name == "serializable") {
        out.set_serializable(true);
      } else {
        return at(
            place,
            fmt::format(
                "get knows prefix, from-key, limit N, rev N, keys-only, count-only and serializable, not {}",
                shown(place)));
      }
      place = peek();
    }
    return {};
  }

  Result<void> del(etcdserverpb::DeleteRangeRequest& out) {
    Result<std::string> k = key("the key to delete");
    if (!k) return k.error();
    out.set_key(std::move(k).value());
    optional_range_end(out, [](std::string_view w) {
      return w == "prefix" || w == "from-key" || w == "prev" || w == "prev-kv";
    });
    std::optional<std::string> value;
    Token place = peek();
    while (const std::optional<std::string> name = option(value)) {
      if (*name == "prefix" || *name == "from-key") {
        set_range_end(out, *name);
      } else if (*name == "prev" || *name == "prev-kv") {
        out.set_prev_kv(true);
      } else {
        return at(place, fmt::format("del knows prefix, from-key and prev, not {}", shown(place)));
      }
      place = peek();
    }
    return {};
  }

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
};

}  // namespace

const char* const txn_language_help =
    "The transaction comes as arguments or on standard input, in one of two languages.\n"
    "\n"
    "Readable:\n"
    "  if CONDITION and CONDITION ... then OPERATION; OPERATION ... else OPERATION; ...\n"
    "  conditions   value(K) = \"x\"   version(K) > 3   create(K) = 0   mod(K) < 17   lease(K) = 0\n"
    "               (=, !=, <, >)    exists(K)   missing(K)   version(prefix K) > 0 (all keys under K)\n"
    "  operations   put K V [lease ID] [prev]   get K [prefix] [limit N] [rev N] [keys-only] [count-only]\n"
    "               del K [prefix] [prev]       ( if ... then ... else ... )\n"
    "  Without \"if\" the \"then\" part always runs. Operations are separated by ; or new lines.\n"
    "  Quote with \"...\" (\\n \\t \\\" \\\\ \\xNN) or '...' what holds spaces or any of ()=!<>;,\n"
    "\n"
    "etcdctl's: compares, success operations, failure operations; an empty line ends each block:\n"
    "  mod(\"key1\") > \"0\"\n"
    "\n"
    "  put key1 \"overwritten\"\n"
    "\n"
    "  get key1\n";

Result<TxnRequest> parse_txn(std::string_view text) {
  Result<std::vector<Token>> tokens = Lexer(text).run();
  if (!tokens) return tokens.error();
  return Parser(std::move(tokens).value()).run();
}

}  // namespace decree::cli
