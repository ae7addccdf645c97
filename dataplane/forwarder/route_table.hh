// RouteTable: one snapshot seen from this box's lines: every way a datagram can leave, resolved to a line, an address
// and a prepared route header; and which of them the prober watches. Rebuilt when the configuration changes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "dataplane/fib/snapshot.hh"
#include "dataplane/packet/route_header.hh"
#include "dataplane/path/prober.hh"

namespace qanat::forwarder {

struct PathChoice;

// One of our own lines, in configuration order.
struct LocalLine {
  ids::PlaneId plane;
  packet::UdpAddress address;
};

// A way to `peer`: an adjacency (line to line), or a candidate path of an SR policy.
struct Route {
  ids::NodeId peer;       // the endpoint
  ids::NodeId first_hop;  // the peer itself, or the list's first relay
  ids::PathId id;
  ids::PathId lane;  // names its sequence spaces: all tiers that go this way share them
  std::uint8_t line = 0;
  packet::UdpAddress to;     // of the first hop
  ids::PlaneId to_plane;     // of the first hop's line there
  std::uint16_t planes = 0;  // that it is known to cross: bit n for plane n
  bool direct = true;
  packet::RouteHeader header;  // of a list: pointer at segment 0
  std::size_t overhead = 0;    // bytes before the inner datagram
  std::uint16_t mtu = 0;       // largest tenant's packet that fits a datagram of this route now
  std::uint32_t probe = 0;     // the prober's path that speaks for it
  std::uint32_t preference = 0;
  std::uint32_t weight = 1;   // of a weighted policy's flows; see fib::SrPolicy
  std::uint64_t packets = 0;  // sent on it
  std::uint64_t bytes = 0;
};

// What two routes to one peer have in common: what one failure could take from both.
enum class Overlap : std::uint8_t {
  None,
  Plane,  // no relay, but a network
  Relay,  // a relay, or everything
};
Overlap overlap(const Route& a, const Route& b);
// Of a way, whatever its numbers are now. Never 0.
std::uint64_t identity(const Route& route);

struct PolicyRoutes {
  ids::NodeId endpoint;
  ids::Tier tier{};
  std::vector<std::uint32_t> routes;  // best first
  // Largest tenant's packet for this endpoint: the least over the routes in use and in reserve (DESIGN §3).
  std::uint16_t inner_mtu = packet::kInnerMtu;
  bool weighted = false;
  std::uint16_t planes = fib::kEveryPlane;  // that it may use
  bool allows(const Route& route) const { return (route.planes & ~planes) == 0; }
};

class RouteTable {
 public:
  RouteTable() = default;
  // Paths that leave by a plane where we, or the first hop, have no line are left out, and those over planes that
  // their policy forbids. An endpoint without a list for a tier gets its direct adjacencies, where the policy allows them.
  RouteTable(const fib::Snapshot& snapshot, std::span<const LocalLine> lines);

  path::ProberConfig prober_config() const;
  // After the prober measured, or chose, anew.
  void refresh_mtu(const PathChoice& choice);
  // What was chosen and known by the table before, of ways that are still there.
  PathChoice carried_over(const RouteTable& before, const PathChoice& choice) const;
  // The list of another box's, as a relay names it, among ours.
  Route* list(std::span<const ids::Sid> segments);
  // kNoPath when there is none.
  std::uint32_t policy(ids::NodeId endpoint, ids::Tier tier) const;
  // The route of a policy that the prober's chosen path stands for.
  Route* route(std::uint32_t policy, std::uint32_t chosen_probe);
  std::span<const std::uint32_t> adjacencies(ids::NodeId peer) const;  // same-plane ones first
  std::span<const std::uint32_t> relayed(ids::NodeId peer) const;      // lists, for relayed handshakes

  std::vector<Route>& routes() { return routes_; }
  const std::vector<Route>& routes() const { return routes_; }
  const std::vector<PolicyRoutes>& policies() const { return policies_; }
  const std::vector<std::uint32_t>& probe_routes() const { return probe_routes_; }

  // How a relay reaches a neighbour: End.X names our plane; End (0) takes the first adjacency that `alive` likes.
  template <class Alive>
  const Route* transit(ids::NodeId next, ids::PlaneId plane, Alive alive) const {
    const Route* fallback = nullptr;
    for (const std::uint32_t r : adjacencies(next)) {
      const Route& route = routes_[r];
      if (plane.value != 0 && lines_[route.line].plane != plane) continue;
      if (plane.value != 0 || alive(route.probe)) return &route;
      if (fallback == nullptr) fallback = &route;
    }
    return fallback;
  }

 private:
  struct PeerRoutes {
    std::vector<std::uint32_t> adjacencies;
    std::vector<std::uint32_t> relayed;
  };
  void add_adjacencies(const fib::Peer& peer);
  void add(PolicyRoutes policy);
  void add_policy(const fib::Snapshot& snapshot, const fib::SrPolicy& policy);
  const Route* first_adjacency(ids::NodeId peer, ids::PlaneId plane) const;
  static std::uint64_t policy_key(ids::NodeId endpoint, ids::Tier tier) {
    return std::uint64_t{endpoint.value} << 8 | static_cast<std::uint8_t>(tier);
  }

  std::vector<LocalLine> lines_;
  std::vector<Route> routes_;
  std::vector<std::uint32_t> probe_routes_;  // prober's path → the route its probes take
  std::vector<PolicyRoutes> policies_;
  std::unordered_map<std::uint64_t, std::uint32_t> policy_index_;
  std::unordered_map<ids::NodeId, PeerRoutes> peers_;
  fib::ProbePlan plan_;
};

}  // namespace qanat::forwarder
