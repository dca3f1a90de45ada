// The checkers' naive store as a state machine: slow in nothing but snapshots, for runs that are about the
// core alone.
#include <sstream>

#include "decree/check.h"
#include "lab/check/naive_store.h"
#include "lab/sim/store.h"

namespace decree::lab {

namespace {

class ToyStore final : public StoreUnderTest, public StateMachine {
 public:
  StateMachine& machine() override { return *this; }
  int64_t revision() const override { return store_.revision(); }
  std::string encode(const Operation& op) const override { return encode_operation(op); }
  bool decode(const Reply& reply, Operation* op) const override {
    Result<Operation> done = decode_operation(reply.body);
    if (!done) return false;
    op->answers = done.value().answers;
    op->succeeded = done.value().succeeded;
    op->revision = done.value().revision;
    return true;
  }
  bool read(Operation* op) const override {
    NaiveStore& store = const_cast<NaiveStore&>(store_);
    const Executed done = store.dry_run(*op);
    op->answers = done.answers;
    op->revision = store_.revision();
    return true;
  }

  Reply apply(const ApplyContext& context, std::string_view command) override {
    Result<Operation> op = decode_operation(command);
    DECREE_CHECK(op.ok(), "a decided command is one of ours");
    const Executed done = store_.execute(op.value());
    if (done.changed) log_.append(command).push_back('\n');
    digest_ =
        chain_link(digest_, context.slot, Digest128{static_cast<uint64_t>(done.revision), command.size()});
    if (!context.wants_reply) return {};
    op.value().outcome = OpOutcome::ok;
    op.value().return_ns = op.value().invoke_ns;  // the format wants one; nobody reads it
    op.value().answers = done.answers;
    op.value().succeeded = done.succeeded;
    op.value().revision = done.revision;
    return Reply{0, encode_operation(op.value())};
  }
  Digest128 digest() const override { return digest_; }

  std::unique_ptr<SnapshotSource> begin_snapshot() override {
    struct Source final : SnapshotSource {
      bool next(size_t bytes_max, std::string* out) override {
        out->append(bytes, at, bytes_max);
        at = std::min(bytes.size(), at + bytes_max);
        return at < bytes.size();
      }
      std::string bytes;
      size_t at = 0;
    };
    auto source = std::make_unique<Source>();
    source->bytes = std::to_string(digest_.hi) + " " + std::to_string(digest_.lo) + "\n" + log_;
    return source;
  }
  std::unique_ptr<SnapshotSink> begin_restore() override {
    struct Sink final : SnapshotSink {
      explicit Sink(ToyStore& s) : store(s) {}
      Result<void> write(std::string_view piece) override {
        bytes.append(piece);
        return {};
      }
      Result<void> finish() override { return store.restore(bytes); }
      ToyStore& store;
      std::string bytes;
    };
    return std::make_unique<Sink>(*this);
  }
  uint64_t snapshot_bytes_estimate() const override { return 64; }

  Result<void> restore(const std::string& bytes) {
    std::istringstream in(bytes);
    Digest128 digest;
    in >> digest.hi >> digest.lo;
    in.ignore(1);
    NaiveStore store;
    std::string line;
    while (std::getline(in, line)) {
      Result<Operation> op = decode_operation(line);
      if (!op) return op.error();
      store.execute(op.value());
    }
    digest_ = digest;
    store_ = std::move(store);
    log_ = bytes.substr(bytes.find('\n') + 1);
    return {};
  }

 private:
  NaiveStore store_;
  Digest128 digest_;
  std::string log_;  // every command that changed something
};

}  // namespace

std::unique_ptr<StoreUnderTest> make_toy_store() { return std::make_unique<ToyStore>(); }

}  // namespace decree::lab
