// The log: lines on stderr through spdlog, which stays in the .cc. Never called per packet; cores never log.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/time.hh"

namespace qanat::base {

enum class LogLevel : std::uint8_t { Trace, Debug, Info, Warn, Error };

// Call once, before threads: "TIME LEVEL name: text" from here on. An unknown level is "info".
void init_log(std::string_view name, std::string_view level);
bool log_enabled(LogLevel level) noexcept;
void log_text(LogLevel level, std::string_view text);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_text(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::Debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::Info, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::Warn, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::Error, format, std::forward<Args>(args)...);
}

// Lets one line through per interval and counts the rest. Keep one per call site (static). Thread-safe.
class LogGate {
 public:
  explicit constexpr LogGate(Duration interval) : interval_ns_(interval.count()) {}
  // The number of lines held back since the last one let through, or −1: hold this one back too.
  std::int64_t pass(Time now) noexcept;

 private:
  std::int64_t interval_ns_;
  std::atomic<std::int64_t> next_ns_{INT64_MIN};
  std::atomic<std::int64_t> held_{0};
};

// A line that may come often: at most one per the gate's interval; says how many were held back.
template <class... Args>
void log_gated(LogGate& gate, Time now, LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (!log_enabled(level)) return;
  const std::int64_t held = gate.pass(now);
  if (held < 0) return;
  std::string text = fmt::format(format, std::forward<Args>(args)...);
  if (held > 0) text += fmt::format(" ({} more like it held back)", held);
  log_text(level, text);
}

}  // namespace qanat::base
