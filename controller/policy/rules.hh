// Rules: what operators say about ways, beside tenants: what carries nothing (drains, maintenance windows), ways that a pair
// of boxes shall or shall not take, what a plane's price is worth, and what tenants were promised. By name, because boxes
// may be named before they enrol.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::policy {

// Soft: no way goes over it where there is another. Hard: none at all, whoever loses its last way by that.
enum class DrainMode : std::uint8_t { Soft, Hard };

// A relay that shall carry nothing, in [from, until); 0: since ever, for ever.
struct Drain {
  std::string node;
  DrainMode mode = DrainMode::Soft;
  base::UnixSeconds from = 0;
  base::UnixSeconds until = 0;
  bool in_force(base::UnixSeconds now) const { return from <= now && (until == 0 || now < until); }
  bool operator==(const Drain&) const = default;
};

// An SR policy for the lists from one box to another, of every tier.
struct RouteRule {
  std::string from;
  std::string to;
  std::vector<std::string> via;    // the first list goes over these relays in this order, while that works
  bool pinned = false;             // `via` was given; without relays: the direct way
  std::vector<std::string> avoid;  // no list goes over these, unless there is no other way
  bool operator==(const RouteRule&) const = default;
};

// A promise to a tenant for one tier, between all its members; 0: none. The tiers share their ways; one that these fail
// gets a way of its own, where one keeps the promise.
struct Sla {
  std::string tenant;
  ids::Tier tier = ids::Tier::Interactive;
  std::uint32_t most_rtt_us = 0;
  std::uint32_t most_loss_ppm = 0;
  std::uint32_t most_jitter_us = 0;
  bool operator==(const Sla&) const = default;
};

// What a Mbit/s that a plane carries for an hour costs, in whatever currency; less in a window of the day, if it has one.
struct PlanePrice {
  double price = 0;
  double off_peak_price = 0;
  std::uint32_t off_peak_from_s = 0, off_peak_until_s = 0;  // of the day, UTC; the same: no window
  double at(base::UnixSeconds now) const {
    const auto time = static_cast<std::uint32_t>(now % 86'400);
    const bool over_midnight = off_peak_from_s > off_peak_until_s;
    const bool after = time >= off_peak_from_s, before = time < off_peak_until_s;
    return (over_midnight ? after || before : after && before) ? off_peak_price : price;
  }
  bool operator==(const PlanePrice&) const = default;
};

// A plane of which bandwidth is reserved a slot of the day ahead and paid for, used or not: how much is found by what is
// expected and by what the cheapest of the other planes' prices then is. In whole Mbit/s.
struct PlaneReserve {
  double per_hour = 0;  // what a Mbit/s that is reserved for an hour costs
  double least_bps = 0, most_bps = 0;
  std::uint32_t slot_s = 3600;  // a day's slots are alike: it divides 86,400
  bool operator==(const PlaneReserve&) const = default;
};

// What a tenant may send in a domain, all its pairs together: the committed rate is planned for before anything else, the
// rest up to the burst rate from what is left. Planned, not enforced: boxes have rates of their own.
struct TenantRate {
  std::string tenant;
  double committed_bps = 0;
  double burst_bps = 0;  // at least committed
  bool operator==(const TenantRate&) const = default;
};

// A time in which nothing changes that need not: operators' changes are refused, and ways move only when they must.
struct Freeze {
  base::UnixSeconds from = 0;  // 0: since ever
  base::UnixSeconds until = 0;
  std::string why;
  bool in_force(base::UnixSeconds now) const { return from <= now && now < until; }
  bool operator==(const Freeze&) const = default;
};

// Boxes and single lines of boxes that go down together: by a duct, a power feed, an operator. Of a pair's lists, those behind
// the first go over relays and lines that share none with those before them, where there are such.
inline constexpr std::size_t kMostRisks = 32;
inline constexpr std::size_t kMostRiskLines = 4096;  // of each
struct Risk {
  struct Line {  // by which a box is on a plane
    std::string node;
    std::uint8_t plane = 1;
    auto operator<=>(const Line&) const = default;
  };
  std::string name;
  std::vector<std::string> nodes{};
  std::vector<Line> lines{};
  bool operator==(const Risk&) const = default;
};

// Where a tenant's traffic may travel between its members, in one tier or in all of them. Hard: rather no way at all.
inline constexpr std::size_t kMostZones = 63;  // that the limits name, all together
struct Limit {
  std::string tenant;
  std::optional<ids::Tier> tier{};     // none: every tier
  std::vector<std::uint8_t> planes{};  // ascending; on these alone. Empty: on every plane
  std::vector<std::string> within{};   // over relays that stand there alone ("gz.cn"). Empty: over any
  bool operator==(const Limit&) const = default;
};

struct Rules {
  std::vector<Drain> drains;  // maintenance windows are drains with an end
  std::vector<RouteRule> routes;
  std::map<std::uint8_t, std::uint32_t> tolls_us;  // by plane: what ranks it lower, as a round trip's µs
  std::map<std::uint8_t, PlanePrice> prices;       // by plane; none: it costs nothing
  std::map<std::uint8_t, PlaneReserve> reserved;   // by plane; none that has a price
  std::vector<TenantRate> rates;
  std::vector<Sla> slas;
  std::vector<Freeze> freezes;
  std::vector<Risk> risks;  // kMostRisks at most
  std::vector<Limit> limits;
  // Of all pairs, so many may get another best way in a minute where the one they have still serves; 0: no limit.
  std::uint32_t moves_permille_a_minute = 0;
  // Null: none is in force.
  const Freeze* frozen(base::UnixSeconds now) const {
    const auto at =
        std::find_if(freezes.begin(), freezes.end(), [now](const Freeze& f) { return f.in_force(now); });
    return at == freezes.end() ? nullptr : &*at;
  }
  bool operator==(const Rules&) const = default;
};

}  // namespace qanat::policy
