#include "lab/sim/trace.h"

#include <fmt/format.h>

#include "lab/check/ghost.h"

namespace decree::lab {

void Trace::line(uint64_t step, int64_t at_us, uint32_t member, const char* what, const std::string& fields) {
  *out_ << fmt::format("{{\"step\":{},\"us\":{},\"member\":{},\"what\":\"{}\"{}{}}}\n", step, at_us, member,
                       what, fields.empty() ? "" : ",", fields);
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

namespace {

std::string b(const Ballot& ballot) { return "\"" + show(ballot) + "\""; }

struct Fields {
  std::string operator()(const Prepare& m) const {
    return fmt::format("\"ballot\":{},\"first\":{}", b(m.ballot), m.first.value);
  }
  std::string operator()(const Promise& m) const {
    std::string runs;
    for (const PromiseRun& r : m.runs)
      runs += fmt::format("{}[{},{},{},{}]", runs.empty() ? "" : ",", b(r.ballot), r.slots.first.value,
                          r.slots.end.value, r.law ? "\"law\"" : "\"\"");
    return fmt::format("\"ballot\":{},\"decided\":{},\"snapshot\":{},\"chunk\":{},\"last\":{},\"runs\":[{}]",
                       b(m.ballot), m.decided.value, m.snapshot_index.value, m.chunk, m.last, runs);
  }
  std::string operator()(const Accept& m) const {
    return fmt::format("\"ballot\":{},\"base\":{},\"first\":{},\"entries\":{},\"decided\":{}", b(m.ballot),
                       m.base.value, m.first.value, m.entries.size(), m.decided.value);
  }
  std::string operator()(const Accepted& m) const {
    return fmt::format("\"ballot\":{},\"upto\":{},\"decided\":{},\"wanted\":{},\"behind\":{}", b(m.ballot),
                       m.upto.value, m.decided.value, m.wanted.value, m.behind);
  }
  std::string operator()(const Nack& m) const {
    return fmt::format("\"ballot\":{},\"promised\":{},\"reason\":{}", b(m.ballot), b(m.promised),
                       static_cast<int>(m.reason));
  }
  std::string operator()(const Law& m) const {
    return fmt::format("\"ballot\":{},\"decided\":{}", b(m.ballot), m.decided.value);
  }
  std::string operator()(const Learn& m) const { return fmt::format("\"first\":{}", m.first.value); }
  std::string operator()(const Chosen& m) const {
    return fmt::format("\"first\":{},\"entries\":{},\"decided\":{}", m.first.value, m.entries.size(),
                       m.decided.value);
  }
  std::string operator()(const Beat& m) const { return view(m.round, m.view); }
  std::string operator()(const BeatReply& m) const { return view(m.round, m.view); }
  std::string operator()(const Confirm& m) const {
    return fmt::format("\"ballot\":{},\"round\":{}", b(m.ballot), m.round);
  }
  std::string operator()(const ConfirmReply& m) const {
    return fmt::format("\"ballot\":{},\"round\":{}", b(m.ballot), m.round);
  }
  std::string operator()(const ReadIndex& m) const {
    return fmt::format("\"boot\":{},\"seq\":{},\"origin\":{}", m.boot, m.seq, m.origin.value);
  }
  std::string operator()(const ReadIndexReply& m) const {
    return fmt::format("\"boot\":{},\"seq\":{},\"ok\":{},\"index\":{},\"origin\":{}", m.boot, m.seq, m.ok,
                       m.index.value, m.origin.value);
  }
  std::string operator()(const Fetch& m) const {
    return fmt::format("\"ballot\":{},\"items\":{}", b(m.ballot), m.items.size());
  }
  std::string operator()(const FetchReply& m) const {
    return fmt::format("\"ballot\":{},\"entries\":{}", b(m.ballot), m.entries.size());
  }
  std::string operator()(const Forward& m) const {
    return fmt::format("\"ballot\":{},\"batch\":{},\"entries\":{},\"origin\":{}", b(m.ballot), m.batch,
                       m.entries.size(), m.origin.value);
  }
  std::string operator()(const ForwardReply& m) const {
    return fmt::format("\"ids\":{},\"outcome\":{},\"leader_gone\":{}", m.ids.size(),
                       static_cast<int>(m.outcome), m.leader_gone);
  }
  std::string operator()(const TransferNow& m) const { return fmt::format("\"ballot\":{}", b(m.ballot)); }
  std::string operator()(const StopHint& m) const { return fmt::format("\"epoch\":{}", m.epoch); }
  std::string operator()(const SnapshotOffer& m) const {
    return fmt::format("\"index\":{},\"size\":{}", m.index.value, m.size_bytes);
  }
  std::string operator()(const SnapshotRequest& m) const {
    return fmt::format("\"index\":{},\"offset\":{}", m.index.value, m.offset);
  }
  std::string operator()(const SnapshotChunk& m) const {
    return fmt::format("\"index\":{},\"offset\":{}", m.index.value, m.offset);
  }
  static std::string view(uint64_t round, const BeatView& v) {
    return fmt::format("\"round\":{},\"leader\":{},\"happy\":{},\"decided\":{},\"upto\":{}", round,
                       b(v.leader), v.happy, v.decided.value, v.upto.value);
  }
};

uint64_t word(const Ballot& x) {
  return (static_cast<uint64_t>(x.round) << 8) ^ x.node.value ^ (static_cast<uint64_t>(x.epoch) << 48);
}

}  // namespace

std::string trace_records(std::span<const PersistedRecord> records) {
  const auto slots = [](const Slot& first, size_t count) {
    return count == 1 ? fmt::format("slot {}", first.value)
                      : fmt::format("slots {}..{}", first.value, first.value + count - 1);
  };
  std::string out;
  for (const PersistedRecord& r : records) {
    std::string text;
    if (const auto* promise = std::get_if<PromiseRecord>(&r.record))
      text = "promise " + show(promise->promised);
    else if (const auto* accept = std::get_if<AcceptRecord>(&r.record))
      text = slots(accept->first, accept->entries.size()) + " accepted at " + show(accept->ballot);
    else if (const auto* law = std::get_if<LawRecord>(&r.record))
      text = slots(law->first, law->entries.size()) + " as Law";
    else if (const auto* decided = std::get_if<DecidedRecord>(&r.record))
      text = fmt::format("decided up to {}", decided->upto.value);
    else if (const auto* snapshot = std::get_if<SnapshotRecord>(&r.record))
      text = fmt::format("snapshot at {}", snapshot->index.value);
    else
      text = "epoch";
    out += (out.empty() ? "" : ",") + json_string(text);
  }
  return "[" + out + "]";
}

std::string trace_fields(const Message& message) { return std::visit(Fields{}, message); }

uint64_t message_fingerprint(const Message& message) {
  uint64_t h = message.index() * 0x9e3779b97f4a7c15ULL;
  auto mix = [&h](uint64_t v) {
    h = (h ^ v) * 0xff51afd7ed558ccdULL;
    h ^= h >> 31;
  };
  if (const auto* accept = std::get_if<Accept>(&message)) {
    mix(word(accept->ballot));
    mix(accept->first.value);
    mix(accept->decided.value);
    for (const Entry& e : accept->entries) mix(e.digest.lo);
  } else if (const auto* accepted = std::get_if<Accepted>(&message)) {
    mix(word(accepted->ballot));
    mix(accepted->upto.value);
  } else if (const auto* promise = std::get_if<Promise>(&message)) {
    mix(word(promise->ballot));
    mix(promise->decided.value);
    for (const PromiseRun& r : promise->runs)
      mix(word(r.ballot) ^ r.slots.first.value ^ (r.slots.end.value << 20));
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    mix(word(prepare->ballot));
    mix(prepare->first.value);
  } else if (const auto* chosen = std::get_if<Chosen>(&message)) {
    mix(chosen->first.value);
    for (const Entry& e : chosen->entries) mix(e.digest.lo);
  }
  return h;
}

}  // namespace decree::lab
