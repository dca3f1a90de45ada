#include "transport/codec.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <google/protobuf/arena.h>
#include "decree/check.h"
#include "decree/peer.pb.h"

namespace decree::transport {
namespace {

namespace wire = decree::peer;

constexpr size_t kMetaBytesMax = 4u << 20;
constexpr int kEntriesMax = 65536;
constexpr size_t kReasonBytesMax = 1024;
constexpr size_t kLengthBytes = 4;

// ---- encoding ----

void put(const Ballot& from, wire::Ballot* to) {
  to->set_epoch(from.epoch);
  to->set_round(from.round);
  to->set_priority(from.priority);
  to->set_node(from.node.value);
}
void put(const Digest128& from, wire::Digest* to) {
  to->set_hi(from.hi);
  to->set_lo(from.lo);
}
void put(const SlotRange& from, wire::Range* to) {
  to->set_first(from.first.value);
  to->set_end(from.end.value);
}
void put(const RequestId& from, wire::RequestId* to) {
  to->set_node(from.node.value);
  to->set_boot(from.boot);
  to->set_seq(from.seq);
}
void put(const Entry& from, wire::Entry* to) {
  to->set_kind(static_cast<uint32_t>(from.kind));
  to->set_node(from.id.node.value);
  to->set_boot(from.id.boot);
  to->set_seq(from.id.seq);
  to->set_digest_hi(from.digest.hi);
  to->set_digest_lo(from.digest.lo);
  to->set_payload_bytes(static_cast<uint32_t>(from.bytes().size()));
}
template <class Repeated>
void put_all(const std::vector<Entry>& from, Repeated* to) {
  to->Reserve(static_cast<int>(from.size()));
  for (const Entry& e : from) put(e, to->Add());
}
void put(const BeatView& from, wire::BeatView* to) {
  put(from.leader, to->mutable_leader());
  to->set_happy(from.happy);
  to->set_decided(from.decided.value);
  to->set_upto(from.upto.value);
  to->set_disk_ok(from.disk_ok);
  to->set_voter(from.voter);
  to->set_boot(from.boot);
  to->set_disk_writes(from.disk_writes);
  to->set_unfit(from.unfit);
}

struct Encoder {
  wire::PeerMessage& to;

