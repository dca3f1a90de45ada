#include "api/explain_service.h"

#include "api/parse.h"
#include "decree/explain.pb.h"
#include "kv/command.h"

namespace decree::api {

namespace {

constexpr EtcdError kNothingAsked{http::GrpcCode::invalid_argument, "decree: ask for a slot or a revision"};

const char* what_of(EntryKind kind, uint8_t type) {
  switch (kind) {
    case EntryKind::noop:
      return "no-op";
    case EntryKind::barrier:
      return "barrier";
    case EntryKind::stop_sign:
      return "change of members";
    case EntryKind::command:
      break;
  }
  switch (static_cast<kv::CommandType>(type)) {
    case kv::CommandType::put:
      return "put";
    case kv::CommandType::delete_range:
      return "delete";
    case kv::CommandType::txn:
      return "txn";
    case kv::CommandType::compact:
      return "compaction";
    case kv::CommandType::alarm:
      return "alarm";
    case kv::CommandType::member_attributes:
      return "member's name and client URLs";
    case kv::CommandType::cluster_version:
      return "cluster version";
  }
  return "command";
}

void put_ballot(Ballot b, explain::Ballot* out) {
  out->set_epoch(b.epoch);
  out->set_round(b.round);
  out->set_priority(b.priority);
  out->set_node(b.node.value);
}

void put_story(const SlotHistory& s, explain::SlotResponse* out) {
  out->set_in_history(s.in_history);
  out->set_in_log(s.in_log);
  if (!s.in_history && !s.in_log) return;
  out->set_what(what_of(s.kind, s.payload_type));
  out->set_payload_bytes(s.payload_bytes);
  out->set_request_node(s.id.node.value);
  out->set_request_boot(s.id.boot);
  out->set_request_seq(s.id.seq);
  if (!s.in_history) return;
  out->set_revision(static_cast<int64_t>(s.version));
  if (!s.ballot.is_none()) put_ballot(s.ballot, out->mutable_ballot());
  if (!s.first_ballot.is_none()) put_ballot(s.first_ballot, out->mutable_first_ballot());
  out->set_acceptances(s.acceptances);
  out->set_value_changed(s.value_changed);
  out->set_proposed_here(s.proposed_here);
  out->set_learned(s.learned);
  out->set_taken_us(s.taken_us);
  out->set_accepted_us(s.accepted_us);
  out->set_durable_us(s.durable_us);
  out->set_decided_us(s.decided_us);
  out->set_applied_us(s.applied_us);
  for (const SlotAcknowledgement& a : s.acknowledged) {
    explain::Acknowledgement* ack = out->add_acknowledged();
    ack->set_node(a.node.value);
    ack->set_at_us(a.at_us);
  }
}

}  // namespace

ExplainService::ExplainService(Context& context) : context_(context) {
  context_.server.add_unary("/decree.explain.Explain/Slot", this, 0);
}

void ExplainService::on_unary(http::CallId call, uint32_t /*method*/, std::string_view message) {
  explain::SlotRequest request;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (request.slot() == 0 && request.revision() <= 0) return send_error(context_.server, call, kNothingAsked);
  SlotRange candidates{Slot(request.slot()), Slot(request.slot() + 1)};
  if (request.slot() == 0)
    candidates = context_.consensus.slots_of_version(static_cast<uint64_t>(request.revision()));
  if (candidates.size() != 1) return answer(call, SlotHistory{}, candidates);
  context_.consensus.explain(candidates.first, [this, call, candidates](const SlotHistory& story) {
    answer(call, story, candidates);
  });
}

void ExplainService::fill_member(const SlotHistory& story, explain::SlotResponse* response) {
  const ConsensusStatus& now = context_.status();
  response->set_member_id(now.identity.member_id);
  response->set_node(now.identity.node.value);
  response->set_name(context_.options.name);
  response->set_bill_quorum(story.bill_quorum);
  for (const Member& m : story.voters) {
    explain::Voter* voter = response->add_voters();
    voter->set_node(m.node.value);
    voter->set_name(m.name);
  }
}

void ExplainService::answer(http::CallId call, const SlotHistory& story, SlotRange candidates) {
  explain::SlotResponse response;
  fill_member(story, &response);
  response.set_oldest(story.oldest.value);
  response.set_decided(story.decided.value);
  response.set_applied(story.applied.value);
  response.set_now_us(story.now_us);
  if (candidates.size() == 1) {
    response.set_slot(candidates.first.value);
    put_story(story, &response);
  } else {
    const ReplicaStatus& now = context_.status().replica;
    response.set_decided(now.decided.value);
    response.set_applied(now.applied.value);
    if (!candidates.empty()) {
      response.set_first_candidate(candidates.first.value);
      response.set_last_candidate(candidates.end.prev().value);
    }
  }
  const Identity& self = context_.status().identity;
  if (story.in_history && story.id.node == self.node && story.taken_us != 0)
    response.set_client(context_.pending.client_of(story.id.seq));
  context_.server.reply(call, response.SerializeAsString());
}

}  // namespace decree::api
