#include "tests/transport/random_messages.h"

#include <string>

namespace decree::testing {

Entry RandomMessages::entry() {
  Entry e;
  e.kind = static_cast<EntryKind>(random_() % 4);
  e.id = RequestId{node(), number(), number()};
  e.digest = digest();
  const size_t bytes = random_() % 3 == 0 ? 0 : random_() % 300;
  if (bytes > 0) {
    std::string payload(bytes, '\0');
    for (char& c : payload) c = static_cast<char>(random_());
    e.payload = std::make_shared<const std::string>(std::move(payload));
  }
  return e;
}

Message RandomMessages::make(size_t kind) {
  switch (kind) {
    case 0:
      return Prepare{ballot(), slot()};
    case 1: {
      Promise m;
      m.ballot = ballot();
      m.decided = slot();
      m.snapshot_index = slot();
      m.capture = number();
      m.boot = number();
      m.chunk = number32();
      m.last = flag();
      m.disk_writes = number();
      for (size_t i = random_() % 4; i > 0; --i) m.runs.push_back(PromiseRun{ballot(), flag(), range()});
      for (size_t i = random_() % 3; i > 0; --i) m.unknown.push_back(UnknownSlot{slot(), ballot()});
      return m;
    }
    case 2: {
      Fetch m;
      m.ballot = ballot();
      for (size_t i = random_() % 4; i > 0; --i) m.items.push_back(FetchItem{ballot(), flag(), range()});
      return m;
    }
    case 3: {
      FetchReply m;
      m.ballot = ballot();
      for (size_t i = random_() % 4; i > 0; --i)
        m.entries.push_back(FetchedEntry{slot(), AcceptedEntry{ballot(), flag(), entry()}});
      return m;
    }
    case 4:
      return Accept{ballot(), slot(), slot(), slot(), entries()};
    case 5:
      return Accepted{ballot(), slot(), slot(), slot(), flag(), number()};
    case 6:
      return Nack{ballot(), ballot(), static_cast<NackReason>(random_() % 6), number(), number()};
    case 7:
      return Law{ballot(), slot()};
    case 8:
      return Learn{slot()};
    case 9:
      return Chosen{number32(), slot(), entries(), slot(), digest()};
    case 10:
      return Forward{ballot(), number(), number(), entries(), node()};
    case 11: {
      ForwardReply m;
      for (size_t i = random_() % 4; i > 0; --i) m.ids.push_back(RequestId{node(), number(), number()});
      m.outcome = static_cast<Outcome>(random_() % 3);
      if (flag()) m.refused = {static_cast<ChangeRefused::Kind>(random_() % 5), std::to_string(number())};
      m.leader_gone = flag();
      return m;
    }
    case 12:
      return ReadIndex{number(), number(), node()};
    case 13:
      return ReadIndexReply{number(), number(), flag(), slot(), node()};
    case 14:
      return Confirm{ballot(), number()};
    case 15:
      return ConfirmReply{ballot(), number()};
    case 16:
      return Beat{number(), view(), state_digest()};
    case 17:
      return BeatReply{number(), view()};
    case 18:
      return TransferNow{ballot()};
    case 19:
      return StopHint{number32(), slot()};
    case 20:
      return SnapshotOffer{slot(), digest(), number(), digest()};
    case 21:
      return SnapshotRequest{slot(), number(), number32()};
    default: {
      SnapshotChunk m{slot(), number(), number(), nullptr};
      m.bytes = std::make_shared<const std::string>(1 + random_() % 5000, static_cast<char>(random_()));
      return m;
    }
  }
}

}  // namespace decree::testing