  void operator()(const Prepare& m) const {
    auto* p = to.mutable_prepare();
    put(m.ballot, p->mutable_ballot());
    p->set_first(m.first.value);
  }
  void operator()(const Promise& m) const {
    auto* p = to.mutable_promise();
    put(m.ballot, p->mutable_ballot());
    p->set_decided(m.decided.value);
    p->set_snapshot_index(m.snapshot_index.value);
    p->set_capture(m.capture);
    p->set_boot(m.boot);
    p->set_disk_writes(m.disk_writes);
    p->set_chunk(m.chunk);
    p->set_last(m.last);
    for (const PromiseRun& run : m.runs) {
      auto* r = p->add_runs();
      put(run.ballot, r->mutable_ballot());
      r->set_law(run.law);
      put(run.slots, r->mutable_slots());
    }
    for (const UnknownSlot& unknown : m.unknown) {
      auto* u = p->add_unknown();
      u->set_slot(unknown.slot.value);
      put(unknown.bound, u->mutable_bound());
    }
  }
  void operator()(const Fetch& m) const {
    auto* p = to.mutable_fetch();
    put(m.ballot, p->mutable_ballot());
    for (const FetchItem& item : m.items) {
      auto* i = p->add_items();
      put(item.ballot, i->mutable_ballot());
      i->set_law(item.law);
      put(item.slots, i->mutable_slots());
    }
  }
  void operator()(const FetchReply& m) const {
    auto* p = to.mutable_fetch_reply();
    put(m.ballot, p->mutable_ballot());
    for (const FetchedEntry& fetched : m.entries) {
      auto* f = p->add_entries();
      f->set_slot(fetched.slot.value);
      put(fetched.accepted.ballot, f->mutable_ballot());
      f->set_law(fetched.accepted.law);
      put(fetched.accepted.entry, f->mutable_entry());
    }
  }
  void operator()(const Accept& m) const {
    auto* p = to.mutable_accept();
    put(m.ballot, p->mutable_ballot());
    p->set_base(m.base.value);
    p->set_first(m.first.value);
    p->set_decided(m.decided.value);
    put_all(m.entries, p->mutable_entries());
  }
  void operator()(const Accepted& m) const {
    auto* p = to.mutable_accepted();
    put(m.ballot, p->mutable_ballot());
    p->set_upto(m.upto.value);
    p->set_decided(m.decided.value);
    p->set_wanted(m.wanted.value);
    p->set_behind(m.behind);
    p->set_disk_writes(m.disk_writes);
  }
  void operator()(const Nack& m) const {
    auto* p = to.mutable_nack();
    put(m.ballot, p->mutable_ballot());
    put(m.promised, p->mutable_promised());
    p->set_reason(static_cast<uint32_t>(m.reason));
    p->set_boot(m.boot);
    p->set_disk_writes(m.disk_writes);
  }
  void operator()(const Law& m) const {
    auto* p = to.mutable_law();
    put(m.ballot, p->mutable_ballot());
    p->set_decided(m.decided.value);
  }
  void operator()(const Learn& m) const { to.mutable_learn()->set_first(m.first.value); }
  void operator()(const Chosen& m) const {
    auto* p = to.mutable_chosen();
    p->set_epoch(m.epoch);
    p->set_first(m.first.value);
    put_all(m.entries, p->mutable_entries());
    p->set_decided(m.decided.value);
    put(m.chain_before, p->mutable_chain_before());
  }
  void operator()(const Forward& m) const {
    auto* p = to.mutable_forward();
    put(m.ballot, p->mutable_ballot());
    p->set_boot(m.boot);
    p->set_batch(m.batch);
    put_all(m.entries, p->mutable_entries());
    p->set_origin(m.origin.value);
  }
  void operator()(const ForwardReply& m) const {
    auto* p = to.mutable_forward_reply();
    for (const RequestId& id : m.ids) put(id, p->add_ids());
    p->set_outcome(static_cast<uint32_t>(m.outcome));
    p->set_refusal(m.refused.sentence);
    p->set_refusal_kind(static_cast<uint32_t>(m.refused.kind));
    p->set_leader_gone(m.leader_gone);
  }
  void operator()(const ReadIndex& m) const {
    auto* p = to.mutable_read_index();
    p->set_boot(m.boot);
    p->set_seq(m.seq);
    p->set_origin(m.origin.value);
  }
  void operator()(const ReadIndexReply& m) const {
    auto* p = to.mutable_read_index_reply();
    p->set_boot(m.boot);
    p->set_seq(m.seq);
    p->set_ok(m.ok);
    p->set_index(m.index.value);
    p->set_origin(m.origin.value);
  }
  void operator()(const Confirm& m) const {
    auto* p = to.mutable_confirm();
    put(m.ballot, p->mutable_ballot());
    p->set_round(m.round);
  }
  void operator()(const ConfirmReply& m) const {
    auto* p = to.mutable_confirm_reply();
    put(m.ballot, p->mutable_ballot());
    p->set_round(m.round);
  }
  void operator()(const Beat& m) const {
    to.mutable_beat()->set_round(m.round);
    put(m.view, to.mutable_beat()->mutable_view());
    if (m.digest.slot == Slot(0)) return;
    auto* d = to.mutable_beat()->mutable_digest();
    d->set_slot(m.digest.slot.value);
    put(m.digest.chain, d->mutable_chain());
    put(m.digest.state, d->mutable_state());
  }
  void operator()(const BeatReply& m) const {
    to.mutable_beat_reply()->set_round(m.round);
    put(m.view, to.mutable_beat_reply()->mutable_view());
  }
  void operator()(const TransferNow& m) const { put(m.ballot, to.mutable_transfer_now()->mutable_ballot()); }
  void operator()(const StopHint& m) const {
    to.mutable_stop_hint()->set_epoch(m.epoch);
    to.mutable_stop_hint()->set_stop_slot(m.stop_slot.value);
  }
  void operator()(const SnapshotOffer& m) const {
    auto* p = to.mutable_snapshot_offer();
    p->set_index(m.index.value);
    put(m.chain, p->mutable_chain());
    p->set_size_bytes(m.size_bytes);
    put(m.digest, p->mutable_digest());
  }
  void operator()(const SnapshotRequest& m) const {
    auto* p = to.mutable_snapshot_request();
    p->set_index(m.index.value);
    p->set_offset(m.offset);
    p->set_bytes_max(m.bytes_max);
  }
  void operator()(const SnapshotChunk& m) const {
    auto* p = to.mutable_snapshot_chunk();
    p->set_index(m.index.value);
    p->set_offset(m.offset);
    p->set_size_bytes(m.size_bytes);
    p->set_payload_bytes(m.bytes ? static_cast<uint32_t>(m.bytes->size()) : 0);
  }
};

void append_payloads(const std::vector<Entry>& entries, std::string& out) {
  for (const Entry& e : entries) out.append(e.bytes());
}

void append_payloads(const Message& message, std::string& out) {
  if (const auto* accept = std::get_if<Accept>(&message)) append_payloads(accept->entries, out);
  if (const auto* chosen = std::get_if<Chosen>(&message)) append_payloads(chosen->entries, out);
  if (const auto* forward = std::get_if<Forward>(&message)) append_payloads(forward->entries, out);
  if (const auto* reply = std::get_if<FetchReply>(&message))
    for (const FetchedEntry& f : reply->entries) out.append(f.accepted.entry.bytes());
  if (const auto* chunk = std::get_if<SnapshotChunk>(&message))
    if (chunk->bytes) out.append(*chunk->bytes);
}

// ---- decoding ----

// Takes raw payloads from the front; remembers whether anything was wrong.
class Decoder {
 public:
  explicit Decoder(std::string_view raw) : raw_(raw) {}

