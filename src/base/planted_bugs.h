// Deliberate faults for testing the tests: what really happened to others, put into our own code. They exist
// only where DECREE_PLANTED_BUGS is defined, which is decree-lab-planted alone (CMakeLists.txt names the
// files that are compiled a second time for it). Everywhere else `planted()` is the constant false and the
// guarded code vanishes. What each one is, and where it comes from: lab/planted.cc and docs/mutants.md.
#pragma once

namespace decree {

enum class PlantedBug {
  none,
  // paxos
  forgotten_promise,
  forgotten_acceptances,
  ack_before_durable,
  early_duplicate_ack,
  early_promise,
  early_prepare,
  leader_counts_unsynced,
  stale_accept,
  accept_over_gap,
  trust_old_ballot,
  law_not_persisted,
  lowest_ballot,
  inherited_values_dropped,
  void_report_revived,
  base_from_reports_only,
  first_promise_chunk_only,
  duplicate_promise_counts,
  small_quorum,
  read_without_round,
  read_round_reused,
  read_before_barrier,
  read_joins_open_round,
  asked_reads_forgotten,
  ready_at_once,
  forward_taken_twice,
  settled_by_any_barrier,
  silence_is_refusal,
  refused_but_queued,
  damage_is_absence,
  unknown_counts_as_none,
  old_image_votes,
  // storage
  log_not_synced,
  superblock_not_synced,
  superblock_pairs_together,
  recovered_tail_not_synced,
  segment_entry_not_synced,
  truncates_one_segment_more,
  torn_tail_is_damage,
  damaged_tail_is_cut,
  lost_batch_keeps_older,
  old_batches_taken,
  boot_not_counted,
  snapshot_not_synced,
  // kv
  snapshot_not_pinned,
  snapshot_without_deletions,
  version_not_restored,
  revision_from_records,
  compaction_drops_visible,
  deleted_key_goes_on,
  first_compare_only,
  refusal_where_asked_only,
  half_a_transaction,
  state_depends_on_member,
  // runtime
  page_skipped,
  read_before_applied,
  index_behind_state,
  old_snapshot_over_new_state,
  chain_not_installed,
  states_not_compared,
  quarantine_forgotten,
  count,
};

#ifdef DECREE_PLANTED_BUGS
extern PlantedBug planted_bug;
inline bool planted(PlantedBug bug) { return planted_bug == bug; }
#else
constexpr bool planted(PlantedBug) { return false; }
#endif

}  // namespace decree
