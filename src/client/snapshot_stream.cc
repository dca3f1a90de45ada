#include "client/snapshot_stream.h"

#include <chrono>

#include "client/channel.h"
#include "etcd/rpc.pb.h"
#include "net/event_loop.h"

namespace decree::client {

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t token = 1;

class Stream final : private ChannelUser, private MessageSink {
 public:
  Stream(net::EventLoop& loop, const net::HostPort& endpoint, const SnapshotPiece& take)
      : loop_(loop), take_(take), channel_(loop, endpoint, 0, *this) {}

  Status run(std::chrono::milliseconds silence) {
    silence_ = silence;
    heard_ = Clock::now();
    channel_.connect(silence);
    while (!over_) {
      loop_.flush();
      loop_.wait(std::chrono::milliseconds(100));
      if (!over_ && Clock::now() - heard_ > silence_)
        end(Code::deadline_exceeded, "nothing came for " + std::to_string(silence_.count()) + " ms");
    }
    channel_.close("done");
    loop_.flush();
    status_.endpoint = channel_.name();
    return status_;
  }
  bool got_anything() const { return pieces_ != 0; }

 private:
  void on_channel_up(Channel& channel) override {
    if (!channel.start_call(token, "/etcdserverpb.Maintenance/Snapshot", request_, 0, this))
      end(Code::unavailable, "the server takes no calls");
  }
  void on_channel_down(Channel&, const std::string& reason) override { end(Code::unavailable, reason); }
  void on_reply(Channel&, uint64_t, const Reply& reply) override {
    end(reply.code, std::string(reply.message));
  }

  void on_message(uint64_t, std::string_view message) override {
    if (over_) return;
    heard_ = Clock::now();
    ++pieces_;
    etcdserverpb::SnapshotResponse piece;
    if (!piece.ParseFromArray(message.data(), static_cast<int>(message.size())))
      return end(Code::internal, "a piece is not a valid message");
    if (Result<void> taken = take_(piece); !taken) end(Code::aborted, taken.error().message);
  }

  void end(Code code, std::string message) {
    if (over_) return;
    over_ = true;
    status_.code = code;
    status_.message = std::move(message);
    status_.fate = Fate::not_done;
  }

  net::EventLoop& loop_;
  const SnapshotPiece& take_;
  const std::string request_ = frame_message("");
  std::chrono::milliseconds silence_{0};
  Clock::time_point heard_;
  uint64_t pieces_ = 0;
  bool over_ = false;
  Status status_;
  Channel channel_;  // last: its callbacks use the rest
};

}  // namespace

Status receive_snapshot(const std::vector<net::HostPort>& endpoints, std::chrono::milliseconds silence,
                        const SnapshotPiece& take) {
  net::EventLoop loop;
  Status last;
  last.code = Code::unavailable;
  last.message = "no endpoint was given";
  for (const net::HostPort& endpoint : endpoints) {
    Stream stream(loop, endpoint, take);
    last = stream.run(silence);
    if (last.ok() || stream.got_anything()) return last;
  }
  return last;
}

}  // namespace decree::client
