#include <cstdio>
#include <future>

#include "api/auto_compactor.h"
#include "tests/api/front_fixture.h"

namespace decree::api {
namespace {

class Services : public Front {
 protected:
  // Runs a command while the loop turns; its output, both streams.
  std::string shell(const std::string& command) {
    auto output = std::async(std::launch::async, [command] {
      std::string all;
      std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
      char buffer[4096];
      while (const size_t n = std::fread(buffer, 1, sizeof(buffer), pipe)) all.append(buffer, n);
      ::pclose(pipe);
      return all;
    });
    EXPECT_TRUE(
        run_until([&] { return output.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
    return output.get();
  }
  std::string etcdctl(const std::string& arguments) {
    return shell("ETCDCTL_API=3 etcdctl --endpoints=127.0.0.1:" + std::to_string(front->ports()[0]) + " " +
                 arguments);
  }
  std::string url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(front->ports()[0]) + path;
  }
};

TEST_F(Services, StatusSaysWhatEtcdctlShows) {
  put("a", "1");
  consensus.status_.leader_member_id = 1003;
  etcdserverpb::StatusResponse status;
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Status", etcdserverpb::StatusRequest(), &status).code, 0);
  EXPECT_EQ(status.version(), "3.6.14");
  EXPECT_EQ(status.leader(), 1003u);
  EXPECT_EQ(status.header().member_id(), 1001u);
  EXPECT_EQ(status.raftterm(), 5u);
  EXPECT_EQ(status.raftappliedindex(), 1u);
  EXPECT_GT(status.dbsize(), 0);
  EXPECT_EQ(status.errors_size(), 0);
  consensus.status_.leader_member_id = 0;
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Status", etcdserverpb::StatusRequest(), &status).code, 0);
  ASSERT_EQ(status.errors_size(), 1);
  EXPECT_EQ(status.errors(0), "etcdserver: no leader");
}

TEST_F(Services, AlarmsAreRaisedListedAndDisarmedThroughTheLog) {
  etcdserverpb::AlarmRequest raise;
  raise.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  raise.set_memberid(1002);
  raise.set_alarm(etcdserverpb::NOSPACE);
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Alarm", raise, nullptr).code, 0);
  etcdserverpb::AlarmResponse list;
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Alarm", etcdserverpb::AlarmRequest(), &list).code, 0);
  ASSERT_EQ(list.alarms_size(), 1);
  EXPECT_EQ(list.alarms(0).memberid(), 1002u);
  raise.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Alarm", raise, nullptr).code, 0);
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/Alarm", etcdserverpb::AlarmRequest(), &list).code, 0);
  EXPECT_EQ(list.alarms_size(), 0);
}

TEST_F(Services, HashKvAnswersForARevisionAndRefusesTheFuture) {
  put("a", "1");
  etcdserverpb::HashKVRequest request;
  etcdserverpb::HashKVResponse response;
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/HashKV", request, &response).code, 0);
  EXPECT_NE(response.hash(), 0u);
  request.set_revision(99);
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/HashKV", request, nullptr).text,
            "etcdserver: mvcc: required revision is a future revision");
}

TEST_F(Services, LeadershipMovesToAVoterAndIsAnsweredWhenItHas) {
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(9);
  EXPECT_EQ(ask("/etcdserverpb.Maintenance/MoveLeader", request, nullptr).text,
            "etcdserver: bad leader transferee");
  request.set_targetid(1002);
  const int32_t stream = start("/etcdserverpb.Maintenance/MoveLeader", request);
  ASSERT_TRUE(run_until([&] { return consensus.transfer_asked == NodeId(2); }));
  EXPECT_FALSE(wire->client.answer(stream).ended);
  consensus.status_.leader_member_id = 1002;
  consensus.status_.replica.role = Role::follower;
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
  const auto refused = ask("/etcdserverpb.Maintenance/MoveLeader", request, nullptr);
  EXPECT_EQ(refused.code, 9);
  EXPECT_EQ(refused.text, "etcdserver: not leader");
}

TEST_F(Services, MembersAreAddedMovedPromotedAndRemoved) {
  etcdserverpb::MemberAddRequest add;
  add.add_peerurls("not a url");
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberAdd", add, nullptr).text,
            "etcdserver: given member URLs are invalid");
  add.set_peerurls(0, "http://127.0.0.1:23801");
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberAdd", add, nullptr).text,
            "etcdserver: Peer URLs already exists");
  add.set_peerurls(0, "http://127.0.0.1:23809/");
  int32_t stream = start("/etcdserverpb.Cluster/MemberAdd", add);
  ASSERT_TRUE(run_until([&] { return consensus.changes.size() == 1; }));
  EXPECT_FALSE(wire->client.answer(stream).ended) << "answered when the next epoch has decided something";
  EXPECT_EQ(consensus.changes[0].second.epoch, 1u);
  EXPECT_EQ(consensus.changes[0].second.voter_count(), 3u) << "it votes when it has caught up";
  consensus.decide_change();
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
  const Member added = consensus.membership_.members[3];
  EXPECT_EQ(added.role, MemberRole::joining);
  EXPECT_EQ(added.node, NodeId(4));
  EXPECT_EQ(added.peer_urls[0], "http://127.0.0.1:23809");