  bool whole() const { return good_ && raw_.empty(); }
  void refuse() { good_ = false; }

  template <class T>
  T narrow(uint64_t value, uint64_t max) {
    if (value > max) good_ = false;
    return static_cast<T>(value);
  }
  Ballot ballot(const wire::Ballot& from) {
    return Ballot{from.epoch(), from.round(),
                  narrow<uint16_t>(from.priority(), std::numeric_limits<uint16_t>::max()),
                  NodeId(from.node())};
  }
  SlotRange range(const wire::Range& from) {
    if (from.first() > from.end()) good_ = false;
    return SlotRange{Slot(from.first()), Slot(from.end())};
  }
  static Digest128 digest(const wire::Digest& from) { return Digest128{from.hi(), from.lo()}; }
  static RequestId request_id(const wire::RequestId& from) {
    return RequestId{NodeId(from.node()), from.boot(), from.seq()};
  }
  BeatView view(const wire::BeatView& from) {
    BeatView v;
    v.leader = ballot(from.leader());
    v.happy = from.happy();
    v.decided = Slot(from.decided());
    v.upto = Slot(from.upto());
    v.disk_ok = from.disk_ok();
    v.voter = from.voter();
    v.boot = from.boot();
    v.disk_writes = from.disk_writes();
    v.unfit = from.unfit();
    return v;
  }
  std::shared_ptr<const std::string> raw(uint32_t bytes) {
    if (bytes == 0 || !good_) return nullptr;
    if (bytes > raw_.size()) {
      good_ = false;
      return nullptr;
    }
    auto out = std::make_shared<const std::string>(raw_.substr(0, bytes));
    raw_.remove_prefix(bytes);
    return out;
  }
  Entry entry(const wire::Entry& from) {
    Entry e;
    e.kind =
        static_cast<EntryKind>(narrow<uint8_t>(from.kind(), static_cast<uint64_t>(EntryKind::stop_sign)));
    e.id = RequestId{NodeId(from.node()), from.boot(), from.seq()};
    e.digest = Digest128{from.digest_hi(), from.digest_lo()};
    e.payload = raw(from.payload_bytes());
    return e;
  }
  template <class Repeated>
  std::vector<Entry> entries(const Repeated& from) {
    std::vector<Entry> out;
    if (from.size() > kEntriesMax) {
      good_ = false;
      return out;
    }
    out.reserve(static_cast<size_t>(from.size()));
    for (const wire::Entry& e : from) out.push_back(entry(e));
    return out;
  }

