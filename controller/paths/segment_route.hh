// Route: a way from one node to another over at most two relays, as path computation sees it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::paths {

inline constexpr std::size_t kMaxRelays = 2;
inline constexpr std::size_t kMaxLists = 4;

// planes[0] is the line the headend sends on, planes[i] the line relay i−1 sends on.
struct Route {
  std::uint8_t relay_count = 0;
  std::array<ids::NodeId, kMaxRelays> relays{};
  std::array<ids::PlaneId, kMaxRelays + 1> planes{};

  std::size_t hops() const { return relay_count + 1u; }
  std::span<const ids::NodeId> relay_list() const { return {relays.data(), relay_count}; }
  // Fewer relays first, then by relays, then by planes: how ties of cost are broken.
  auto operator<=>(const Route&) const = default;
};

// A route and the cost it was chosen at; an ordered vector of them is what a policy becomes: the first is used, the
// others are its backups.
struct Choice {
  Route route;
  std::uint32_t cost_us = 0;
  bool operator==(const Choice&) const = default;
};
using Choices = std::vector<Choice>;

// End.X of each relay over the plane it sends on, then End of the endpoint (wire.md §5).
std::vector<std::uint32_t> segments_of(const Route& route, ids::NodeId endpoint);
// The way back from a list; false when it is none of ours (too long, a relay without a plane, another endpoint).
bool route_of(std::span<const std::uint32_t> segments, std::uint8_t first_plane, ids::NodeId endpoint,
              Route& out);

}  // namespace qanat::paths