  etcdserverpb::MemberPromoteRequest promote;
  promote.set_id(1002);
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberPromote", promote, nullptr).text,
            "etcdserver: can only promote a learner member");
  promote.set_id(added.member_id);
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberPromote", promote, nullptr).text,
            "etcdserver: can only promote a learner member which is in sync with leader");
  promote.set_id(5);
  const auto unknown = ask("/etcdserverpb.Cluster/MemberPromote", promote, nullptr);
  EXPECT_EQ(unknown.code, 5);
  EXPECT_EQ(unknown.text, "etcdserver: member not found");

  etcdserverpb::MemberUpdateRequest update;
  update.set_id(1002);
  update.add_peerurls("http://127.0.0.1:23877");
  stream = start("/etcdserverpb.Cluster/MemberUpdate", update);
  ASSERT_TRUE(run_until([&] { return consensus.changes.size() == 2; }));
  // Somebody else was faster: it looks again and asks again, without a word to the client.
  consensus.sink()->on_change_refused(consensus.changes[1].first,
                                      {ChangeRefused::Kind::outdated, "the members changed meanwhile"});
  ASSERT_TRUE(run_until([&] { return consensus.changes.size() == 3; }));
  consensus.decide_change();
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
  EXPECT_EQ(consensus.membership_.members[1].peer_urls[0], "http://127.0.0.1:23877");

  etcdserverpb::MemberRemoveRequest remove;
  remove.set_id(1003);
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberRemove", remove, nullptr).text, "etcdserver: unhealthy cluster")
      << "nobody is connected";
  for (PeerStatus& p : consensus.status_.members) p.connected = true;
  stream = start("/etcdserverpb.Cluster/MemberRemove", remove);
  ASSERT_TRUE(run_until([&] { return consensus.changes.size() == 4; }));
  consensus.decide_change();
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
  EXPECT_EQ(consensus.membership_.find(NodeId(3)), nullptr);
  EXPECT_EQ(consensus.membership_.bill_quorum, 2u);
}

TEST_F(Services, WhatIsNotServedYetSaysSoByName) {
  const auto refused = ask("/etcdserverpb.Lease/LeaseGrant", etcdserverpb::LeaseGrantRequest(), nullptr);
  EXPECT_EQ(refused.code, 12);
  EXPECT_NE(refused.text.find("Lease.LeaseGrant is not in this release"), std::string::npos);
  EXPECT_EQ(ask("/etcdserverpb.Watch/Watch", etcdserverpb::WatchRequest(), nullptr).code, 12);
  EXPECT_EQ(ask("/etcdserverpb.Auth/Authenticate", etcdserverpb::AuthenticateRequest(), nullptr).text,
            "etcdserver: authentication is not enabled");
  EXPECT_EQ(finish(wire->client.call("/grpc.health.v1.Health/Check", "")).message(),
            std::string("\x08\x01", 2));
}