 private:
  std::string_view raw_;
  bool good_ = true;
};

Promise decode(Decoder& d, const wire::Promise& from) {
  Promise m;
  m.ballot = d.ballot(from.ballot());
  m.decided = Slot(from.decided());
  m.snapshot_index = Slot(from.snapshot_index());
  m.capture = from.capture();
  m.boot = from.boot();
  m.disk_writes = from.disk_writes();
  m.chunk = from.chunk();
  m.last = from.last();
  m.runs.reserve(static_cast<size_t>(from.runs_size()));
  for (const auto& run : from.runs())
    m.runs.push_back(PromiseRun{d.ballot(run.ballot()), run.law(), d.range(run.slots())});
  for (const auto& unknown : from.unknown())
    m.unknown.push_back(UnknownSlot{Slot(unknown.slot()), d.ballot(unknown.bound())});
  return m;
}

Fetch decode(Decoder& d, const wire::Fetch& from) {
  Fetch m;
  m.ballot = d.ballot(from.ballot());
  for (const auto& item : from.items())
    m.items.push_back(FetchItem{d.ballot(item.ballot()), item.law(), d.range(item.slots())});
  return m;
}

FetchReply decode(Decoder& d, const wire::FetchReply& from) {
  FetchReply m;
  m.ballot = d.ballot(from.ballot());
  if (from.entries_size() > kEntriesMax) {
    d.refuse();
    return m;
  }
  for (const auto& f : from.entries()) {
    FetchedEntry fetched;
    fetched.slot = Slot(f.slot());
    fetched.accepted.ballot = d.ballot(f.ballot());
    fetched.accepted.law = f.law();
    fetched.accepted.entry = d.entry(f.entry());
    m.entries.push_back(std::move(fetched));
  }
  return m;
}

Accept decode(Decoder& d, const wire::Accept& from) {
  Accept m;
  m.ballot = d.ballot(from.ballot());
  m.base = Slot(from.base());
  m.first = Slot(from.first());
  m.decided = Slot(from.decided());
  m.entries = d.entries(from.entries());
  return m;
}

Accepted decode(Decoder& d, const wire::Accepted& from) {
  Accepted m;
  m.ballot = d.ballot(from.ballot());
  m.upto = Slot(from.upto());
  m.decided = Slot(from.decided());
  m.wanted = Slot(from.wanted());
  m.behind = from.behind();
  m.disk_writes = from.disk_writes();
  return m;
}

Chosen decode(Decoder& d, const wire::Chosen& from) {
  Chosen m;
  m.epoch = from.epoch();
  m.first = Slot(from.first());
  m.entries = d.entries(from.entries());
  m.decided = Slot(from.decided());
  m.chain_before = Decoder::digest(from.chain_before());
  return m;
}

ForwardReply decode(Decoder& d, const wire::ForwardReply& from) {
  ForwardReply m;
  if (from.ids_size() > kEntriesMax) d.refuse();
  for (const auto& id : from.ids()) m.ids.push_back(Decoder::request_id(id));
  m.outcome =
      static_cast<Outcome>(d.narrow<uint8_t>(from.outcome(), static_cast<uint64_t>(Outcome::unknown)));
  // A kind this release does not know is still a refusal.
  m.refused.kind = static_cast<ChangeRefused::Kind>(
      std::min(from.refusal_kind(), static_cast<uint32_t>(ChangeRefused::Kind::other)));
  m.refused.sentence = from.refusal().substr(0, kReasonBytesMax);
  m.leader_gone = from.leader_gone();
  return m;
}

Nack decode(Decoder& d, const wire::Nack& from) {
  // A reason this release does not know still says "no": the ballot in the way is what counts.
  const auto reason = static_cast<NackReason>(
      from.reason() <= static_cast<uint32_t>(NackReason::old_disk) ? from.reason() : 0);
  return Nack{d.ballot(from.ballot()), d.ballot(from.promised()), reason, from.boot(), from.disk_writes()};
}

bool decode_body(Decoder& d, const wire::PeerMessage& from, Message* out) {
  using Case = wire::PeerMessage::BodyCase;
  switch (from.body_case()) {
    case Case::kPrepare:
      *out = Prepare{d.ballot(from.prepare().ballot()), Slot(from.prepare().first())};
      return true;
    case Case::kPromise:
      *out = decode(d, from.promise());
      return true;
    case Case::kFetch:
      *out = decode(d, from.fetch());
      return true;
    case Case::kFetchReply:
      *out = decode(d, from.fetch_reply());
      return true;
    case Case::kAccept:
      *out = decode(d, from.accept());
      return true;
    case Case::kAccepted:
      *out = decode(d, from.accepted());
      return true;
    case Case::kNack:
      *out = decode(d, from.nack());
      return true;
    case Case::kLaw:
      *out = Law{d.ballot(from.law().ballot()), Slot(from.law().decided())};
      return true;
    case Case::kLearn:
      *out = Learn{Slot(from.learn().first())};
      return true;
    case Case::kChosen:
      *out = decode(d, from.chosen());
      return true;
    case Case::kForward: {
      const auto& m = from.forward();
      *out = Forward{d.ballot(m.ballot()), m.boot(), m.batch(), d.entries(m.entries()), NodeId(m.origin())};
      return true;
    }
    case Case::kForwardReply:
      *out = decode(d, from.forward_reply());
      return true;
    case Case::kReadIndex:
      *out = ReadIndex{from.read_index().boot(), from.read_index().seq(), NodeId(from.read_index().origin())};
      return true;
    case Case::kReadIndexReply: {
      const auto& m = from.read_index_reply();
      *out = ReadIndexReply{m.boot(), m.seq(), m.ok(), Slot(m.index()), NodeId(m.origin())};
      return true;
    }
    case Case::kConfirm:
      *out = Confirm{d.ballot(from.confirm().ballot()), from.confirm().round()};
      return true;
    case Case::kConfirmReply:
      *out = ConfirmReply{d.ballot(from.confirm_reply().ballot()), from.confirm_reply().round()};
      return true;
    case Case::kBeat: {
      const auto& told = from.beat().digest();
      *out =
          Beat{from.beat().round(), d.view(from.beat().view()),
               StateDigest{Slot(told.slot()), Decoder::digest(told.chain()), Decoder::digest(told.state())}};
      return true;
    }
    case Case::kBeatReply:
      *out = BeatReply{from.beat_reply().round(), d.view(from.beat_reply().view())};
      return true;
    case Case::kTransferNow:
      *out = TransferNow{d.ballot(from.transfer_now().ballot())};
      return true;
    case Case::kStopHint:
      *out = StopHint{from.stop_hint().epoch(), Slot(from.stop_hint().stop_slot())};
      return true;
    case Case::kSnapshotOffer: {
      const auto& m = from.snapshot_offer();
      *out = SnapshotOffer{Slot(m.index()), Decoder::digest(m.chain()), m.size_bytes(),
                           Decoder::digest(m.digest())};
      return true;
    }
    case Case::kSnapshotRequest: {
      const auto& m = from.snapshot_request();
      *out = SnapshotRequest{Slot(m.index()), m.offset(), m.bytes_max()};
      return true;
    }
    case Case::kSnapshotChunk: {
      const auto& m = from.snapshot_chunk();
      *out = SnapshotChunk{Slot(m.index()), m.offset(), m.size_bytes(), d.raw(m.payload_bytes())};
      return true;
    }
    case Case::BODY_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace

void encode_message(uint32_t epoch, const Message& message, std::string& out) {
  // Most messages fit into this block: no allocation on the way out.
  std::array<char, 4096> block;
  google::protobuf::ArenaOptions options;
  options.initial_block = block.data();
  options.initial_block_size = block.size();
  google::protobuf::Arena arena(options);
  auto* wire_message = google::protobuf::Arena::CreateMessage<wire::PeerMessage>(&arena);
  wire_message->set_epoch(epoch);
  std::visit(Encoder{*wire_message}, message);
  const size_t meta = wire_message->ByteSizeLong();
  const size_t at = out.size();
  out.resize(at + kLengthBytes + meta);
  for (size_t i = 0; i < kLengthBytes; ++i) out[at + i] = static_cast<char>(meta >> (8 * i));
  wire_message->SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out.data() + at + kLengthBytes));
  append_payloads(message, out);
}

Result<Decoded> decode_message(std::string_view payload) {
  const auto malformed = [](const char* what) {
    return Error{ErrorCode::invalid, std::string("malformed peer message: ") + what};
  };
  if (payload.size() < kLengthBytes) return malformed("too short");
  size_t meta = 0;
  for (size_t i = 0; i < kLengthBytes; ++i)
    meta |= static_cast<size_t>(static_cast<unsigned char>(payload[i])) << (8 * i);
  if (meta > kMetaBytesMax || meta > payload.size() - kLengthBytes)
    return malformed("its length is not what it says");

  std::array<char, 8192> block;
  google::protobuf::ArenaOptions options;
  options.initial_block = block.data();
  options.initial_block_size = block.size();
  google::protobuf::Arena arena(options);
  auto* wire_message = google::protobuf::Arena::CreateMessage<wire::PeerMessage>(&arena);
  if (!wire_message->ParseFromArray(payload.data() + kLengthBytes, static_cast<int>(meta)))
    return malformed("not a PeerMessage");
  Decoder decoder(payload.substr(kLengthBytes + meta));
  Decoded decoded;
  decoded.epoch = wire_message->epoch();
  if (!decode_body(decoder, *wire_message, &decoded.message))
    return Error{ErrorCode::format, "a peer message this release does not know"};
  if (!decoder.whole()) return malformed("payloads or numbers do not fit");
  return decoded;
}

}  // namespace decree::transport
