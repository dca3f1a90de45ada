#include "server/logging.h"

#include <memory>

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace decree::server {
namespace {

constexpr size_t kLinesQueuedMax = 1024;

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::level::level_enum parse_level(const std::string& name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "info") return spdlog::level::info;
  if (name == "warn") return spdlog::level::warn;
  return spdlog::level::err;  // error, and zap's dpanic, panic, fatal
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance;
  return instance;
}

}  // namespace

Result<void> start_logging(const std::string& level, const std::vector<std::string>& outputs) {
  std::vector<spdlog::sink_ptr> sinks;
  for (const std::string& output : outputs) {
    if (output == "stderr") {
      sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    } else if (output == "stdout") {
      sinks.push_back(std::make_shared<spdlog::sinks::stdout_sink_mt>());
    } else {
      try {
        sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(output));
      } catch (const spdlog::spdlog_ex& problem) {
        return Error{ErrorCode::invalid,
                     "--log-outputs: " + output + " cannot be written: " + problem.what()};
      }
    }
  }
  spdlog::init_thread_pool(kLinesQueuedMax, 1);
  auto made =
      std::make_shared<spdlog::async_logger>("decreed", sinks.begin(), sinks.end(), spdlog::thread_pool(),
                                             spdlog::async_overflow_policy::overrun_oldest);
  made->set_level(parse_level(level));
  made->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                                                                  spdlog::pattern_time_type::utc));
  made->flush_on(spdlog::level::info);
  logger() = std::move(made);
  return {};
}

void log_line(Level level, const std::string& sentence) {
  if (logger() != nullptr) logger()->log(to_spdlog(level), spdlog::string_view_t(sentence));
}

void stop_logging() {
  if (logger() == nullptr) return;
  logger()->flush();
  logger().reset();
  spdlog::shutdown();
}

}  // namespace decree::server
