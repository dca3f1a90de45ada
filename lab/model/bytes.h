// A canonical form of values, for comparing them: equal bytes mean equal values.
#pragma once

#include <string>
#include <string_view>

#include "decree/message.h"
#include "decree/record.h"

namespace decree::lab::model {

class Bytes {
 public:
  template <class... Ts>
  Bytes& put(const Ts&... values) {
    (one(values), ...);
    return *this;
  }
  // `each` puts one element.
  template <class Range, class Each>
  Bytes& list(const Range& range, Each&& each) {
    one(static_cast<uint64_t>(range.size()));
    for (const auto& element : range) each(element);
    return *this;
  }
  const std::string& str() const { return text_; }
  std::string take() { return std::move(text_); }

 private:
  template <class Tag, class Rep>
  void one(const StrongId<Tag, Rep>& id) {
    one(static_cast<uint64_t>(id.value));
  }
  void one(uint64_t number) {  // 7 bits a byte
    for (; number >= 128; number >>= 7) text_.push_back(static_cast<char>(number | 128));
    text_.push_back(static_cast<char>(number));
  }
  void one(uint32_t number) { one(static_cast<uint64_t>(number)); }
  void one(uint16_t number) { one(static_cast<uint64_t>(number)); }
  void one(bool yes) { text_.push_back(yes ? '\1' : '\0'); }
  void one(std::string_view text) {
    one(static_cast<uint64_t>(text.size()));
    text_ += text;
  }
  void one(const std::string& text) { one(std::string_view(text)); }
  void one(const Ballot& b) { put(b.epoch, b.round, b.priority, b.node); }
  void one(const Digest128& d) { put(d.hi, d.lo); }
  void one(const RequestId& id) { put(id.node, id.boot, id.seq); }
  void one(const Entry& e) { put(static_cast<uint64_t>(e.kind), e.id, e.digest, e.bytes()); }
  void one(const AcceptedEntry& a) { put(a.ballot, a.law, a.entry); }
  void one(const SlotRange& slots) { put(slots.first, slots.end); }
  void one(const PromiseRun& run) { put(run.ballot, run.law, run.slots); }
  void one(const UnknownSlot& lost) { put(lost.slot, lost.bound); }
  void one(const FetchItem& item) { put(item.ballot, item.law, item.slots); }
  void one(const FetchedEntry& fetched) { put(fetched.slot, fetched.accepted); }
  void one(const Membership& m) { one(encode_membership(m)); }
  template <class T>
  void one(const std::vector<T>& values) {
    list(values, [this](const T& value) { one(value); });
  }
  void one(const Message& message);
  void one(const Record& record);
  void one(const RecoveredState& disk);

  std::string text_;
};

}  // namespace decree::lab::model
