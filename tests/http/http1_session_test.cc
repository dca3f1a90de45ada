#include <gtest/gtest.h>

#include "http/server.h"
#include "tests/http/test_client.h"

namespace decree::http {
namespace {

struct Handler : HttpHandler {
  Server* server = nullptr;
  bool park = false;
  std::vector<CallId> parked;
  int cancelled = 0;
  std::vector<std::string> seen;
  void on_request(CallId call, const HttpRequest& request) override {
    seen.push_back(std::string(request.method) + " " + std::string(request.path) + " " +
                   std::string(request.query) + " " + std::string(request.body));
    if (park)
      parked.push_back(call);
    else
      server->answer(call, {200, "text/plain", "n" + std::to_string(seen.size()), {}});
  }
  void on_cancelled(CallId) override { ++cancelled; }
};

class Http1 : public testing::Test {
 protected:
  Http1() : server(loop, {}, [](const std::string&) {}) {
    handler.server = &server;
    server.add_http("/health", &handler);
    server.adopt(connection);
  }
  std::string ask(std::string_view bytes, size_t piece = 1 << 20) {
    for (size_t at = 0; at < bytes.size(); at += piece) connection->feed(bytes.substr(at, piece));
    return connection->take();
  }
  net::EventLoop loop;
  Handler handler;
  std::shared_ptr<FakeConnection> connection = std::make_shared<FakeConnection>();
  Server server;
};

TEST_F(Http1, ARequestIsAnsweredAndTheConnectionKept) {
  const std::string answer = ask("GET /health?serializable=true HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nn1");
  EXPECT_EQ(handler.seen.at(0), "GET /health serializable=true ");
  EXPECT_FALSE(connection->closed());
  EXPECT_NE(ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").find("n2"), std::string::npos);
}

TEST_F(Http1, AHandlerSeesTheHeaderAndAddsToItsAnswers) {
  handler.park = true;
  connection->feed("GET /health HTTP/1.1\r\nHost: a:1\r\nOrigin: http://b\r\nhost: late\r\n\r\n");
  ASSERT_EQ(handler.parked.size(), 1u);
  EXPECT_EQ(server.metadata(handler.parked[0], "host"), "a:1") << "the first of that name";
  EXPECT_EQ(server.metadata(handler.parked[0], "origin"), "http://b");
  EXPECT_EQ(server.metadata(handler.parked[0], "accept"), "");
  HttpAnswer answer{200, "text/plain", "x", {}};
  answer.headers = {{"cache-control", "no-store"}, {"x-content-type-options", "nosniff"}};
  server.answer(handler.parked[0], answer);
  EXPECT_EQ(connection->take(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\ncache-control: no-store\r\n"
            "x-content-type-options: nosniff\r\n\r\nx");
  handler.park = false;
  ask("GET /health HTTP/1.1\r\n\r\n");
  EXPECT_EQ(server.metadata(handler.parked[0], "host"), "") << "gone with its call";
}

TEST_F(Http1, FedByteByByteItBehavesTheSame) {
  const std::string answer = ask("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 1);
  EXPECT_NE(answer.find("n1"), std::string::npos);
  EXPECT_EQ(handler.seen.at(0), "POST /health  hello");
}

TEST_F(Http1, PipelinedRequestsAreAnsweredInOrder) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string answer = ask(many);
  size_t at = 0;
  for (int i = 1; i <= 100; ++i) {
    at = answer.find("\r\n\r\nn" + std::to_string(i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST_F(Http1, ALateAnswerHoldsBackTheNextRequest) {
  handler.park = true;
  EXPECT_EQ(ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  ASSERT_EQ(handler.parked.size(), 1u);
  server.answer(handler.parked[0], {503, "text/plain", "no", {}});
  EXPECT_NE(connection->take().find("503 Service Unavailable"), std::string::npos);
  EXPECT_EQ(handler.parked.size(), 2u);
  connection->break_off();
  EXPECT_EQ(handler.cancelled, 1);
}

TEST_F(Http1, UnknownPathsAre404AndHeadHasNoBody) {
  EXPECT_NE(ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").find("404 Not Found"), std::string::npos);
  const std::string head = ask("HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
}

TEST_F(Http1, OldClientsAndCloseAreHonoured) {
  EXPECT_NE(ask("GET /health HTTP/1.0\r\n\r\n").find("n1"), std::string::npos);
  EXPECT_TRUE(connection->closed());
}

TEST_F(Http1, GarbageIsToldWhatThisPortSpeaks) {
  EXPECT_NE(ask("\x16\x03\x01\x02hello\r\n\r\n").find("400 Bad Request"), std::string::npos);
  EXPECT_TRUE(connection->closed());
}

TEST_F(Http1, HeadersAndBodiesAboveTheLimitsAreRefused) {
  EXPECT_NE(ask("GET /health HTTP/1.1\r\nX: " + std::string(20000, 'x')).find("431"), std::string::npos);
  EXPECT_TRUE(connection->closed());
  connection->tell_if_closed();
  connection = std::make_shared<FakeConnection>();
  server.adopt(connection);
  EXPECT_NE(ask("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nx").find("413"),
            std::string::npos);
}

// The second request stopped the process inside Beast 1.81 (found by fuzzing).
TEST_F(Http1, ChunkedBodiesAreRefusedAndMalformedOnesHarmless) {
  EXPECT_NE(ask("POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                .find("411"),
            std::string::npos);
  connection->tell_if_closed();
  connection = std::make_shared<FakeConnection>();
  server.adopt(connection);
  EXPECT_NE(ask(std::string_view(
                    "POST o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nabc\r\n0\r\nd\0\r\n", 64))
                .find("411"),
            std::string::npos);
}

TEST_F(Http1, ABodyThatWaitsForPermissionGetsIt) {
  EXPECT_EQ(ask("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_NE(ask("ok").find("n1"), std::string::npos);
}

}  // namespace
}  // namespace decree::http