TEST_F(Services, HealthFollowsAlarmsLeaderAndRead) {
  EXPECT_EQ(http_get("/health").body, R"({"health":"true","reason":""})");
  consensus.status_.leader_member_id = 0;
  const http::TestAnswer without = http_get("/health");
  EXPECT_EQ(without.body, R"({"health":"false","reason":"RAFT NO LEADER"})");
  EXPECT_EQ(without.field(":status"), "503");
  EXPECT_EQ(http_get("/health?serializable=true").field(":status"), "200");
  const http::TestAnswer ready = http_get("/readyz");
  EXPECT_EQ(ready.field(":status"), "503");
  EXPECT_NE(ready.body.find("[-]linearizable_read failed"), std::string::npos) << ready.body;
  EXPECT_EQ(http_get("/livez").body, "ok\n");
  consensus.status_.leader_member_id = 1001;
  EXPECT_EQ(http_get("/readyz").body, "ok\n");
  EXPECT_EQ(http_get("/readyz/data_corruption?verbose").body, "[+]data_corruption ok\nok\n");
}

TEST_F(Services, StatesThatDifferWithoutAMajorityRaiseTheCorruptAlarmAndStopWrites) {
  EXPECT_EQ(put("a", "1").code, 0);
  consensus.status_.state_disputed = true;
  ASSERT_TRUE(run_until([&] { return store.has_alarm(kv::AlarmKind::corrupt); }));
  ASSERT_EQ(store.alarms().size(), 1u);
  EXPECT_EQ(store.alarms()[0].member_id, 1001u) << "each side names itself";
  const Outcome2 refused = put("a", "2");
  EXPECT_EQ(refused.code, static_cast<int>(http::GrpcCode::data_loss));
  EXPECT_EQ(refused.text, "etcdserver: corrupt cluster");
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(get("a", &response, true).code, 0);
  EXPECT_EQ(http_get("/health").body, R"({"health":"false","reason":"ALARM CORRUPT"})");
}

