#include "lab/check/history.h"

#include <istream>

#include <fmt/format.h>
#include <boost/json.hpp>
#include <boost/json/src.hpp>

namespace decree::lab {

namespace json = boost::json;

bool Operation::asks_for_the_future() const {
  for (const auto* branch : {&then_branch, &else_branch})
    for (const SimpleRequest& r : *branch)
      if (r.at_revision == kFarFuture) return true;
  return false;
}

bool Operation::may_write() const {
  if (kind == OpKind::put || kind == OpKind::remove) return true;
  for (const auto* branch : {&then_branch, &else_branch})
    for (const SimpleRequest& r : *branch)
      if (r.kind != OpKind::range) return true;
  return false;
}

bool in_range(std::string_view key, std::string_view first, std::string_view range_end) {
  if (range_end.empty()) return key == first;
  if (key < first) return false;
  return (range_end.size() == 1 && range_end[0] == '\0') || key < range_end;
}

namespace {

constexpr const char* kKinds[] = {"put", "delete", "range", "txn"};
constexpr const char* kOutcomes[] = {"ok", "fail", "unknown"};
constexpr const char* kTargets[] = {"version", "create", "mod", "value"};
constexpr const char* kIs[] = {"=", "!=", "<", ">"};

// Reads fields and remembers the first thing that is wrong.
class Fields {
 public:
  Fields(const json::object& object, std::string* problem) : object_(object), problem_(problem) {}

  std::string text(const char* name, bool needed) const {
    const json::value* v = object_.if_contains(name);
    if (v == nullptr) return missing(name, needed), std::string();
    if (const json::string* s = v->if_string()) return std::string(s->data(), s->size());
    wrong(name, "a string");
    return {};
  }
  int64_t number(const char* name, bool needed) const {
    const json::value* v = object_.if_contains(name);
    if (v == nullptr) return missing(name, needed), 0;
    if (v->is_int64()) return v->get_int64();
    if (v->is_uint64()) return static_cast<int64_t>(v->get_uint64());
    wrong(name, "a whole number");
    return 0;
  }
  bool flag(const char* name, bool needed) const {
    const json::value* v = object_.if_contains(name);
    if (v == nullptr) return missing(name, needed), false;
    if (v->is_bool()) return v->get_bool();
    wrong(name, "true or false");
    return false;
  }
  template <class E, size_t N>
  E one_of(const char* name, const char* const (&names)[N], bool needed, E otherwise) const {
    const std::string word = text(name, needed);
    if (word.empty() && !needed) return otherwise;
    for (size_t i = 0; i < N; ++i)
      if (word == names[i]) return static_cast<E>(i);
    if (problem_->empty()) *problem_ = fmt::format("\"{}\" has the unknown value \"{}\"", name, word);
    return otherwise;
  }
  template <class F>
  void each(const char* name, F&& use) const {
    const json::value* v = object_.if_contains(name);
    if (v == nullptr || v->is_null()) return;
    const json::array* items = v->if_array();
    if (items == nullptr) return wrong(name, "a list");
    for (const json::value& item : *items) {
      if (const json::object* o = item.if_object())
        use(Fields(*o, problem_));
      else
        return wrong(name, "a list of objects");
    }
  }

