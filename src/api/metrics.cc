#include "api/metrics.h"
#include <limits>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <map>
#include <sstream>

namespace decree::api {

namespace {

struct Sourced {
  Metrics::Source source;
  std::vector<prometheus::ClientMetric::Label> labels;
};

struct Family {
  std::string help;
  prometheus::MetricType type = prometheus::MetricType::Gauge;
  std::vector<Sourced> members;
};

prometheus::MetricFamily counter(const std::string& name, const std::string& help, double value) {
  prometheus::MetricFamily family{name, help, prometheus::MetricType::Counter, {}};
  family.metric.emplace_back();
  family.metric.back().counter.value = value;
  return family;
}

prometheus::MetricFamily histogram(const std::string& name, const std::string& help, const Timings& timings) {
  prometheus::MetricFamily family{name, help, prometheus::MetricType::Histogram, {}};
  auto& metric = family.metric.emplace_back().histogram;
  metric.sample_count = timings.count();
  metric.sample_sum = timings.sum_seconds();
  double bound = timings.first_seconds();
  uint64_t cumulative = 0;
  for (size_t i = 0; i < Timings::bucket_count; ++i, bound *= 2) {
    cumulative += timings.buckets()[i];
    metric.bucket.push_back(
        {cumulative, i + 1 == Timings::bucket_count ? std::numeric_limits<double>::infinity() : bound});
  }
  return family;
}

}  // namespace

void Timings::observe(double seconds) {
  double bound = first_seconds_;
  size_t i = 0;
  while (i + 1 < bucket_count && seconds > bound) {
    bound *= 2;
    ++i;
  }
  ++buckets_[i];
  ++count_;
  sum_seconds_ += seconds;
}

struct Metrics::Impl {
  std::map<std::string, Family> families;
  void add(const std::string& name, const std::string& help, prometheus::MetricType type, Source source,
           const Labels& labels) {
    Family& family = families[name];
    family.help = help;
    family.type = type;
    Sourced& sourced = family.members.emplace_back();
    sourced.source = std::move(source);
    for (const auto& [label, value] : labels) sourced.labels.push_back({label, value});
  }
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::add_counter(const std::string& name, const std::string& help, Source source, Labels labels) {
  impl_->add(name, help, prometheus::MetricType::Counter, std::move(source), labels);
}

void Metrics::add_gauge(const std::string& name, const std::string& help, Source source, Labels labels) {
  impl_->add(name, help, prometheus::MetricType::Gauge, std::move(source), labels);
}

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& [name, family] : impl_->families) {
    prometheus::MetricFamily out{name, family.help, family.type, {}};
    for (const Sourced& member : family.members) {
      const double value = member.source();
      // A source that has nothing to say (a call code never sent) stays silent.
      if (value < 0) continue;
      auto& metric = out.metric.emplace_back();
      metric.label = member.labels;
      (family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }
    if (!out.metric.empty()) families.push_back(std::move(out));
  }
  families.push_back(histogram("decree_turn_seconds", "Length of a turn of the loop.", turn_seconds));
  families.push_back(histogram("etcd_disk_wal_fsync_duration_seconds",
                               "Write and sync of one batch of the log.", wal_fsync_seconds));
  families.push_back(histogram("etcd_disk_backend_commit_duration_seconds", "Writing of one snapshot file.",
                               backend_commit_seconds));
  families.push_back(
      counter("decree_slow_turns_total", "Turns over 10 ms.", static_cast<double>(slow_turns)));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace decree::api
