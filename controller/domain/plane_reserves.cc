#include "controller/domain/plane_reserves.hh"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "controller/domain/plane_reserves.pb.h"
#include "controller/te/reservation.hh"

namespace qanat::domain {
namespace {

using ids::Tier;

constexpr double kNewSlot = 0.3;  // of `within`

std::uint32_t planes_of(const paths::Route& route) {
  std::uint32_t out = 0;
  for (std::size_t hop = 0; hop < route.hops(); ++hop) out |= 1u << route.planes[hop].value;
  return out;
}

// The route that an ask takes while everything has room: bulk and scavenger the cheapest, the others their first.
std::size_t preferred(const TrafficAsk& ask) {
  if (ask.key.second != Tier::Bulk && ask.key.second != Tier::Scavenger) return 0;
  return static_cast<std::size_t>(std::min_element(ask.prices.begin(), ask.prices.end()) -
                                  ask.prices.begin());
}

// What a Mbit/s elsewhere costs when the slot begins: the cheapest plane that has a price.
double use_price(const policy::Rules& rules, base::UnixSeconds at) {
  double least = 0;
  bool any = false;
  for (const auto& [plane, price] : rules.prices) {
    if (!any || price.at(at) < least) least = price.at(at);
    any = true;
  }
  return least;
}

te::Forecast::State state_of(const kept::Forecast& kept) {
  return {{kept.means().begin(), kept.means().end()},
          static_cast<std::size_t>(kept.observed()),
          kept.last(),
          kept.ratio(),
          kept.error()};
}
void write(const te::Forecast& forecast, kept::Forecast& out) {
  const te::Forecast::State state = forecast.state();
  out.mutable_means()->Add(state.means.begin(), state.means.end());
  out.set_observed(state.observed);
  out.set_last(state.last);
  out.set_ratio(state.ratio);
  out.set_error(state.error);
}
void write(const PlaneReserves::Reservation& reservation, kept::Reservation& out) {
  out.set_from(reservation.from);
  out.set_until(reservation.until);
  out.set_bps(reservation.bps);
}
PlaneReserves::Reservation reservation_of(std::uint8_t plane, const kept::Reservation& kept) {
  if (!std::isfinite(kept.bps()) || kept.bps() < 0 || kept.until() <= kept.from()) return {};
  return {plane, kept.from(), kept.until(), kept.bps()};
}

}  // namespace

std::map<std::uint8_t, PlaneDemand> demand_on(const policy::Rules& rules, const TrafficQuestion& question) {
  std::map<std::uint8_t, PlaneDemand> out;
  for (const auto& [plane, reserve] : rules.reserved) out[plane];
  for (const TrafficAsk& ask : question.asks) {
    const std::uint32_t wanted = planes_of(ask.routes[preferred(ask)]);
    const std::uint32_t always =
        ask.key.second == Tier::Critical
            ? wanted
            : std::accumulate(ask.routes.begin(), ask.routes.end(), ~std::uint32_t{0},
                              [](std::uint32_t all, const auto& route) { return all & planes_of(route); });
    for (auto& [plane, demand] : out) {
      if ((wanted >> plane & 1) != 0) demand.all += ask.bps - ask.rise_bps;
      if ((always >> plane & 1) != 0) demand.bound += ask.bps - ask.rise_bps;
    }
  }
  return out;
}

void PlaneReserves::end_slot(Row& row) {
  if (row.samples == 0) {  // nobody looked: as expected
    row.all.observe(row.all.expect(1).mean);
    row.bound.observe(row.bound.expect(1).mean);
    return;
  }
  const auto n = static_cast<double>(row.samples);
  const double mean = row.sum / n;
  const double within = std::sqrt(std::max(0.0, row.squares / n - mean * mean));
  row.within = row.all.observed() == 0 ? within : (1 - kNewSlot) * row.within + kNewSlot * within;
  row.all.observe(mean);
  row.bound.observe(row.sum_bound / n);
  row.sum = row.squares = row.sum_bound = 0;
  row.samples = 0;
}

void PlaneReserves::follow_clock(Row& row, base::UnixSeconds clock) {
  const base::UnixSeconds slot = (clock + row.ahead()) / row.slot_s;
  if (row.learning && (slot + 1 < *row.learning || slot > *row.learning + row.slots_a_day())) {
    const Reservation running = row.now;
    row = Row(row.slot_s);
    if (running.covers(clock)) row.now = running;
  }
  if (!row.learning) row.learning = slot;
  while (*row.learning < slot) {
    end_slot(row);
    ++*row.learning;
  }
}

PlaneReserves::Reservation PlaneReserves::decide(const Row& row, std::uint8_t plane,
                                                 const policy::Rules& rules, const PlaneDemand& now,
                                                 double committed_bps, base::UnixSeconds slot) {
  const policy::PlaneReserve& rule = rules.reserved.at(plane);
  te::Forecast::Expected all = row.all.expect(1), bound = row.bound.expect(1);
  if (row.all.observed() == 0) {
    all = {std::max(now.all, committed_bps), 0};
    bound = {now.bound, 0};
  }
  all.deviation = std::hypot(all.deviation, row.within);
  const double wanted = std::max(
      {rule.least_bps,
       te::worth_reserving(all, {.reserved = rule.per_hour, .used = use_price(rules, slot * row.slot_s)}),
       te::quantile(bound, kBound)});
  // A whole number more is not worth a rounding error.
  const double whole = std::ceil(wanted / kGrain - 1e-6) * kGrain;
  return {plane, slot * row.slot_s, (slot + 1) * row.slot_s, std::min(whole, rule.most_bps)};
}

std::vector<PlaneReserves::Reservation> PlaneReserves::observe(
    const policy::Rules& rules, const std::map<std::uint8_t, PlaneDemand>& demand, double committed_bps,
    base::UnixSeconds clock) {
  std::vector<Reservation> made;
  changed_ |= std::erase_if(rows_, [&](const auto& row) {
                const auto rule = rules.reserved.find(row.first);
                return rule == rules.reserved.end() || rule->second.slot_s != row.second.slot_s;
              }) != 0;
  for (const auto& [number, rule] : rules.reserved) {
    const std::uint8_t plane = number;
    Row& row = rows_.try_emplace(plane, rule.slot_s).first->second;
    const auto sample = demand.find(plane);
    const PlaneDemand now = sample == demand.end() ? PlaneDemand{} : sample->second;
    follow_clock(row, clock);
    const auto reserve = [&](base::UnixSeconds slot) {
      changed_ = true;
      return made.emplace_back(decide(row, plane, rules, now, committed_bps, slot));
    };
    if (!row.now.covers(clock)) {
      row.now = row.next.covers(clock) ? row.next : reserve(clock / row.slot_s);
      row.next = {};
      changed_ = true;
    }
    if (*row.learning == clock / row.slot_s + 1 && row.next.from != *row.learning * row.slot_s)
      row.next = reserve(*row.learning);
    row.sum += now.all;
    row.squares += now.all * now.all;
    row.sum_bound += now.bound;
    ++row.samples;
  }
  return made;
}

std::vector<PlaneReserves::Reservation> PlaneReserves::running() const {
  std::vector<Reservation> out;
  for (const auto& [plane, row] : rows_)
    if (row.now.until != 0) out.push_back(row.now);
  return out;
}

std::optional<PlaneReserves::Reservation> PlaneReserves::next(std::uint8_t plane) const {
  const auto row = rows_.find(plane);
  if (row == rows_.end() || row->second.next.until == 0) return std::nullopt;
  return row->second.next;
}

void PlaneReserves::limit(CapacityBook& capacities) const {
  for (const Reservation& reservation : running())
    capacities.set_plane(ids::PlaneId{reservation.plane}, reservation.bps);
}

void PlaneReserves::show(const policy::Rules& rules, const std::map<std::uint8_t, double>& used_bps,
                         session::TrafficView& traffic) const {
  for (const Reservation& reservation : running()) {
    const auto rule = rules.reserved.find(reservation.plane);
    if (rule == rules.reserved.end()) continue;
    const auto used = used_bps.find(reservation.plane);
    auto& view = traffic.reserves[reservation.plane];
    view = {reservation.from, reservation.until, reservation.bps, used == used_bps.end() ? 0 : used->second};
    if (const auto after = next(reservation.plane)) view.next_bps = after->bps;
    traffic.cost_per_hour += reservation.bps / 1e6 * rule->second.per_hour;
  }
}

session::Event PlaneReserves::news_of(const Reservation& made) {
  return {"plane_reserved",
          {{"plane", std::to_string(made.plane)},
           {"bps", std::to_string(static_cast<std::uint64_t>(made.bps))},
           {"from_unix_s", std::to_string(made.from)},
           {"until_unix_s", std::to_string(made.until)}}};
}

std::optional<std::string> PlaneReserves::to_keep() {
  if (!std::exchange(changed_, false)) return std::nullopt;
  kept::PlaneReserves out;
  for (const auto& [plane, row] : rows_) {
    auto& kept = *out.add_planes();
    kept.set_plane(plane);
    kept.set_slot_s(row.slot_s);
    kept.set_learning(row.learning.value_or(0));
    kept.set_within(row.within);
    write(row.all, *kept.mutable_all());
    write(row.bound, *kept.mutable_bound());
    write(row.now, *kept.mutable_now());
    if (row.next.until != 0) write(row.next, *kept.mutable_next());
  }
  return out.SerializeAsString();
}

void PlaneReserves::load(std::string_view text) {
  kept::PlaneReserves kept;
  if (!kept.ParseFromArray(text.data(), static_cast<int>(text.size()))) return;
  for (const auto& plane : kept.planes()) {
    if (plane.plane() == 0 || plane.plane() > ids::PlaneId::kMax || plane.slot_s() == 0 ||
        86'400 % plane.slot_s() != 0 || !std::isfinite(plane.within()) || plane.within() < 0)
      continue;
    const auto number = static_cast<std::uint8_t>(plane.plane());
    Row row(plane.slot_s());
    row.learning = plane.learning();
    row.within = plane.within();
    row.all = te::Forecast(row.slots_a_day(), state_of(plane.all()));
    row.bound = te::Forecast(row.slots_a_day(), state_of(plane.bound()));
    row.now = reservation_of(number, plane.now());
    row.next = reservation_of(number, plane.next());
    rows_.insert_or_assign(number, std::move(row));
  }
}

}  // namespace qanat::domain
