// The planted bugs by name, and the switch. Compiled twice: in decree-lab-planted with the faults inside.
#include "lab/planted.h"

#include "base/planted_bugs.h"

namespace decree::lab {

#ifdef DECREE_PLANTED_BUGS

namespace {

using B = PlantedBug;

struct Named {
  PlantedBug bug;
  PlantedInfo info;
};

// The letter and number say where it comes from; docs/mutants.md has the lists: M the museum, R the
// reliability list, T44 its list of mutants, A an attack on a draft of the protocol, D08 a rule of
// docs/decisions/0008 (and so on).
const Named kBugs[] = {
    // ---- paxos ----
    {B::forgotten_promise,
     {"M03-forgotten-promise", "paxos/acceptor", "a restart forgets what was promised"}},
    {B::forgotten_acceptances,
     {"R38-forgotten-acceptances", "paxos/acceptor",
      "a restart keeps only what it knows decided and denies what it acknowledged above"}},
    {B::ack_before_durable,
     {"M24-ack-before-durable", "paxos/learner", "Promise and Accepted leave before the disk has them"}},
    {B::early_duplicate_ack,
     {"M01-early-duplicate-ack", "paxos/learner",
      "a duplicate or empty Accept is acknowledged up to what is in memory"}},
    {B::early_promise, {"A13-early-promise", "paxos/replica", "a Promise leaves before it is durable"}},
    {B::early_prepare, {"A01-early-prepare", "paxos/replica", "a ballot is used before it is durable"}},
    {B::leader_counts_unsynced,
     {"M17-leader-counts-unsynced", "paxos/proposer", "a leader counts its own vote before its disk has it"}},
    {B::stale_accept, {"R17-stale-accept", "paxos/acceptor", "Accepts below the promise are taken"}},
    {B::accept_over_gap, {"R19-accept-over-gap", "paxos/acceptor", "an Accept that leaves a hole is taken"}},
    {B::trust_old_ballot,
     {"R01-trust-old-ballot", "paxos/acceptor",
      "a value accepted at an older ballot counts as decided at the newer one"}},
    {B::law_not_persisted,
     {"A14-law-not-persisted", "paxos/acceptor", "a learned Law is applied without being written down"}},
    {B::lowest_ballot,
     {"T44-lowest-ballot", "paxos/value_choice", "an Election adopts the value of the lowest ballot"}},
    {B::inherited_values_dropped,
     {"R05-inherited-dropped", "paxos/election", "a new leader begins with an empty log above its base"}},
    {B::void_report_revived,
     {"D08-void-report-revived", "paxos/value_choice",
      "a report from below a known barrier is honoured: what was refused comes back"}},
    {B::base_from_reports_only,
     {"A12-base-from-reports-only", "paxos/value_choice",
      "an Election's base ignores what the candidate itself knows decided"}},
    {B::first_promise_chunk_only,
     {"A16-first-chunk-only", "paxos/election", "a Promise in several pieces is cut off after the first"}},
    {B::duplicate_promise_counts,
     {"T44-duplicate-promise-counts", "paxos/election", "the same Promise twice is two votes"}},
    {B::small_quorum, {"R74-small-quorum", "paxos/proposer", "Bills are decided by one vote less"}},
    {B::read_without_round,
     {"R08-read-without-round", "paxos/read", "a leader answers reads without asking anyone"}},
    {B::read_round_reused,
     {"M04-read-round-reused", "paxos/read", "a retried read round keeps its number and takes a new index"}},
    {B::read_before_barrier,
     {"M05-read-before-barrier", "paxos/read", "a new leader serves reads before its barrier is decided"}},
    {B::read_joins_open_round,
     {"R08-read-joins-open-round", "paxos/read", "a read joins a round that began before it was asked"}},
    {B::asked_reads_forgotten,
     {"R10-asked-reads-forgotten", "paxos/read",
      "reads handed to a leader are forgotten when it changes or the answer is lost"}},
    {B::ready_at_once,
     {"A10-ready-at-once", "paxos/replica", "a restarted member answers before it has caught up"}},
    {B::forward_taken_twice,
     {"T44-forward-taken-twice", "paxos/proposer", "a doubled Forward is proposed twice"}},
    {B::settled_by_any_barrier,
     {"D08-settled-by-any-barrier", "paxos/replica",
      "requests are called lost on a barrier that its own leader did not decide"}},
    {B::silence_is_refusal,
     {"D08-silence-is-refusal", "paxos/replica", "no answer for long is told as: surely not done"}},
    {B::refused_but_queued,
     {"R26-refused-but-queued", "paxos/replica",
      "a request refused for lack of room is queued all the same"}},
    {B::damage_is_absence,
     {"D15-damage-is-absence", "paxos/acceptor", "a damaged slot is reported as never accepted"}},
    {B::unknown_counts_as_none,
     {"D15-unknown-counts-as-none", "paxos/value_choice",
      "a Promise that says Unknown counts as one that says nothing was accepted"}},
    {B::old_image_votes,
     {"D15-old-image-votes", "paxos/old_disk",
      "a member whose disk holds less than it once said is let in all the same"}},
    // ---- storage ----
    {B::log_not_synced, {"M24-log-not-synced", "storage/wal", "a log write is not synced"}},
    {B::superblock_not_synced,
     {"R19-superblock-not-synced", "storage/superblock", "the superblock's new pair is not synced"}},
    {B::superblock_pairs_together,
     {"R40-superblock-pairs-together", "storage/superblock",
      "both pairs of copies are written before a sync"}},
    {B::recovered_tail_not_synced,
     {"M23-recovered-tail-not-synced", "storage/wal",
      "the tail that a start found in the page cache is believed without a sync"}},
    {B::segment_entry_not_synced,
     {"R31-segment-entry-not-synced", "storage/wal", "a new segment's directory entry is not synced"}},
    {B::truncates_one_segment_more,
     {"R41-truncates-one-more", "storage/wal", "truncation behind a snapshot drops one segment too many"}},
    {B::torn_tail_is_damage,
     {"R28-torn-tail-is-damage", "storage/wal_recovery", "a write torn by a power failure stops the start"}},
    {B::damaged_tail_is_cut,
     {"R40-damaged-tail-is-cut", "storage/wal_recovery",
      "the log is cut at the first damage, synced or not, and nobody is told"}},
    {B::lost_batch_keeps_older,
     {"D15-lost-batch-keeps-older", "storage/wal_replay",
      "where a batch is damaged, what was accepted before it passes for the newest"}},
    {B::old_batches_taken,
     {"R37-old-batches-taken", "storage/wal_recovery",
      "what a recycled segment held before is taken for new"}},
    {B::boot_not_counted,
     {"M06-boot-not-counted", "storage/wal", "a restart keeps the number of the last boot"}},
    {B::snapshot_not_synced,
     {"R32-snapshot-not-synced", "storage/snapshot_file",
      "a snapshot gets its name before its bytes are synced"}},
    // ---- kv ----
    {B::snapshot_not_pinned,
     {"R24-snapshot-not-pinned", "kv/snapshot", "a snapshot taken in slices holds later writes as well"}},
    {B::snapshot_without_deletions,
     {"R47-snapshot-without-deletions", "kv/snapshot", "a snapshot leaves deletions out"}},
    {B::version_not_restored,
     {"R73-version-not-restored", "kv/snapshot", "versions of keys are not loaded from a snapshot"}},
    {B::revision_from_records,
     {"M18-revision-from-records", "kv/snapshot",
      "no deletion survives a compaction, and the revision after a restore is that of the newest record: it "
      "goes back"}},
    {B::compaction_drops_visible,
     {"R47-compaction-drops-visible", "kv/mvcc",
      "compaction drops the version that is visible at the very revision it keeps"}},
    {B::deleted_key_goes_on,
     {"R34-deleted-key-goes-on", "kv/mvcc", "a key put again after its deletion goes on where it was"}},
    {B::first_compare_only,
     {"T44-first-compare-only", "kv/txn", "only the first compare of a transaction counts"}},
    {B::refusal_where_asked_only,
     {"M21-refusal-where-asked-only", "kv/txn",
      "a transaction that must be refused is refused only by the member that answers"}},
    {B::half_a_transaction, {"R26-half-a-transaction", "kv/txn", "a refused transaction leaves its writes"}},
    {B::state_depends_on_member,
     {"M22-state-depends-on-member", "kv/applier", "a command is refused on some members only (etcd#11689)"}},
    // ---- runtime ----
    {B::page_skipped,
     {"R11-page-skipped", "runtime/node", "the entry at which a turn's time is over is not applied"}},
    {B::read_before_applied,
     {"R08-read-before-applied", "runtime/node", "a read is served before its index is applied"}},
    {B::index_behind_state,
     {"M16-index-behind-state", "runtime/snapshot_taker", "a snapshot's index is older than its content"}},
    {B::old_snapshot_over_new_state,
     {"M12-old-snapshot-over-new-state", "runtime/snapshot_transfer",
      "a snapshot that the log has overtaken is installed all the same"}},
    {B::chain_not_installed,
     {"R22-chain-not-installed", "runtime/node", "installing a snapshot keeps the old chain"}},
    {B::states_not_compared,
     {"D16-states-not-compared", "runtime/node", "members tell each other their digests, and nobody looks"}},
    {B::quarantine_forgotten,
     {"D16-quarantine-forgotten", "runtime/node",
      "a member that finds its state to be in the minority says so, and goes on"}},
};
static_assert(std::size(kBugs) + 1 == static_cast<size_t>(PlantedBug::count), "every planted bug has a name");

}  // namespace

std::vector<PlantedInfo> planted_bugs() {
  std::vector<PlantedInfo> all;
  for (const Named& b : kBugs) all.push_back(b.info);
  return all;
}

bool plant(const std::string& name) {
  for (const Named& b : kBugs)
    if (name == b.info.name) {
      planted_bug = b.bug;
      return true;
    }
  return false;
}

void unplant() { planted_bug = PlantedBug::none; }

#else

std::vector<PlantedInfo> planted_bugs() { return {}; }
bool plant(const std::string&) { return false; }
void unplant() {}

#endif

}  // namespace decree::lab
