#include "base/log.hh"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace qanat::base {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::Trace: return spdlog::level::trace;
    case LogLevel::Debug: return spdlog::level::debug;
    case LogLevel::Info: return spdlog::level::info;
    case LogLevel::Warn: return spdlog::level::warn;
    case LogLevel::Error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

// Before init_log: the same stderr, no name.
std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance =
      std::make_shared<spdlog::logger>("qanat", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return instance;
}

}  // namespace

void init_log(std::string_view name, std::string_view level) {
  logger() =
      std::make_shared<spdlog::logger>(std::string{name}, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger()->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %n: %v");
  logger()->flush_on(spdlog::level::trace);
  LogLevel chosen = LogLevel::Info;
  if (level == "trace") chosen = LogLevel::Trace;
  if (level == "debug") chosen = LogLevel::Debug;
  if (level == "warn") chosen = LogLevel::Warn;
  if (level == "error") chosen = LogLevel::Error;
  logger()->set_level(spdlog_level(chosen));
}

bool log_enabled(LogLevel level) noexcept { return logger()->should_log(spdlog_level(level)); }

void log_text(LogLevel level, std::string_view text) {
  logger()->log(spdlog_level(level), spdlog::string_view_t{text.data(), text.size()});
}

std::int64_t LogGate::pass(Time now) noexcept {
  const std::int64_t now_ns = now.time_since_epoch().count();
  std::int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now_ns < next || !next_ns_.compare_exchange_strong(next, now_ns + interval_ns_)) {
    held_.fetch_add(1, std::memory_order_relaxed);
    return -1;
  }
  return held_.exchange(0, std::memory_order_relaxed);
}

}  // namespace qanat::base
