// Tariff: what a byte on its way costs, by the time of day. Off-peak windows are cheaper.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/meter/money.hh"

namespace qanat::jobs {

struct Tariff {
  // UTC, milliseconds of the day; `to` before `from` goes past midnight.
  struct Window {
    std::int64_t from_ms = 0, to_ms = 0;
  };
  std::vector<Window> off_peak;
  std::int64_t peak_nano_per_mb = 0, off_peak_nano_per_mb = 0;  // 1 MB = 10⁶ bytes

  bool is_off_peak(std::int64_t unix_ms) const;
  // When that changes next, after unix_ms; nullopt: never.
  std::optional<std::int64_t> next_change(std::int64_t unix_ms) const;
  // Rounded up once, for a transfer's whole.
  meter::Nano price(std::uint64_t peak_bytes, std::uint64_t off_peak_bytes) const;
};

// "22:00-06:00" or "22:00:00-06:00:30"; nullopt for anything else.
std::optional<Tariff::Window> parse_window(std::string_view text) noexcept;

}  // namespace qanat::jobs
