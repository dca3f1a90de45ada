#include "runtime/snapshot_taker.h"

#include <algorithm>
#include <utility>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"

namespace decree::runtime {

// Shared with the worker: `writer`, `stored` and `failure` belong to it while `busy`.
struct SnapshotTaker::Job {
  SnapshotManifest manifest;
  std::unique_ptr<SnapshotSource> source;
  std::unique_ptr<SnapshotWriter> writer;
  std::string piece;
  bool source_done = false;
  bool busy = false;
  bool finishing = false;
  std::optional<StoredSnapshot> stored;
  std::optional<Error> failure;
};

SnapshotTaker::SnapshotTaker(Node& node) : node_(node) {}

void SnapshotTaker::on_applied(const Entry& entry) { log_bytes_since_ += entry.weight_bytes(); }

void SnapshotTaker::on_snapshot(Slot index, uint64_t size_bytes) {
  last_index_ = index;
  last_size_bytes_ = size_bytes;
  log_bytes_since_ = 0;
}

bool SnapshotTaker::due() const {
  if (node_.applied_ - last_index_ < node_.options_.snapshot_count) return false;
  return log_bytes_since_ >= std::max(node_.options_.snapshot_log_bytes_min, last_size_bytes_ / 2);
}

void SnapshotTaker::maybe_start(bool force) {
  if (job_ != nullptr || node_.applied_ == Slot(0) || node_.now_ < not_before_) return;
  if (node_.applied_ < last_index_ || (!force && !due())) return;
  // The manifest names the epoch its index belongs to; while the last slots of the one before are still being
  // applied, that is not the replica's.
  if (node_.applied_.next() < node_.replica_.membership().base) return;
  job_ = std::make_shared<Job>();
  job_->manifest = SnapshotManifest{node_.applied_, node_.chain_, node_.term_, node_.replica_.membership()};
  if (!planted(PlantedBug::index_behind_state)) job_->source = node_.machine_.begin_snapshot();
  // What is applied from here on counts for the next one.
  log_bytes_since_ = 0;
  job_->busy = true;
  node_.host_.run(
      [job = job_, &store = node_.store_] {
        Result<std::unique_ptr<SnapshotWriter>> writer = store.create(job->manifest);
        if (writer)
          job->writer = std::move(writer).value();
        else
          job->failure = writer.error();
      },
      [this, job = job_] {
        if (job == job_) on_written();
      });
}

bool SnapshotTaker::slice() {
  if (job_ == nullptr || job_->finishing || job_->source_done || job_->piece.size() >= kPieceBytes)
    return false;
  if (planted(PlantedBug::index_behind_state) && job_->source == nullptr) {
    if (job_->busy) return false;
    job_->source = node_.machine_.begin_snapshot();
  }
  job_->source_done = !job_->source->next(node_.options_.snapshot_slice_bytes, &job_->piece);
  if (job_->source_done) job_->source.reset();
  if (!job_->busy) write_piece();
  return job_ != nullptr && !job_->source_done && job_->piece.size() < kPieceBytes;
}

void SnapshotTaker::write_piece() {
  Job& job = *job_;
  if (job.piece.size() < kPieceBytes && !job.source_done) return;
  job.busy = true;
  job.finishing = job.source_done;
  node_.host_.run(
      [shared = job_, piece = std::make_shared<std::string>(std::move(job.piece)), last = job.source_done] {
        Result<void> written = shared->writer->append(*piece);
        if (!written) {
          shared->failure = written.error();
          return;
        }
        if (!last) return;
        Result<StoredSnapshot> stored = shared->writer->finish();
        if (stored)
          shared->stored = std::move(stored).value();
        else
          shared->failure = stored.error();
      },
      [this, job = job_] {
        if (job == job_) on_written();
      });
  job.piece = std::string();
}

void SnapshotTaker::on_written() {
  job_->busy = false;
  if (job_->failure) {
    abandon(*job_->failure);
    return;
  }
  if (job_->stored) {
    const StoredSnapshot stored = *job_->stored;
    job_.reset();
    last_index_ = stored.manifest.index;
    last_size_bytes_ = stored.size_bytes;
    node_.on_snapshot_taken(stored);
    return;
  }
  write_piece();
  node_.host_.wake();
}

void SnapshotTaker::cancel() {
  if (job_ == nullptr) return;
  DECREE_SOMETIMES("a snapshot is given up half-way", true);
  job_->source.reset();
  std::shared_ptr<Job> job = std::move(job_);
  job_ = nullptr;
  // Closing and removing the half file is a worker's business. A work still running holds the job as well.
  node_.host_.run([job]() mutable { job.reset(); }, [] {});
}

// The log still holds everything, so a snapshot that cannot be written (a full disk, say) is not the end: try
// later.
void SnapshotTaker::abandon(const Error& error) {
  DECREE_SOMETIMES("a snapshot cannot be written", true);
  node_.note(Severity::error, "snapshot failed", "cause=\"" + error.message + "\"");
  cancel();
  not_before_ = Tick(node_.now_.value + node_.options_.transfer_idle_ticks);
  log_bytes_since_ = std::max(node_.options_.snapshot_log_bytes_min, last_size_bytes_ / 2);
}

}  // namespace decree::runtime
