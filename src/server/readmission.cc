#include "server/readmission.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include <fmt/format.h>
#include "server/logging.h"
#include "storage/data_dir.h"
#include "storage/salvage.h"

namespace decree::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// After a power failure the others start at the same time as this one.
constexpr milliseconds kPatience{20000};
constexpr milliseconds kPause{500};

void add_url(std::vector<std::string>* urls, const std::string& url) {
  if (std::find(urls->begin(), urls->end(), url) == urls->end()) urls->push_back(url);
}

// Whom to ask, and as whom: by the flags, and by what can still be read of the disk, because a member that
// was moved, or started without the flags of its first start, is found by that alone.
transport::JoinQuestion question_of(const Config& config, const storage::Salvage& old) {
  transport::JoinQuestion question;
  question.name = config.name;
  if (config.has_bootstrap_flags || !old.membership) {
    question.own_urls = config.advertise_peer_urls;
    for (const InitialMember& m : config.initial_cluster)
      if (m.name != config.name)
        for (const std::string& url : m.peer_urls) add_url(&question.contacts, url);
  }
  if (old.membership)
    for (const decree::Member& m : old.membership->members)
      for (const std::string& url : m.peer_urls)
        add_url(m.name == config.name ? &question.own_urls : &question.contacts, url);
  return question;
}

}  // namespace

std::string why_not_readmitted(const std::vector<transport::JoinAnswer>& answers, const Config& config,
                               std::optional<ClusterId> cluster, const transport::JoinAnswer** newest,
                               NodeId* self) {
  *newest = nullptr;
  for (const transport::JoinAnswer& answer : answers) {
    if (cluster && answer.cluster != *cluster) continue;
    if (*newest == nullptr || answer.membership.epoch > (*newest)->membership.epoch) *newest = &answer;
  }
  if (*newest == nullptr) return "no other member answers";
  const Membership& members = (*newest)->membership;
  const auto own = std::find_if(members.members.begin(), members.members.end(),
                                [&](const decree::Member& m) { return m.name == config.name; });
  if (own == members.members.end())
    return fmt::format("the cluster does not list a member called {} any more", config.name);
  *self = own->node;
  if (own->role == MemberRole::voter && own->incarnation == Incarnation(0))
    return "the cluster is so young that it has not written down whose disk is whose";
  std::set<NodeId> voting;
  for (const transport::JoinAnswer& answer : answers) {
    const decree::Member* m = members.find(answer.from);
    if (m != nullptr && m->node != own->node && m->role == MemberRole::voter &&
        answer.cluster == (*newest)->cluster && m->incarnation == answer.incarnation)
      voting.insert(answer.from);
  }
  const uint32_t needed = std::max(members.election_quorum, members.bill_quorum);
  if (voting.size() < needed)
    return fmt::format(
        "{} of the other members are there and vote, and {} are needed to go on without this disk",
        voting.size(), needed);
  return "";
}

Result<Readmission> give_up_disk(net::EventLoop& loop, storage::FileSystem& files, const Config& config) {
  Result<storage::Salvage> old = storage::salvage(files, config.data_dir);
  if (!old) return old.error();
  const transport::JoinQuestion question = question_of(config, *old);
  if (question.contacts.empty())
    return Error{ErrorCode::unavailable, "there is no other member to repair it from"};
  std::optional<ClusterId> cluster;
  if (old->superblock) cluster = old->superblock->identity.cluster;
  const Clock::time_point end = Clock::now() + kPatience;
  for (;;) {
    std::string problem;
    const std::vector<transport::JoinAnswer> answers = transport::ask_all(loop, question, &problem);
    Readmission out;
    const transport::JoinAnswer* newest = nullptr;
    const std::string why = why_not_readmitted(answers, config, cluster, &newest, &out.self);
    if (why.empty()) {
      out.told = *newest;
      Result<std::string> evidence = storage::DataDir::set_aside(files, config.data_dir);
      if (!evidence) return evidence.error();
      out.evidence = *evidence;
      return out;
    }
    if (Clock::now() >= end)
      return Error{ErrorCode::unavailable, why + (problem.empty() ? "" : " (" + problem + ")")};
    const Clock::time_point again = Clock::now() + kPause;
    while (Clock::now() < again) loop.wait(milliseconds(20));
  }
}

}  // namespace decree::server
