#include "lab/exhibits/detector.h"

#include <algorithm>
#include <cmath>

#include "lab/sim/random.h"

namespace decree::lab {

namespace {

constexpr double kPeriodMs = 100;

}  // namespace

const char* heartbeat_kind_name(HeartbeatKind kind) {
  constexpr const char* kNames[] = {"quiet", "rough", "bursts", "pauses"};
  return kNames[static_cast<size_t>(kind)];
}

HeartbeatSchedule draw_heartbeats(HeartbeatKind kind, uint64_t seed) {
  Random random(seed * 4 + static_cast<uint64_t>(kind));
  HeartbeatSchedule s;
  s.crash_ms = 60000 + static_cast<double>(random.below(60000));
  const double jitter = kind == HeartbeatKind::rough ? 40 : 4;
  double pause_until = 0;
  uint64_t burst_left = 0;
  for (double sent = 0; sent < s.crash_ms; sent += kPeriodMs) {
    double at = sent;
    if (kind == HeartbeatKind::pauses) {  // the process stands still, its heartbeats come late and at once
      if (random.chance(0.004)) pause_until = sent + 150 + static_cast<double>(random.below(1200));
      at = std::max(at, pause_until);
    }
    if (kind == HeartbeatKind::bursts && burst_left == 0 && random.chance(0.004))
      burst_left = random.between(2, 8);
    bool lost = kind == HeartbeatKind::rough && random.chance(0.05);
    if (burst_left > 0) {
      --burst_left;
      lost = true;
    }
    const double delay = 1 - jitter * std::log1p(-random.unit());
    if (!lost && at < s.crash_ms) s.arrivals_ms.push_back(at + delay);
  }
  std::sort(s.arrivals_ms.begin(), s.arrivals_ms.end());
  return s;
}

Suspect timeout_detector(double timeout_ms) {
  return [timeout_ms](const std::vector<double>& arrivals, size_t count) {
    return arrivals[count - 1] + timeout_ms;
  };
}

Suspect phi_accrual_detector(double threshold, size_t window, double stddev_ms_min) {
  return [=](const std::vector<double>& arrivals, size_t count) {
    const size_t first = count > window ? count - window : 1;
    double sum = 0;
    double squares = 0;
    for (size_t i = first; i < count; ++i) {
      const double gap = arrivals[i] - arrivals[i - 1];
      sum += gap;
      squares += gap * gap;
    }
    const auto n = static_cast<double>(count - first);
    const double mean = n > 0 ? sum / n : kPeriodMs;
    const double variance = n > 0 ? std::max(0.0, squares / n - mean * mean) : 0;
    const double deviation = std::max({std::sqrt(variance), stddev_ms_min, 1e-6});
    // phi grows with the silence: bisection for the moment it reaches the threshold.
    const auto phi = [&](double silence) {
      return -std::log10(std::max(0.5 * std::erfc((silence - mean) / (deviation * std::sqrt(2.0))), 1e-300));
    };
    double low = 0;
    double high = mean + 40 * deviation;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (phi(middle) < threshold ? low : high) = middle;
    }
    return arrivals[count - 1] + high;
  };
}

DetectorQuality judge_detector(const Suspect& suspect, HeartbeatKind kind, uint64_t seeds) {
  constexpr size_t kWarmUp = 20;  // heartbeats before anybody judges
  DetectorQuality q;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const HeartbeatSchedule s = draw_heartbeats(kind, seed);
    ++q.schedules;
    q.alive_ms += s.crash_ms - s.arrivals_ms[kWarmUp - 1];
    for (size_t count = kWarmUp; count <= s.arrivals_ms.size(); ++count) {
      const double at = suspect(s.arrivals_ms, count);
      const bool last = count == s.arrivals_ms.size();
      const double next = last ? s.crash_ms : s.arrivals_ms[count];
      if (at < std::min(next, s.crash_ms)) {
        ++q.mistakes;
        q.mistaken_ms += std::min(next, s.crash_ms) - at;
      }
      if (!last || !std::isfinite(at)) continue;
      ++q.detected;
      const double delay = std::max(0.0, at - s.crash_ms);
      q.delay_ms_sum += delay;
      q.delay_ms_max = std::max(q.delay_ms_max, delay);
    }
  }
  return q;
}

}  // namespace decree::lab
