#include "decree/message.h"

namespace decree {

const char* message_name(const Message& message) {
  static constexpr const char* kNames[] = {"Prepare",       "Promise",         "Fetch",        "FetchReply",
                                           "Accept",        "Accepted",        "Nack",         "Law",
                                           "Learn",         "Chosen",          "Forward",      "ForwardReply",
                                           "ReadIndex",     "ReadIndexReply",  "Confirm",      "ConfirmReply",
                                           "Beat",          "BeatReply",       "TransferNow",  "StopHint",
                                           "SnapshotOffer", "SnapshotRequest", "SnapshotChunk"};
  static_assert(std::variant_size_v<Message> == sizeof(kNames) / sizeof(kNames[0]));
  return kNames[message.index()];
}

}  // namespace decree
