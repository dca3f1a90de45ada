#include "client/status.h"

#include <gtest/gtest.h>

namespace decree::client {
namespace {

TEST(Fate, OfWhatWasNeverTakenIsNotDone) {
  EXPECT_EQ(fate_of(CallEnd::not_taken, Code::unavailable, "refused"), Fate::not_done);
}

TEST(Fate, OfALostCallIsUnknown) {
  EXPECT_EQ(fate_of(CallEnd::lost, Code::unavailable, "closed"), Fate::unknown);
  EXPECT_EQ(fate_of(CallEnd::lost, Code::deadline_exceeded, ""), Fate::unknown);
}

TEST(Fate, OfARefusalIsNotDone) {
  for (const Code code :
       {Code::invalid_argument, Code::not_found, Code::permission_denied, Code::resource_exhausted,
        Code::failed_precondition, Code::out_of_range, Code::unimplemented, Code::unauthenticated}) {
    EXPECT_EQ(fate_of(CallEnd::answered, code, "no"), Fate::not_done) << code_name(code);
  }
}

TEST(Fate, OfUnavailableDependsOnItsText) {
  EXPECT_EQ(fate_of(CallEnd::answered, Code::unavailable, "etcdserver: no leader"), Fate::not_done);
  EXPECT_EQ(fate_of(CallEnd::answered, Code::unknown, "etcdserver: too many requests"), Fate::not_done);
  EXPECT_EQ(fate_of(CallEnd::answered, Code::unavailable, "etcdserver: request timed out"), Fate::unknown);
  EXPECT_EQ(fate_of(CallEnd::answered, Code::unavailable, "etcdserver: leader changed"), Fate::unknown);
  EXPECT_EQ(fate_of(CallEnd::answered, Code::unavailable, "etcdserver: server stopped"), Fate::unknown);
  EXPECT_EQ(fate_of(CallEnd::answered, Code::deadline_exceeded, "context deadline exceeded"), Fate::unknown);
}

TEST(Code, OfAnUnknownNumberIsUnknown) {
  EXPECT_EQ(code_from_wire(14), Code::unavailable);
  EXPECT_EQ(code_from_wire(99), Code::unknown);
}

}  // namespace
}  // namespace decree::client