 private:
  void missing(const char* name, bool needed) const {
    if (needed && problem_->empty()) *problem_ = fmt::format("\"{}\" is missing", name);
  }
  void wrong(const char* name, const char* what) const {
    if (problem_->empty()) *problem_ = fmt::format("\"{}\" must be {}", name, what);
  }
  const json::object& object_;
  std::string* problem_;
};

SimpleRequest read_request(const Fields& f, OpKind kind) {
  SimpleRequest r;
  r.kind = kind;
  r.key = f.text("key", true);
  if (kind == OpKind::put) r.value = f.text("value", true);
  if (kind != OpKind::put) r.range_end = f.text("range_end", false);
  if (kind == OpKind::range) {
    r.limit = f.number("limit", false);
    r.at_revision = f.number("at", false);
  }
  return r;
}

SimpleAnswer read_answer(const Fields& f) {
  SimpleAnswer a;
  a.deleted = f.number("deleted", false);
  a.count = f.number("count", false);
  f.each("kvs", [&](const Fields& kv) {
    a.kvs.push_back({kv.text("key", true), kv.text("value", true), kv.number("create", true),
                     kv.number("mod", true), kv.number("version", true)});
  });
  return a;
}

void read_txn(const Fields& f, Operation* op, std::string* problem) {
  f.each("compare", [&](const Fields& c) {
    Comparison cmp;
    cmp.key = c.text("key", true);
    cmp.target = c.one_of("target", kTargets, true, CompareTarget::version);
    cmp.is = c.one_of("is", kIs, true, CompareIs::equal);
    if (cmp.target == CompareTarget::value)
      cmp.value = c.text("value", true);
    else
      cmp.number = c.number("number", true);
    op->compare.push_back(std::move(cmp));
  });
  auto branch = [&](const char* name, std::vector<SimpleRequest>* into) {
    f.each(name, [&](const Fields& r) {
      const OpKind kind = r.one_of("op", kKinds, true, OpKind::range);
      if (kind == OpKind::txn && problem->empty())
        *problem = "a transaction inside a transaction is not supported";
      into->push_back(read_request(r, kind));
    });
  };
  branch("then", &op->then_branch);
  branch("else", &op->else_branch);
  if (op->outcome != OpOutcome::ok) return;
  op->succeeded = f.flag("succeeded", true);
  f.each("results", [&](const Fields& r) { op->answers.push_back(read_answer(r)); });
  const size_t expected = (op->succeeded ? op->then_branch : op->else_branch).size();
  if (op->answers.size() != expected && problem->empty())
    *problem =
        fmt::format("\"results\" has {} entries, the branch that ran has {}", op->answers.size(), expected);
}

json::object write_request(const SimpleRequest& r) {
  json::object o;
  o["op"] = kKinds[static_cast<int>(r.kind)];
  o["key"] = r.key;
  if (r.kind == OpKind::put) o["value"] = r.value;
  if (!r.range_end.empty()) o["range_end"] = r.range_end;
  if (r.limit != 0) o["limit"] = r.limit;
  if (r.at_revision != 0) o["at"] = r.at_revision;
  return o;
}

void write_answer(OpKind kind, const SimpleAnswer& a, json::object* o) {
  if (kind == OpKind::remove) (*o)["deleted"] = a.deleted;
  if (kind != OpKind::range) return;
  (*o)["count"] = a.count;
  json::array kvs;
  for (const SeenKv& kv : a.kvs)
    kvs.push_back(json::object{{"key", kv.key},
                               {"value", kv.value},
                               {"create", kv.create},
                               {"mod", kv.mod},
                               {"version", kv.version}});
  (*o)["kvs"] = std::move(kvs);
}

void write_txn(const Operation& op, json::object* o) {
  json::array compare;
  for (const Comparison& c : op.compare) {
    json::object one{{"key", c.key},
                     {"target", kTargets[static_cast<int>(c.target)]},
                     {"is", kIs[static_cast<int>(c.is)]}};
    if (c.target == CompareTarget::value)
      one["value"] = c.value;
    else
      one["number"] = c.number;
    compare.push_back(std::move(one));
  }
  (*o)["compare"] = std::move(compare);
  json::array then_branch;
  json::array else_branch;
  for (const SimpleRequest& r : op.then_branch) then_branch.push_back(write_request(r));
  for (const SimpleRequest& r : op.else_branch) else_branch.push_back(write_request(r));
  (*o)["then"] = std::move(then_branch);
  (*o)["else"] = std::move(else_branch);
  if (op.outcome != OpOutcome::ok) return;
  (*o)["succeeded"] = op.succeeded;
  const std::vector<SimpleRequest>& ran = op.succeeded ? op.then_branch : op.else_branch;
  json::array results;
  for (size_t i = 0; i < op.answers.size(); ++i) {
    json::object one;
    write_answer(ran[i].kind, op.answers[i], &one);
    results.push_back(std::move(one));
  }
  (*o)["results"] = std::move(results);
}

}  // namespace

std::string encode_operation(const Operation& op) {
  json::object o;
  o["client"] = op.client;
  o["member"] = op.member;
  o["invoke"] = op.invoke_ns;
  if (op.outcome != OpOutcome::unknown) o["return"] = op.return_ns;
  o["op"] = kKinds[static_cast<int>(op.kind)];
  o["outcome"] = kOutcomes[static_cast<int>(op.outcome)];
  if (op.revision != 0) o["revision"] = op.revision;
  if (op.serializable) o["serializable"] = true;
  if (op.kind == OpKind::txn) {
    write_txn(op, &o);
  } else {
    for (auto& field : write_request(op.request)) o[field.key()] = field.value();
    if (op.outcome == OpOutcome::ok && !op.answers.empty()) write_answer(op.kind, op.answers[0], &o);
  }
  return json::serialize(o);
}

Result<Operation> decode_operation(std::string_view line) {
  json::error_code ec;
  const json::value parsed = json::parse(json::string_view(line.data(), line.size()), ec);
  if (ec) return Error{ErrorCode::invalid, "not a line of JSON: " + ec.message()};
  const json::object* object = parsed.if_object();
  if (object == nullptr) return Error{ErrorCode::invalid, "a line must be one JSON object"};
  std::string problem;
  const Fields f(*object, &problem);
  Operation op;
  op.client = static_cast<uint32_t>(f.number("client", true));
  op.member = static_cast<uint32_t>(f.number("member", false));
  op.invoke_ns = f.number("invoke", true);
  op.kind = f.one_of("op", kKinds, true, OpKind::range);
  op.outcome = f.one_of("outcome", kOutcomes, true, OpOutcome::unknown);
  op.return_ns = f.number("return", op.outcome == OpOutcome::ok);
  op.revision = f.number("revision", op.outcome == OpOutcome::ok);
  op.serializable = f.flag("serializable", false);
  if (op.kind == OpKind::txn) {
    read_txn(f, &op, &problem);
  } else {
    op.request = read_request(f, op.kind);
    if (op.outcome == OpOutcome::ok) op.answers.push_back(read_answer(f));
  }
  if (problem.empty() && op.outcome == OpOutcome::ok && op.return_ns < op.invoke_ns)
    problem = "\"return\" is before \"invoke\"";
  if (!problem.empty()) return Error{ErrorCode::invalid, problem};
  return op;
}

Result<History> read_history(std::istream& in) {
  History history;
  std::string line;
  for (uint64_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    Result<Operation> op = decode_operation(line);
    if (!op) return Error{ErrorCode::invalid, fmt::format("line {}: {}", number, op.error().message)};
    history.push_back(std::move(op).value());
  }
  return history;
}

std::string describe(const Operation& op) {
  std::string what;
  if (op.kind == OpKind::txn) {
    what = fmt::format("txn of {} compares", op.compare.size());
    for (const Comparison& c : op.compare)
      what +=
          fmt::format(" {}({}){}{}", kTargets[static_cast<int>(c.target)], c.key, kIs[static_cast<int>(c.is)],
                      c.target == CompareTarget::value ? c.value : std::to_string(c.number));
    for (const SimpleRequest& r :
         op.succeeded || op.outcome != OpOutcome::ok ? op.then_branch : op.else_branch)
      what += fmt::format("; {} {}{}{}", kKinds[static_cast<int>(r.kind)], r.key,
                          r.kind == OpKind::put ? "=" : "", r.value);
    if (op.outcome == OpOutcome::ok) what += op.succeeded ? " (succeeded)" : " (did not succeed)";
  } else {
    what = fmt::format("{}{} {}", op.serializable ? "serializable " : "", kKinds[static_cast<int>(op.kind)],
                       op.request.key);
    if (op.kind == OpKind::put) what += "=" + op.request.value;
    if (!op.request.range_end.empty()) what += ".." + op.request.range_end;
  }
  return fmt::format("client {} at member {}: {}, {}, revision {} [{}..{} ns]", op.client, op.member, what,
                     kOutcomes[static_cast<int>(op.outcome)], op.revision, op.invoke_ns,
                     op.outcome == OpOutcome::unknown ? std::string("?") : std::to_string(op.return_ns));
}

}  // namespace decree::lab
