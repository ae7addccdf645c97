#include "bench/tide/tide.hh"

#include <algorithm>

namespace qanat::bench {

Tide::Tide(std::span<const Tenant> tenants, Tariff tariff, std::size_t slots_a_day)
    : tenants_(tenants.begin(), tenants.end()), tariff_(tariff), forecast_(slots_a_day) {}

double Tide::reserve() const {
  double committed = 0;
  for (const Tenant& t : tenants_) committed += t.committed;
  const auto expected =
      forecast_.observed() == 0 ? te::Forecast::Expected{committed, 0} : forecast_.expect(1);
  const double wanted = std::max(
      te::worth_reserving(expected, {.reserved = tariff_.private_slot, .used = tariff_.internet_slot}),
      committed - tariff_.internet_most);
  double due = 0;
  for (const Deferred& d : waiting_)
    due += d.volume /
           static_cast<double>(std::max<std::size_t>(d.deadline + 1 - std::min(slot_, d.deadline), 1));
  return std::clamp(wanted + due, 0.0, tariff_.private_most);
}

Slot Tide::pass(std::span<const double> demands, const std::vector<Deferred>& arrived) {
  return pass_reserved(reserve(), demands, arrived);
}

Slot Tide::pass_reserved(double reserved, std::span<const double> demands,
                         const std::vector<Deferred>& arrived) {
  Slot out;
  out.reserved = reserved;
  double committed = 0, burst = 0;
  for (std::size_t t = 0; t < tenants_.size(); ++t) {
    const double own = std::min(demands[t], tenants_[t].committed);
    committed += own;
    burst += std::min(demands[t], std::max(tenants_[t].burst, tenants_[t].committed)) - own;
    out.refused += std::max(0.0, demands[t] - std::max(tenants_[t].burst, tenants_[t].committed));
  }
  forecast_.observe(committed + burst);
  waiting_.insert(waiting_.end(), arrived.begin(), arrived.end());

  double private_room = reserved, internet_room = tariff_.internet_most;
  const auto carry = [&](double amount, bool internet_too) {
    const double over_private = std::min(amount, private_room);
    const double over_internet = internet_too ? std::min(amount - over_private, internet_room) : 0;
    private_room -= over_private;
    internet_room -= over_internet;
    out.over_private += over_private;
    out.over_internet += over_internet;
    return over_private + over_internet;
  };
  out.missed += committed - carry(committed, true);
  out.refused += burst - carry(burst, true);  // a burst is carried while there is room, no longer
  // What waits: the nearest deadline first, over what is reserved anyway; over the Internet only when it cannot wait.
  std::stable_sort(waiting_.begin(), waiting_.end(),
                   [](const Deferred& a, const Deferred& b) { return a.deadline < b.deadline; });
  for (Deferred& d : waiting_) {
    const double carried = carry(d.volume, d.deadline <= slot_);
    d.volume -= carried;
    out.deferred += carried;
    if (d.deadline <= slot_) out.missed += d.volume;
  }
  std::erase_if(waiting_, [this](const Deferred& d) { return d.volume <= 1e-12 || d.deadline <= slot_; });
  out.cost = reserved * tariff_.private_slot + out.over_internet * tariff_.internet_slot;
  ++slot_;
  return out;
}

}  // namespace qanat::bench
