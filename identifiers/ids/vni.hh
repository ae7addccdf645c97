// Vni: a tenant's 24-bit virtual network, sealed end to end with every packet. PathId: a path's number at its headend.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace qanat::ids {

// 1 … 2^24−1; 0 is the overlay's own (probes, control). Text form: decimal.
struct Vni {
  std::uint32_t value = 0;
  static constexpr std::uint32_t kMax = 0xffffff;
  constexpr auto operator<=>(const Vni&) const = default;
};

// Unique at one headend while its configuration epoch lasts; names a list in probes, telemetry and `path show`.
struct PathId {
  std::uint32_t value = 0;
  constexpr auto operator<=>(const PathId&) const = default;
};

}  // namespace qanat::ids

template <>
struct std::hash<qanat::ids::Vni> {
  std::size_t operator()(qanat::ids::Vni v) const noexcept { return v.value; }
};
template <>
struct std::hash<qanat::ids::PathId> {
  std::size_t operator()(qanat::ids::PathId p) const noexcept { return p.value; }
};
