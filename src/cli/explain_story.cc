#include "cli/explain_story.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

namespace decree::cli {

namespace {

using explain::SlotResponse;
using explain::Story;

auto order_of(const explain::Ballot& b) { return std::tuple(b.epoch(), b.round(), b.priority(), b.node()); }
bool same(const explain::Ballot& a, const explain::Ballot& b) { return order_of(a) == order_of(b); }

// A member's clock against the proposer's: proposer's time = member's time + offset.
struct Alignment {
  int64_t offset = 0;
  int64_t uncertainty = 0;
  bool at_least = false;
};

class Teller {
 public:
  explicit Teller(const std::vector<SlotResponse>& answers) : answers_(answers) {}

  Story tell() {
    for (const SlotResponse& a : answers_) *story_.add_answers() = a;
    describe();
    if (story_.slot() == 0) return std::move(story_);
    find_proposer();
    for (const SlotResponse& a : answers_)
      if (a.in_history()) tell_member(a);
    tell_votes_heard();
    find_point_of_no_return();
    std::stable_sort(story_.mutable_events()->begin(), story_.mutable_events()->end(),
                     [](const explain::Event& a, const explain::Event& b) { return a.at_us() < b.at_us(); });
    note_what_is_missing();
    return std::move(story_);
  }

 private:
  std::string name_of(uint32_t node) const {
    for (const SlotResponse& a : answers_)
      if (a.node() == node && !a.name().empty()) return a.name();
    for (const SlotResponse& a : answers_)
      for (const explain::Voter& v : a.voters())
        if (v.node() == node && !v.name().empty()) return v.name();
    return fmt::format("node {}", node);
  }
  void note(std::string sentence) { story_.add_notes(std::move(sentence)); }

  // What was in the slot, from whoever knows most: the history before the log, who applied it before who did
  // not.
  void describe() {
    const SlotResponse* best = nullptr;
    const auto rank = [](const SlotResponse& a) {
      return std::tuple(a.in_history() && a.applied_us() != 0, a.in_history() && a.decided_us() != 0,
                        a.in_history(), a.in_log());
    };
    for (const SlotResponse& a : answers_)
      if ((a.in_history() || a.in_log()) && (best == nullptr || rank(a) > rank(*best))) best = &a;
    if (best == nullptr) return;
    story_.set_slot(best->slot());
    story_.set_what(best->what());
    story_.set_payload_bytes(best->payload_bytes());
    story_.set_request_node(best->request_node());
    story_.set_request_boot(best->request_boot());
    story_.set_request_seq(best->request_seq());
    for (const SlotResponse& a : answers_) {
      if (a.request_seq() != best->request_seq() || a.request_node() != best->request_node()) continue;
      if (!a.client().empty()) story_.set_client(a.client());
      if (a.applied_us() != 0 && a.revision() != 0) story_.set_revision(a.revision());
    }
  }

  // The leader of the highest ballot at which the slot was accepted by somebody who knows it decided, else by
  // anybody.
  void find_proposer() {
    for (const bool decided : {true, false}) {
      for (const SlotResponse& a : answers_) {
        if (!a.in_history() || !a.has_ballot() || (decided && a.decided_us() == 0)) continue;
        if (!story_.has_ballot() || order_of(a.ballot()) > order_of(story_.ballot()))
          *story_.mutable_ballot() = a.ballot();
      }
      if (story_.has_ballot()) break;
    }
    if (!story_.has_ballot()) return;
    story_.set_proposer(name_of(story_.ballot().node()));
    for (const SlotResponse& a : answers_)
      if (a.in_history() && a.proposed_here() && same(a.ballot(), story_.ballot())) proposer_ = &a;
  }

  bool voted_here(const SlotResponse& a) const {
    return a.in_history() && a.has_ballot() && same(a.ballot(), story_.ballot());
  }

  std::optional<Alignment> align(const SlotResponse& a) const {
    if (proposer_ == nullptr) return std::nullopt;
    if (&a == proposer_) return Alignment{};
    constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
    const auto proposer_time = [&](uint64_t us) { return static_cast<int64_t>(us); };
    int64_t least = kNone;
    if (voted_here(a) && a.accepted_us() != 0)
      least = proposer_time(proposer_->accepted_us()) - static_cast<int64_t>(a.accepted_us());
    if (proposer_->decided_us() != 0 && a.decided_us() != 0)
      least = std::max(least, proposer_time(proposer_->decided_us()) - static_cast<int64_t>(a.decided_us()));
    if (least == kNone) return std::nullopt;
    for (const explain::Acknowledgement& ack : proposer_->acknowledged()) {
      if (ack.node() != a.node() || !voted_here(a) || a.durable_us() == 0) continue;
      const int64_t most = std::max(least, proposer_time(ack.at_us()) - static_cast<int64_t>(a.durable_us()));
      return Alignment{(least + most) / 2, (most - least + 1) / 2, false};
    }
    return Alignment{least, 0, true};
  }

  explain::Event* event(const SlotResponse& a, uint64_t us, const Alignment& alignment, std::string what) {
    explain::Event* e = story_.add_events();
    const int64_t origin =
        proposer_ != nullptr ? static_cast<int64_t>(proposer_->accepted_us()) : first_stamp(a);
    e->set_at_us(static_cast<int64_t>(us) + alignment.offset - origin);
    e->set_uncertainty_us(alignment.uncertainty);
    e->set_at_least(alignment.at_least);
    e->set_member(name_of(a.node()));
    e->set_what(std::move(what));
    return e;
  }

