// Objective: what a tier asks of its ways: what prunes one, and what ranks those that are left.
#pragma once

#include <array>
#include <cstdint>

#include "controller/paths/min_plus.hh"
#include "controller/topology/topology.hh"

namespace qanat::paths {

// Each relay adds its own work to a round trip: two passes of about 100 µs.
inline constexpr std::uint32_t kRelayCostUs = 200;

struct Objective {
  // ---- ranks: a link's cost in µs is its round trip and … ----
  std::uint32_t loss_weight = 1;    // times its loss as delay (topology::link_cost_us)
  std::uint32_t jitter_weight = 0;  // times its jitter
  std::array<std::uint32_t, ids::PlaneId::kMax + 1> toll_us{};  // what its plane's price is worth, by plane
  std::uint32_t relay_us = kRelayCostUs;                        // a relay's; at least 1

  // ---- prunes; 0: no limit ----
  // Over the whole way. Round trips and jitter add up; losses are added too, which never makes a way better than it is.
  std::uint32_t most_rtt_us = 0;
  std::uint32_t most_loss_ppm = 0;
  std::uint32_t most_jitter_us = 0;
  std::uint16_t planes = 0xffff;  // bit p: plane p may be used
  std::uint64_t zones = ~0ull;    // bit z: relays in residency zone z may be used

  bool limited() const { return (most_rtt_us | most_loss_ppm | most_jitter_us) != 0; }
  // kNoWay for a link that no way may use.
  std::uint32_t cost(const topology::PlaneLink& link) const {
    if (link.state != telemetry::LinkState::Usable || (planes >> link.plane.value & 1) == 0) return kNoWay;
    if ((most_rtt_us != 0 && link.rtt_us > most_rtt_us) ||
        (most_loss_ppm != 0 && link.loss_ppm > most_loss_ppm) ||
        (most_jitter_us != 0 && link.jitter_us > most_jitter_us))
      return kNoWay;
    const std::uint64_t sum = std::uint64_t{link.rtt_us} +
                              std::uint64_t{loss_weight} * (link.cost_us - link.rtt_us) +
                              std::uint64_t{jitter_weight} * link.jitter_us + toll_us[link.plane.value];
    return sum < kNoWay ? static_cast<std::uint32_t>(sum) : kNoWay;
  }
  bool allows(const topology::Node& relay) const {
    return relay.relay && (zones >> (relay.zone & 63) & 1) != 0;
  }
  bool operator==(const Objective&) const = default;
};

// What a tier may travel over at all.
struct Allowed {
  std::uint16_t planes = 0xffff;  // bit p: plane p
  std::uint64_t zones = ~0ull;    // bit z: relays in residency zone z
  bool everything() const { return *this == Allowed{}; }
  // The objective's ranks and limits, and these.
  Objective of(Objective objective) const {
    objective.planes &= planes;
    objective.zones &= zones;
    return objective;
  }
  bool operator==(const Allowed&) const = default;
};

// What a way adds up to, beside its cost.
struct Sums {
  std::uint64_t rtt_us = 0;
  std::uint64_t loss_ppm = 0;
  std::uint64_t jitter_us = 0;
  void add(const topology::PlaneLink& link) {
    rtt_us += link.rtt_us;
    loss_ppm += link.loss_ppm;
    jitter_us += link.jitter_us;
  }
  void add(const Sums& other) {
    rtt_us += other.rtt_us;
    loss_ppm += other.loss_ppm;
    jitter_us += other.jitter_us;
  }
  bool meets(const Objective& o) const {
    return (o.most_rtt_us == 0 || rtt_us <= o.most_rtt_us) &&
           (o.most_loss_ppm == 0 || loss_ppm <= o.most_loss_ppm) &&
           (o.most_jitter_us == 0 || jitter_us <= o.most_jitter_us);
  }
};

}  // namespace qanat::paths
