#include "client/client.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "client/etcd_client.h"
#include "tests/client/fake_etcd.h"

namespace decree::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string put_response(int64_t revision) {
  etcdserverpb::PutResponse response;
  response.mutable_header()->set_revision(revision);
  return response.SerializeAsString();
}

FakeAnswer put_answer(int64_t revision) { return FakeAnswer::reply(put_response(revision)); }

etcdserverpb::PutRequest put_request() {
  etcdserverpb::PutRequest request;
  request.set_key("k");
  request.set_value("v");
  return request;
}

// A port where nobody listens: it was free a moment ago.
net::HostPort closed_port() {
  net::EventLoop loop;
  auto listener = net::listen_tcp(loop, {"127.0.0.1", 0}, [](std::shared_ptr<net::Connection>) {});
  DECREE_CHECK(listener.ok(), "no free port");
  return {"127.0.0.1", (*listener)->port()};
}

TEST(Client, BringsTheRequestAndTheAnswer) {
  FakeEtcd server([](std::string_view method, std::string_view message) {
    EXPECT_EQ(method, "Put");
    etcdserverpb::PutRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    EXPECT_EQ(request.key(), "k");
    return put_answer(5);
  });
  EtcdClient client({server.address()}, milliseconds(5000));
  const auto answer = client.put(put_request());
  ASSERT_TRUE(answer.ok()) << answer.status.message;
  EXPECT_EQ(answer.value.header().revision(), 5);
  EXPECT_EQ(answer.status.endpoint, server.endpoint());
}

