// The data express's timetable: transfers over shared links as fluids, each with what the earlier ones leave it.
//
// Those with a deadline come first, the earliest deadline first (on one link, if any order keeps all deadlines, this one
// does: Liu and Layland 1973, for fluids Horn 1974); over several links it is a heuristic that is never wrong when it
// says yes. The cheapest ride behind them, in off-peak windows only. A new transfer is taken only if every deadline that
// was promised still holds; else it is told the earliest that could be. Times are Unix milliseconds, rates bytes a second.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/jobs/express/tariff.hh"

namespace qanat::jobs {

struct Link {
  std::string name;
  double bytes_per_s = 0;  // what transfers may take of it, together
};

struct Transfer {
  std::string id;
  std::uint64_t bytes = 0;            // still to go
  std::vector<std::size_t> links;     // it needs each of them at once
  std::optional<std::int64_t> by_ms;  // its deadline; without one it is one of the cheapest
};

// A piece of a transfer's way at one pace.
struct Leg {
  std::int64_t from_ms = 0, to_ms = 0;
  double bytes_per_s = 0;
  bool off_peak = false;
};
struct Course {
  std::vector<Leg> legs;
  std::int64_t finish_ms = 0;  // kNever: not within the horizon
  std::uint64_t peak_bytes = 0, off_peak_bytes = 0;
  bool in_time = true;

  double pace(std::int64_t now_ms) const;  // bytes a second, now
};

inline constexpr std::int64_t kNever = INT64_MAX;
inline constexpr std::int64_t kHorizonMs = 8LL * 86'400'000;

// One course for each transfer, in their order.
std::vector<Course> timetable(std::span<const Link> links, const Tariff& tariff,
                              std::span<const Transfer> transfers, std::int64_t now_ms);

struct Offer {
  bool accepted = false;
  std::int64_t finish_ms = kNever;    // as things stand
  std::int64_t earliest_ms = kNever;  // refused: the earliest deadline that would be taken
  meter::Nano price = 0;
};
Offer quote(std::span<const Link> links, const Tariff& tariff, std::span<const Transfer> promised,
            const Transfer& wanted, std::int64_t now_ms);

}  // namespace qanat::jobs
