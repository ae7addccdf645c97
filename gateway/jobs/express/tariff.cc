#include "gateway/jobs/express/tariff.hh"

#include <algorithm>

namespace qanat::jobs {
namespace {

constexpr std::int64_t kDay = 86'400'000;  // ms

std::int64_t of_day(std::int64_t unix_ms) { return ((unix_ms % kDay) + kDay) % kDay; }

// HH:MM or HH:MM:SS, as milliseconds of the day.
std::optional<std::int64_t> clock_time(std::string_view text) noexcept {
  if (text.size() != 5 && text.size() != 8) return std::nullopt;
  std::int64_t part[3] = {0, 0, 0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2) {
      if (text[i] != ':') return std::nullopt;
    } else if (text[i] < '0' || text[i] > '9') {
      return std::nullopt;
    } else {
      part[i / 3] = part[i / 3] * 10 + (text[i] - '0');
    }
  }
  if (part[0] > 23 || part[1] > 59 || part[2] > 59) return std::nullopt;
  return ((part[0] * 60 + part[1]) * 60 + part[2]) * 1000;
}

}  // namespace

bool Tariff::is_off_peak(std::int64_t unix_ms) const {
  const std::int64_t now = of_day(unix_ms);
  return std::any_of(off_peak.begin(), off_peak.end(), [now](const Window& w) {
    return w.from_ms <= w.to_ms ? w.from_ms <= now && now < w.to_ms : now >= w.from_ms || now < w.to_ms;
  });
}

std::optional<std::int64_t> Tariff::next_change(std::int64_t unix_ms) const {
  std::optional<std::int64_t> next;
  const std::int64_t now = of_day(unix_ms);
  for (const Window& w : off_peak)
    for (const std::int64_t edge : {w.from_ms, w.to_ms}) {
      const std::int64_t at = unix_ms + (edge > now ? edge - now : edge - now + kDay);
      if (!next || at < *next) next = at;
    }
  return next;
}

meter::Nano Tariff::price(std::uint64_t peak_bytes, std::uint64_t off_peak_bytes) const {
  const meter::Nano exact = meter::Nano{peak_nano_per_mb} * static_cast<meter::Nano>(peak_bytes) +
                            meter::Nano{off_peak_nano_per_mb} * static_cast<meter::Nano>(off_peak_bytes);
  return (exact + 999'999) / 1'000'000;
}

std::optional<Tariff::Window> parse_window(std::string_view text) noexcept {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto from = clock_time(text.substr(0, dash)), to = clock_time(text.substr(dash + 1));
  if (!from || !to || *from == *to) return std::nullopt;
  return Tariff::Window{*from, *to};
}

}  // namespace qanat::jobs