TEST(Client, CarriesMessagesLargerThanAFrame) {
  FakeEtcd server([](std::string_view, std::string_view message) {
    etcdserverpb::PutRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    etcdserverpb::PutResponse response;
    response.mutable_prev_kv()->set_value(request.value());
    return FakeAnswer::reply(response.SerializeAsString());
  });
  EtcdClient client({server.address()}, milliseconds(10'000));
  etcdserverpb::PutRequest request = put_request();
  request.set_value(std::string(1'400'000, 'x'));
  const auto answer = client.put(request);
  ASSERT_TRUE(answer.ok()) << answer.status.message;
  EXPECT_EQ(answer.value.prev_kv().value(), request.value());
}

TEST(Client, GivesTheServersCodeAndText) {
  FakeEtcd server([](std::string_view, std::string_view) {
    return FakeAnswer::fail(http::GrpcCode::out_of_range, "etcdserver: mvcc: 100% gone, \"really\"");
  });
  EtcdClient client({server.address()}, milliseconds(5000));
  const auto answer = client.put(put_request());
  EXPECT_EQ(answer.status.code, Code::out_of_range);
  EXPECT_EQ(answer.status.message, "etcdserver: mvcc: 100% gone, \"really\"");
  EXPECT_EQ(answer.status.fate, Fate::not_done);
  EXPECT_EQ(server.calls(), 1);
}

TEST(Client, GoesOnToTheNextEndpointWhenNobodyListensAtTheFirst) {
  FakeEtcd server([](std::string_view, std::string_view) { return put_answer(5); });
  EtcdClient client({closed_port(), server.address()}, milliseconds(5000));
  EXPECT_TRUE(client.put(put_request()).ok());
  // It stays with the one that serves.
  EXPECT_TRUE(client.put(put_request()).ok());
  EXPECT_EQ(server.calls(), 2);
}

TEST(Client, SaysAtOnceThatNobodyListens) {
  EtcdClient client({closed_port(), closed_port()}, milliseconds(60'000));
  const auto start = steady_clock::now();
  const auto answer = client.put(put_request());
  EXPECT_EQ(answer.status.code, Code::unavailable);
  EXPECT_EQ(answer.status.fate, Fate::not_done);
  EXPECT_LT(steady_clock::now() - start, milliseconds(30'000));
}

TEST(Client, NeverRepeatsAChangeWhoseFateIsUnknown) {
  std::atomic<int> second_calls{0};
  FakeEtcd first([](std::string_view, std::string_view) { return FakeAnswer::cut(); });
  FakeEtcd second([&](std::string_view, std::string_view) {
    ++second_calls;
    return put_answer(5);
  });
  EtcdClient client({first.address(), second.address()}, milliseconds(5000));
  const auto answer = client.put(put_request());
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.status.fate, Fate::unknown);
  EXPECT_EQ(first.calls(), 1);
  EXPECT_EQ(second_calls.load(), 0);
}

TEST(Client, LeavesAChangeOfUnknownFateAloneWhenTheServerTimedOut) {
  FakeEtcd server([](std::string_view, std::string_view) {
    return FakeAnswer::fail(http::GrpcCode::unavailable, "etcdserver: request timed out");
  });
  EtcdClient client({server.address()}, milliseconds(2000));
  const auto answer = client.put(put_request());
  EXPECT_EQ(answer.status.fate, Fate::unknown);
  EXPECT_EQ(server.calls(), 1);
}

TEST(Client, RepeatsAChangeThatWasCertainlyNotDone) {
  std::atomic<int> calls{0};
  FakeEtcd server([&](std::string_view, std::string_view) {
    return ++calls < 3 ? FakeAnswer::fail(http::GrpcCode::unavailable, "etcdserver: no leader")
                       : put_answer(5);
  });
  EtcdClient client({server.address()}, milliseconds(20'000));
  EXPECT_TRUE(client.put(put_request()).ok());
  EXPECT_EQ(server.calls(), 3);
}

TEST(Client, RepeatsALostReadElsewhere) {
  FakeEtcd first([](std::string_view, std::string_view) { return FakeAnswer::cut(); });
  FakeEtcd second([](std::string_view, std::string_view) {
    etcdserverpb::RangeResponse response;
    response.set_count(3);
    return FakeAnswer::reply(response.SerializeAsString());
  });
  EtcdClient client({first.address(), second.address()}, milliseconds(10'000));
  etcdserverpb::RangeRequest request;
  request.set_key("k");
  const auto answer = client.range(request);
  ASSERT_TRUE(answer.ok()) << answer.status.message;
  EXPECT_EQ(answer.value.count(), 3);
}

TEST(Client, LeavesASilentEndpointInTimeForAnother) {
  FakeEtcd first([](std::string_view, std::string_view) { return FakeAnswer::silence(); });
  FakeEtcd second([](std::string_view, std::string_view) {
    return FakeAnswer::reply(etcdserverpb::RangeResponse().SerializeAsString());
  });
  EtcdClient client({first.address(), second.address()}, milliseconds(2000));
  etcdserverpb::RangeRequest request;
  request.set_key("k");
  EXPECT_TRUE(client.range(request).ok());
}

TEST(Client, KeepsTheDeadline) {
  FakeEtcd server([](std::string_view, std::string_view) { return FakeAnswer::silence(); });
  EtcdClient client({server.address()}, milliseconds(200));
  const auto start = steady_clock::now();
  const auto answer = client.put(put_request());
  EXPECT_EQ(answer.status.code, Code::deadline_exceeded);
  EXPECT_EQ(answer.status.fate, Fate::unknown);
  EXPECT_GE(steady_clock::now() - start, milliseconds(190));
}

TEST(Client, ATransactionOfReadsIsARead) {
  FakeEtcd first([](std::string_view, std::string_view) { return FakeAnswer::cut(); });
  FakeEtcd second([](std::string_view, std::string_view) {
    return FakeAnswer::reply(etcdserverpb::TxnResponse().SerializeAsString());
  });
  EtcdClient client({first.address(), second.address()}, milliseconds(10'000));
  etcdserverpb::TxnRequest reads;
  reads.add_success()->mutable_request_txn()->add_success()->mutable_request_range()->set_key("k");
  EXPECT_TRUE(client.txn(reads).ok());
  etcdserverpb::TxnRequest writes = reads;
  writes.mutable_success(0)->mutable_request_txn()->add_failure()->mutable_request_put()->set_key("k");
  FakeEtcd third([](std::string_view, std::string_view) { return FakeAnswer::cut(); });
  EtcdClient other({third.address(), second.address()}, milliseconds(10'000));
  EXPECT_EQ(other.txn(writes).status.fate, Fate::unknown);
}

TEST(Client, AsksEveryEndpointForItsStatus) {
  const auto status = [](uint64_t member) {
    return [member](std::string_view, std::string_view) {
      etcdserverpb::StatusResponse response;
      response.mutable_header()->set_member_id(member);
      return FakeAnswer::reply(response.SerializeAsString());
    };
  };
  FakeEtcd a(status(1));
  FakeEtcd b(status(2));
  EtcdClient client({a.address(), closed_port(), b.address()}, milliseconds(5000));
  const auto answers = client.status_of_all();
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].value.header().member_id(), 1u);
  EXPECT_EQ(answers[1].status.code, Code::unavailable);
  EXPECT_EQ(answers[2].value.header().member_id(), 2u);
}

TEST(Client, SaysWhenTheOtherSideSpeaksNoHttp2) {
  net::EventLoop loop;
  struct Http1 final : net::ConnectionHandler {
    std::shared_ptr<net::Connection> connection;
    void on_bytes(std::string_view) override {
      connection->out() += "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
      connection->want_flush();
    }
    void on_closed(const std::string&) override {}
  } handler;
  auto listener = net::listen_tcp(loop, {"127.0.0.1", 0}, [&](std::shared_ptr<net::Connection> connection) {
    handler.connection = connection;
    connection->start(&handler);
  });
  ASSERT_TRUE(listener.ok());
  Client client(loop, {{"127.0.0.1", (*listener)->port()}});
  CallResult result;
  bool done = false;
  client.call({"/etcdserverpb.KV/Put", "", CallKind::change, milliseconds(10'000), {}}, [&](CallResult r) {
    result = std::move(r);
    done = true;
  });
  const auto end = steady_clock::now() + std::chrono::seconds(20);
  while (!done && steady_clock::now() < end) {
    loop.flush();
    loop.wait(milliseconds(100));
  }
  ASSERT_TRUE(done);
  EXPECT_NE(result.status.message.find("HTTP/1"), std::string::npos) << result.status.message;
  if (handler.connection) handler.connection->start(nullptr);
}

}  // namespace
}  // namespace decree::client
