#include "controller/northbound/timestamp.hh"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

namespace qanat::northbound {

std::optional<base::UnixSeconds> parse_timestamp(const std::string& text) {
  std::tm tm{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (rest == nullptr) return std::nullopt;
  std::int64_t offset = 0;
  if (const std::string zone = rest; zone != "Z" && zone != "z") {
    int hours = 0, minutes = 0;
    char sign = 0, after = 0;
    if (std::sscanf(zone.c_str(), "%c%2d:%2d%c", &sign, &hours, &minutes, &after) != 3 ||
        (sign != '+' && sign != '-') || hours > 23 || minutes > 59)
      return std::nullopt;
    offset = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  }
  const std::int64_t seconds = timegm(&tm) - offset;
  return seconds > 0 ? std::optional(static_cast<base::UnixSeconds>(seconds)) : std::nullopt;
}

std::string timestamp(base::UnixSeconds seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace qanat::northbound
