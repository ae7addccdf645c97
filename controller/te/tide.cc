#include "controller/te/tide.hh"

#include <algorithm>
#include <cmath>

namespace qanat::te {
namespace {

// The quantile of a normal distribution, by bisection on erfc.
double normal_quantile(double share) {
  double low = -6, high = 6;
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
  }
  return low;
}

}  // namespace

Tide::Tide(std::span<const Tenant> tenants, Tariff tariff, std::size_t slots_a_day)
    : tenants_(tenants.begin(), tenants.end()), tariff_(tariff), forecast_(slots_a_day) {}

// A unit more is worth it as long as it is used with probability private / internet: the newsvendor's quantile.
double Tide::reserve() const {
  double committed = 0;
  for (const Tenant& t : tenants_) committed += t.committed;
  const auto expected = forecast_.expect(1);
  double wanted = forecast_.observed() == 0 ? committed : expected.mean;
  if (tariff_.internet_slot > tariff_.private_slot)
    wanted += expected.deviation * normal_quantile(1 - tariff_.private_slot / tariff_.internet_slot);
  else
    wanted = 0;  // paying by use is cheaper: nothing is reserved …
  // … but never less than the Internet plane could not take of what is committed.
  wanted = std::max(wanted, committed - tariff_.internet_most);
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

}  // namespace qanat::te