TEST_F(Services, CurlReadsThePagesOverHttp1) {
  EXPECT_EQ(shell("curl -s " + url("/version")),
            R"({"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0","decree":"0.1.0"})");
  EXPECT_EQ(shell("curl -s -o /dev/null -w '%{http_code}' -X POST " + url("/health")), "405");
  EXPECT_EQ(shell("curl -s -o /dev/null -w '%{http_code}' " + url("/nothing")), "404");
  put("a", "1");
  const std::string metrics = shell("curl -s " + url("/metrics"));
  for (
      const char* line :
      {"etcd_server_has_leader 1\n", "etcd_server_is_leader 1\n", "etcd_server_proposals_applied_total 1\n",
       "decree_turn_seconds_bucket", "etcd_disk_wal_fsync_duration_seconds_count 0\n",
       R"(grpc_server_handled_total{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_code="OK"} 1)"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
}

TEST_F(Services, UnmodifiedEtcdctlWorks) {
  if (shell("etcdctl version").find("etcdctl version") == std::string::npos)
    GTEST_SKIP() << "etcdctl is not installed";
  EXPECT_EQ(etcdctl("put greeting hello"), "OK\n");
  EXPECT_EQ(etcdctl("get greeting"), "greeting\nhello\n");
  EXPECT_EQ(etcdctl("get greeting --print-value-only --consistency=s"), "hello\n");
  EXPECT_EQ(etcdctl("del greeting --prev-kv"), "1\ngreeting\nhello\n");
  EXPECT_EQ(etcdctl("compaction 2 --physical"), "compacted revision 2\n");
  EXPECT_NE(etcdctl("compaction 2").find("etcdserver: mvcc: required revision has been compacted"),
            std::string::npos);
  EXPECT_NE(etcdctl("endpoint health").find("is healthy"), std::string::npos);
  EXPECT_NE(etcdctl("endpoint status").find("3.6.14"), std::string::npos);
  EXPECT_NE(etcdctl("endpoint hashkv").find(", "), std::string::npos);
  EXPECT_NE(etcdctl("member list").find("m1"), std::string::npos);
  EXPECT_EQ(etcdctl("alarm list"), "");
  EXPECT_NE(etcdctl("lease grant 10").find("not in this release"), std::string::npos);
  EXPECT_EQ(etcdctl("defrag").substr(0, 9), "Finished ");
  EXPECT_NE(etcdctl("--user root:x get a").find("a"), std::string::npos);
}

class Announcing : public Services {
 protected:
  Announcing() { announce = true; }
};

TEST_F(Announcing, AMemberPublishesItsNameAndUrlsOnce) {
  ASSERT_TRUE(
      run_until([&] { return store.members().count(1001) != 0 && store.cluster_version() == "3.6.0"; }));
  EXPECT_EQ(store.members().at(1001).name, "m1");
  EXPECT_EQ(store.members().at(1001).client_urls, std::vector<std::string>{"http://127.0.0.1:1"});
  const uint64_t slots = consensus.status_.replica.applied.value;
  skipped = std::chrono::seconds(5);
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_EQ(consensus.status_.replica.applied.value, slots);
  etcdserverpb::MemberListResponse list;
  EXPECT_EQ(ask("/etcdserverpb.Cluster/MemberList", etcdserverpb::MemberListRequest(), &list).code, 0);
  ASSERT_EQ(list.members_size(), 3);
  EXPECT_EQ(list.members(0).clienturls(0), "http://127.0.0.1:1");
  EXPECT_EQ(list.members(1).name(), "");
}

TEST(AutoCompactorTest, PeriodicForgetsWhatIsOlderThanThePeriodAndOnlyWhenLeading) {
  AutoCompactor compactor(AutoCompaction::periodic, std::chrono::hours(2), 0);
  const net::SteadyTime start{std::chrono::hours(1000)};
  int64_t compacted = -1;
  std::vector<std::pair<int, int64_t>> done;
  for (int minute = 0; minute <= 600; ++minute) {
    const int64_t revision = 100 + minute;
    const int64_t due =
        compactor.due(start + std::chrono::minutes(minute), revision, compacted, minute > 300);
    if (due == 0) continue;
    done.emplace_back(minute, due);
    compacted = due;
  }
  ASSERT_GE(done.size(), 4u);
  EXPECT_GT(done.front().first, 300);
  for (const auto& [minute, revision] : done) {
    EXPECT_LE(revision, 100 + minute - 120) << minute;
    EXPECT_GE(revision, 100 + minute - 120 - 12) << minute;
  }
  EXPECT_LE(done.size(), 6u);  // about once an hour
}

TEST(AutoCompactorTest, RevisionModeKeepsSoMany) {
  AutoCompactor compactor(AutoCompaction::revision, std::chrono::seconds(0), 1000);
  const net::SteadyTime start{std::chrono::hours(1000)};
  EXPECT_EQ(compactor.due(start, 5000, -1, true), 0);
  EXPECT_EQ(compactor.due(start + std::chrono::minutes(4), 5000, -1, true), 0);
  EXPECT_EQ(compactor.due(start + std::chrono::minutes(5), 5000, -1, true), 4000);
  EXPECT_EQ(compactor.due(start + std::chrono::minutes(10), 5000, 4000, true), 0);
  EXPECT_EQ(compactor.due(start + std::chrono::minutes(15), 6000, 4000, false), 0);
}

TEST_F(Services, ShuttingDownFinishesCallsAndClosesConnections) {
  consensus.hold = true;
  etcdserverpb::PutRequest request;
  request.set_key("a");
  const int32_t stream = start("/etcdserverpb.KV/Put", request);
  ASSERT_TRUE(run_until([&] { return consensus.waiting() == 1; }));
  front->shut_down();
  ASSERT_TRUE(run_until([&] { return wire->client.goaway(); }));
  EXPECT_FALSE(front->drained());
  consensus.hold = false;
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
  EXPECT_TRUE(run_until([&] { return wire->closed && front->drained(); }));
  wire->connection.reset();
}

}  // namespace
}  // namespace decree::api