  // Without the proposer's view every member's times stand alone, from its own first stamp.
  static int64_t first_stamp(const SlotResponse& a) {
    uint64_t first = std::numeric_limits<uint64_t>::max();
    for (const uint64_t us : {a.taken_us(), a.accepted_us(), a.durable_us(), a.decided_us(), a.applied_us()})
      if (us != 0) first = std::min(first, us);
    return static_cast<int64_t>(first);
  }

  void tell_member(const SlotResponse& a) {
    const std::optional<Alignment> known = align(a);
    if (!known && proposer_ != nullptr) {
      note(fmt::format("{} knows the slot, but nothing ties its clock to the proposer's", name_of(a.node())));
      return;
    }
    const Alignment alignment = known.value_or(Alignment{});
    const auto tell = [&](uint64_t us, std::string what) {
      if (us != 0) event(a, us, alignment, std::move(what));
    };
    tell(a.taken_us(), a.client().empty() ? "took the request from its client"
                                          : fmt::format("took the request from client {}", a.client()));
    const bool at_ballot = voted_here(a);
    if (a.learned() && !at_ballot) {
      tell(a.accepted_us(), "learned it as a Law from a peer");
    } else if (&a == proposer_) {
      tell(a.accepted_us(), a.acceptances() > 1 ? "proposed it again at this ballot, after an Election"
                                                : "proposed it (Bill)");
    } else {
      tell(a.accepted_us(), at_ballot ? "accepted it" : "accepted it at another ballot");
    }
    tell(a.durable_us(), "has it durably");
    const bool announces = &a == proposer_;
    tell(a.decided_us(), announces ? "knows it decided (Law), announces it" : "knows it decided (Law)");
    tell(a.applied_us(), a.request_node() == a.node() && a.taken_us() != 0
                             ? "applied it and answered the client"
                             : "applied it");
    if (announces && a.decided_us() != 0)
      story_.set_announced_us(static_cast<int64_t>(a.decided_us() - a.accepted_us()));
    if (a.value_changed())
      note(fmt::format("{} had accepted another value here before; it lost", name_of(a.node())));
    if (a.has_first_ballot() && a.has_ballot() && !same(a.first_ballot(), a.ballot()))
      note(fmt::format("{} accepted the slot first in round {} of node {}, {} times in all",
                       name_of(a.node()), a.first_ballot().round(), a.first_ballot().node(),
                       a.acceptances()));
  }

  void tell_votes_heard() {
    if (proposer_ == nullptr) return;
    for (const explain::Acknowledgement& ack : proposer_->acknowledged())
      event(*proposer_, ack.at_us(), Alignment{}, fmt::format("heard the vote of {}", name_of(ack.node())));
  }

  // The q2-th durable acceptance by a voter at the deciding ballot, on the proposer's clock.
  void find_point_of_no_return() {
    if (proposer_ == nullptr) return;
    if (proposer_->voters_size() == 0) {
      note("the members have changed since: who voted then is not known any more");
      return;
    }
    struct Vote {
      int64_t at;
      int64_t uncertainty;
      std::string member;
    };
    std::vector<Vote> votes;
    bool bounded = true;
    for (const SlotResponse& a : answers_) {
      const bool voter = std::any_of(proposer_->voters().begin(), proposer_->voters().end(),
                                     [&](const explain::Voter& v) { return v.node() == a.node(); });
      const std::optional<Alignment> alignment = align(a);
      if (!voter || !voted_here(a) || a.durable_us() == 0 || !alignment) continue;
      bounded = bounded && !alignment->at_least;
      votes.push_back({static_cast<int64_t>(a.durable_us()) + alignment->offset -
                           static_cast<int64_t>(proposer_->accepted_us()),
                       alignment->uncertainty, name_of(a.node())});
    }
    const size_t quorum = proposer_->bill_quorum();
    std::sort(votes.begin(), votes.end(), [](const Vote& a, const Vote& b) { return a.at < b.at; });
    if (quorum == 0 || votes.size() < quorum) {
      if (story_.announced_us() != 0)
        note(fmt::format("irrevocable at the latest when announced: {} of the {} votes needed can be seen",
                         votes.size(), quorum));
      return;
    }
    const Vote& last = votes[quorum - 1];
    explain::Event* e = story_.add_events();
    e->set_at_us(last.at);
    e->set_uncertainty_us(last.uncertainty);
    e->set_member(last.member);
    e->set_what(fmt::format("** point of no return: {} of {} voters hold it durably, it is irrevocable **",
                            quorum, proposer_->voters_size()));
    story_.set_irrevocable_known(true);
    story_.set_irrevocable_us(last.at);
    if (!bounded) note("some votes are placed at their earliest possible time");
  }

  void note_what_is_missing() {
    if (story_.has_ballot() && proposer_ == nullptr)
      note(
          fmt::format("{}, which proposed it, does not remember or did not answer: each member's times "
                      "begin with its own first one",
                      story_.proposer()));
    for (const SlotResponse& a : answers_) {
      if (a.in_history()) continue;
      if (a.applied() != 0 && story_.slot() > a.applied())
        note(fmt::format("{} has not applied it yet (it is at slot {})", name_of(a.node()), a.applied()));
      else if (a.in_log())
        note(fmt::format("{} has it in its log, but its history has moved on{}", name_of(a.node()),
                         a.oldest() == 0 ? "" : fmt::format(" (oldest slot {})", a.oldest())));
      else
        note(fmt::format("{} remembers nothing of it", name_of(a.node())));
    }
  }

  const std::vector<SlotResponse>& answers_;
  const SlotResponse* proposer_ = nullptr;
  Story story_;
};

}  // namespace

Story tell_story(const std::vector<SlotResponse>& answers) { return Teller(answers).tell(); }

}  // namespace decree::cli
