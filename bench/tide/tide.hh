// Tide: a day of elastic bandwidth that all tenants share over two planes, on paper. The private plane is reserved a slot
// ahead and paid for whether used or not (te::worth_reserving); the Internet plane takes what exceeds it and is paid by use.
// Every tenant's committed rate is carried always; up to its burst rate while there is room. What can wait goes into slots
// where the reservation is not used up.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "controller/te/reservation.hh"

namespace qanat::bench {

struct Tariff {
  double private_slot = 1;     // of a unit of rate reserved over a slot
  double internet_slot = 2;    // of a unit of rate carried over a slot
  double private_most = 1e12;  // what there is
  double internet_most = 1e12;
};

struct Tenant {
  double committed = 0;  // a rate that is never refused
  double burst = 0;      // and one that is carried while there is room; at least committed
};

// Work that may wait: so much volume (rate × slots) until a slot; it runs off-peak.
struct Deferred {
  double volume = 0;
  std::size_t deadline = 0;  // the last slot it may be carried in
};

struct Slot {
  double reserved = 0;
  double over_private = 0;
  double over_internet = 0;
  double deferred = 0;  // of the two: work that waited
  double cost = 0;
  double missed = 0;   // demand within its tenants' rates, or volume at its deadline, that was not carried
  double refused = 0;  // demand beyond its tenants' burst rates or what there is
};

class Tide {
 public:
  Tide(std::span<const Tenant> tenants, Tariff tariff, std::size_t slots_a_day);

  // Of the private plane, for the next slot. What is committed and the Internet plane cannot take is reserved always.
  double reserve() const;
  // A slot goes by: what each tenant demands, and deferred work that arrived. Reserves with reserve() first.
  Slot pass(std::span<const double> demands, const std::vector<Deferred>& arrived = {});
  // The same with a reservation from elsewhere, for comparison.
  Slot pass_reserved(double reserved, std::span<const double> demands,
                     const std::vector<Deferred>& arrived = {});

 private:
  std::vector<Tenant> tenants_;
  Tariff tariff_;
  te::Forecast forecast_;  // of the sum: tenants' peaks seldom meet
  std::vector<Deferred> waiting_;
  std::size_t slot_ = 0;
};

}  // namespace qanat::bench
