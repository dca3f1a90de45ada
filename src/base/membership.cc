#include "decree/membership.h"

#include <set>

namespace decree {

Membership make_membership(std::vector<Member> members, uint32_t epoch, Slot base) {
  Membership m;
  m.epoch = epoch;
  m.base = base;
  m.members = std::move(members);
  std::sort(m.members.begin(), m.members.end(),
            [](const Member& a, const Member& b) { return a.node < b.node; });
  m.election_quorum = m.voter_count() / 2 + 1;
  m.bill_quorum = m.election_quorum;
  return m;
}

std::string membership_problem(const Membership& m) {
  std::set<NodeId> nodes;
  for (const Member& member : m.members) {
    if (member.node == NodeId(0)) return "a member has node number 0, which means nobody";
    if (!nodes.insert(member.node).second)
      return "node " + std::to_string(member.node.value) + " is listed twice";
  }
  const uint32_t n = m.voter_count();
  if (n == 0) return "there is no voter";
  if (m.election_quorum == 0 || m.bill_quorum == 0) return "a quorum of zero members decides nothing";
  if (m.election_quorum > n || m.bill_quorum > n) return "a quorum is larger than the number of voters";
  if (m.election_quorum + m.bill_quorum <= n)
    return "election and bill quorums do not intersect: two leaders could decide differently";
  return "";
}

uint32_t fault_tolerance(const Membership& m) {
  const uint32_t quorum = std::max(m.election_quorum, m.bill_quorum);
  return quorum >= m.voter_count() ? 0 : m.voter_count() - quorum;
}

void resize_quorums(const Membership& current, Membership* next) {
  const uint32_t n = next->voter_count();
  const uint32_t majority = current.voter_count() / 2 + 1;
  if (current.election_quorum == majority && current.bill_quorum == majority) {
    next->election_quorum = next->bill_quorum = n / 2 + 1;
    return;
  }
  next->bill_quorum = std::min(current.bill_quorum, n);
  next->election_quorum = n - next->bill_quorum + 1;
}

NodeId next_node(const Membership& m) {
  uint32_t last = m.last_node.value;
  for (const Member& member : m.members) last = std::max(last, member.node.value);
  return NodeId(last + 1);
}

Ballot initial_ballot(const Membership& m) {
  return m.epoch == 0 ? Ballot{} : Ballot{m.epoch, 1, 0, m.first_leader};
}

Membership stop_sign_membership(const Entry& entry) {
  Membership m;
  if (entry.kind != EntryKind::stop_sign || !decode_membership(entry.bytes(), &m)) return Membership{};
  return m;
}

namespace {

// Version 1 has neither first leader nor last node; what needs neither is still written so.
constexpr uint8_t kMembershipVersion = 2;

void put_u64(std::string* out, uint64_t v) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(v >> (8 * i)));
}
void put_string(std::string* out, const std::string& s) {
  put_u64(out, s.size());
  out->append(s);
}

struct Reader {
  std::string_view in;
  bool ok = true;
  uint8_t u8() {
    if (in.empty()) {
      ok = false;
      return 0;
    }
    uint8_t v = static_cast<uint8_t>(in[0]);
    in.remove_prefix(1);
    return v;
  }
  uint64_t u64() {
    if (in.size() < 8) {
      ok = false;
      in = {};
      return 0;
    }
    uint64_t v = 0;
    for (int i = 0; i < 8; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(in[i])) << (8 * i);
    in.remove_prefix(8);
    return v;
  }
  std::string string() {
    const uint64_t n = u64();
    if (!ok || n > in.size()) {
      ok = false;
      return {};
    }
    std::string s(in.substr(0, n));
    in.remove_prefix(n);
    return s;
  }
};

}  // namespace

std::string encode_membership(const Membership& m) {
  std::string out;
  const bool plain = m.first_leader == NodeId(0) && m.last_node == NodeId(0);
  out.push_back(plain ? 1 : kMembershipVersion);
  put_u64(&out, m.epoch);
  put_u64(&out, m.base.value);
  put_u64(&out, m.election_quorum);
  put_u64(&out, m.bill_quorum);
  put_u64(&out, m.members.size());
  for (const Member& member : m.members) {
    put_u64(&out, member.node.value);
    put_u64(&out, member.incarnation.value);
    out.push_back(static_cast<char>(member.role));
    put_u64(&out, member.member_id);
    put_string(&out, member.name);
    put_u64(&out, member.peer_urls.size());
    for (const std::string& url : member.peer_urls) put_string(&out, url);
  }
  if (!plain) {
    put_u64(&out, m.first_leader.value);
    put_u64(&out, m.last_node.value);
  }
  return out;
}

bool decode_membership(std::string_view bytes, Membership* out) {
  Reader r{bytes};
  const uint8_t version = r.u8();
  if (version < 1 || version > kMembershipVersion) return false;
  *out = Membership{};
  out->epoch = static_cast<uint32_t>(r.u64());
  out->base = Slot(r.u64());
  out->election_quorum = static_cast<uint32_t>(r.u64());
  out->bill_quorum = static_cast<uint32_t>(r.u64());
  const uint64_t count = r.u64();
  for (uint64_t i = 0; r.ok && i < count; ++i) {
    Member m;
    m.node = NodeId(static_cast<uint32_t>(r.u64()));
    m.incarnation = Incarnation(r.u64());
    const uint8_t role = r.u8();
    if (role > 2) return false;
    m.role = static_cast<MemberRole>(role);
    m.member_id = r.u64();
    m.name = r.string();
    const uint64_t urls = r.u64();
    for (uint64_t u = 0; r.ok && u < urls; ++u) m.peer_urls.push_back(r.string());
    out->members.push_back(std::move(m));
  }
  if (version >= 2) {
    out->first_leader = NodeId(static_cast<uint32_t>(r.u64()));
    out->last_node = NodeId(static_cast<uint32_t>(r.u64()));
  }
  return r.ok && r.in.empty();
}

}  // namespace decree
