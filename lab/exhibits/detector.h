// Failure detectors by heartbeats, judged on the same schedules: how soon a crash is noticed, how often a
// living process is accused (row M4; FLP is why there is no perfect one).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace decree::lab {

enum class HeartbeatKind : uint8_t { quiet, rough, bursts, pauses };
const char* heartbeat_kind_name(HeartbeatKind kind);

// Arrivals of one process's heartbeats, sent every 100 ms until it crashes.
struct HeartbeatSchedule {
  std::vector<double> arrivals_ms;  // ascending
  double crash_ms = 0;
};
HeartbeatSchedule draw_heartbeats(HeartbeatKind kind, uint64_t seed);

// When a detector that saw these arrivals, and nothing since, begins to suspect.
using Suspect = std::function<double(const std::vector<double>& arrivals_ms, size_t count)>;
Suspect timeout_detector(double timeout_ms);
// phi(t) = -log10 P(gap > t), gaps of the last `window` heartbeats taken for normally distributed.
Suspect phi_accrual_detector(double threshold, size_t window, double stddev_ms_min);

struct DetectorQuality {
  uint64_t schedules = 0;
  uint64_t detected = 0;    // completeness: crashes that were suspected for good
  double delay_ms_sum = 0;  // from the crash to the suspicion
  double delay_ms_max = 0;
  uint64_t mistakes = 0;  // accuracy: suspicions of a living process
  double mistaken_ms = 0;
  double alive_ms = 0;
  double delay_ms() const { return detected == 0 ? 0 : delay_ms_sum / static_cast<double>(detected); }
  double mistakes_per_hour() const {
    return alive_ms == 0 ? 0 : static_cast<double>(mistakes) * 3.6e6 / alive_ms;
  }
};
DetectorQuality judge_detector(const Suspect& suspect, HeartbeatKind kind, uint64_t seeds);

}  // namespace decree::lab
