#include "dataplane/forwarder/route_table.hh"

#include <algorithm>

#include "dataplane/forwarder/message.hh"

namespace qanat::forwarder {

RouteTable::RouteTable(const fib::Snapshot& snapshot, std::span<const LocalLine> lines)
    : lines_(lines.begin(), lines.end()), plan_(snapshot.probe_plan()) {
  for (const fib::Peer& peer : snapshot.peers())
    if (peer.id != snapshot.self()) add_adjacencies(peer);
  for (const fib::SrPolicy& policy : snapshot.policies()) add_policy(snapshot, policy);
  for (const auto& [id, routes] : peers_)
    for (const ids::Tier tier : ids::kTiers)
      if (!policy_index_.contains(policy_key(id, tier)) && !routes.adjacencies.empty())
        add({id, tier, routes.adjacencies});
}

void RouteTable::add(PolicyRoutes policy) {
  policy_index_[policy_key(policy.endpoint, policy.tier)] = static_cast<std::uint32_t>(policies_.size());
  policies_.push_back(std::move(policy));
}

Overlap overlap(const Route& a, const Route& b) {
  if (a.probe == b.probe) return Overlap::Relay;
  if (!a.direct && !b.direct)
    for (const ids::Sid one : a.header.list().first(a.header.count - 1u))
      for (const ids::Sid other : b.header.list().first(b.header.count - 1u))
        if (one.node() == other.node()) return Overlap::Relay;
  return (a.planes & b.planes) != 0 ? Overlap::Plane : Overlap::None;
}

namespace {
std::uint16_t plane_bit(ids::PlaneId plane) { return static_cast<std::uint16_t>(1u << plane.value); }
}  // namespace

void RouteTable::add_adjacencies(const fib::Peer& peer) {
  PeerRoutes& mine = peers_[peer.id];
  for (const bool same_plane : {true, false})
    for (std::uint8_t l = 0; l < lines_.size(); ++l)
      for (const fib::Line& remote : peer.lines) {
        if ((remote.plane == lines_[l].plane) != same_plane) continue;
        if (remote.address.address.family != lines_[l].address.address.family) continue;
        Route route;
        route.peer = route.first_hop = peer.id;
        route.id = packet::direct_path_id(lines_[l].plane, remote.plane);
        route.line = l;
        route.to = remote.address;
        route.to_plane = remote.plane;
        route.lane = route.id;
        route.planes = plane_bit(lines_[l].plane) | plane_bit(remote.plane);
        route.probe = static_cast<std::uint32_t>(probe_routes_.size());
        probe_routes_.push_back(static_cast<std::uint32_t>(routes_.size()));
        mine.adjacencies.push_back(static_cast<std::uint32_t>(routes_.size()));
        routes_.push_back(route);
      }
}

const Route* RouteTable::first_adjacency(ids::NodeId peer, ids::PlaneId plane) const {
  for (const std::uint32_t r : adjacencies(peer))
    if (plane.value == 0 || lines_[routes_[r].line].plane == plane) return &routes_[r];
  return nullptr;
}

void RouteTable::add_policy(const fib::Snapshot& snapshot, const fib::SrPolicy& policy) {
  PolicyRoutes out{policy.endpoint, policy.tier, {}};
  // `critical` goes by its best way and a second one, whatever the load.
  out.weighted = policy.tier != ids::Tier::Critical && policy.weighted();
  out.planes = policy.planes;
  for (const fib::CandidatePath& path : policy.paths) {
    const Route* first = first_adjacency(path.first_hop(), path.first_plane);
    if (first == nullptr) continue;
    Route route;
    route.peer = policy.endpoint;
    route.first_hop = path.first_hop();
    route.id = path.id;
    route.line = first->line;
    route.to = first->to;
    route.to_plane = first->to_plane;
    route.planes = first->planes;
    // What plain End will take is its relay's choice.
    for (const ids::Sid sid : path.list())
      if (sid.plane().value != 0) route.planes |= plane_bit(sid.plane());
    if (!out.allows(route)) continue;
    route.direct = path.direct();
    route.preference = path.preference;
    route.weight = path.weight;
    const auto index = static_cast<std::uint32_t>(routes_.size());
    if (route.direct) {
      route.probe = first->probe;
      route.lane = first->lane;
    } else {
      auto& header = route.header;
      header.tier = policy.tier;
      header.count = path.count;
      header.headend = snapshot.self();
      header.expiry_unix_s = path.expiry_unix_s;
      header.token_epoch = path.token_epoch;
      header.segments = path.segments;
      header.tokens = path.tokens;
      route.overhead = packet::routed_overhead_bytes(path.count);
      // Tiers that share a list share its probes: the tokens differ, the way does not.
      auto& relayed = peers_[policy.endpoint].relayed;
      const auto same = std::find_if(relayed.begin(), relayed.end(), [&](std::uint32_t r) {
        return routes_[r].line == route.line && routes_[r].header.segments == header.segments;
      });
      if (same != relayed.end()) {
        route.probe = routes_[*same].probe;
        route.lane = routes_[*same].lane;
      } else {
        route.probe = static_cast<std::uint32_t>(probe_routes_.size());
        route.lane = route.id;
        probe_routes_.push_back(index);
        relayed.push_back(index);
      }
    }
    routes_.push_back(route);
    out.routes.push_back(index);
  }
  if (out.routes.empty() && out.planes != fib::kEveryPlane)
    for (const std::uint32_t r : adjacencies(policy.endpoint))
      if (out.allows(routes_[r])) out.routes.push_back(r);
  if (!out.routes.empty() || out.planes != fib::kEveryPlane) add(std::move(out));
}

// A list is the same way while its line and segments are the same: the controller may number it anew.
std::uint64_t identity(const Route& route) {
  if (route.direct) return std::uint64_t{route.peer.value} << 32 | route.id.value;
  std::uint64_t hash = route.line;
  for (const ids::Sid sid : route.header.list())
    hash = (hash ^ sid.value) * 0x9e3779b97f4a7c15ULL + (hash >> 29);
  return hash | std::uint64_t{1} << 63;
}

path::ProberConfig RouteTable::prober_config() const {
  path::ProberConfig config;
  config.active_interval = plan_.active_interval;
  config.mesh_interval = plan_.mesh_interval;
  for (const std::uint32_t r : probe_routes_)
    config.paths.push_back({routes_[r].peer, routes_[r].id, identity(routes_[r]),
                            routes_[r].to.address.family == packet::IpFamily::V4 ? path::kLargestDatagram4
                                                                                 : path::kLargestDatagram6});
  for (const PolicyRoutes& p : policies_) {
    path::PolicyConfig policy{p.endpoint, p.tier, {}};
    for (const std::uint32_t r : p.routes) policy.paths.push_back(routes_[r].probe);
    config.policies.push_back(std::move(policy));
  }
  return config;
}

void RouteTable::refresh_mtu(const PathChoice& choice) {
  for (Route& route : routes_)
    route.mtu = static_cast<std::uint16_t>(std::min(
        packet::kInnerMtu, choice.paths[route.probe].mtu - route.overhead - packet::kSealedOverheadBytes));
  for (std::size_t i = 0; i < policies_.size(); ++i) {
    PolicyRoutes& policy = policies_[i];
    const std::uint32_t chosen = choice.chosen[i];
    std::uint16_t least = packet::kInnerMtu;
    // A backup counts once it is alive and measured: one that nobody reached yet must not narrow the rest.
    for (const std::uint32_t r : policy.routes)
      if (const Route& route = routes_[r];
          route.probe == chosen || (choice.paths[route.probe].usable && choice.paths[route.probe].mtu_known))
        least = std::min(least, route.mtu);
    policy.inner_mtu = least;
  }
}

PathChoice RouteTable::carried_over(const RouteTable& before, const PathChoice& choice) const {
  PathChoice out;
  out.chosen.assign(policies_.size(), path::kNoPath);
  out.paths.assign(probe_routes_.size(), {});
  std::unordered_map<std::uint64_t, std::uint32_t> now;  // a way → the prober's path
  for (std::uint32_t probe = 0; probe < probe_routes_.size(); ++probe)
    now[identity(routes_[probe_routes_[probe]])] = probe;
  const auto still = [&](std::uint32_t probe) {
    if (probe >= before.probe_routes_.size()) return path::kNoPath;
    const auto at = now.find(identity(before.routes_[before.probe_routes_[probe]]));
    return at == now.end() ? path::kNoPath : at->second;
  };
  for (std::uint32_t probe = 0; probe < choice.paths.size(); ++probe)
    if (const std::uint32_t here = still(probe); here != path::kNoPath) out.paths[here] = choice.paths[probe];
  for (std::uint32_t i = 0; i < policies_.size(); ++i) {
    const std::uint32_t old = before.policy(policies_[i].endpoint, policies_[i].tier);
    if (old >= choice.chosen.size()) continue;
    const std::uint32_t here = still(choice.chosen[old]);
    if (here == path::kNoPath) continue;
    for (const std::uint32_t r : policies_[i].routes)
      if (routes_[r].probe == here) out.chosen[i] = here;
  }
  return out;
}

Route* RouteTable::list(std::span<const ids::Sid> segments) {
  for (Route& route : routes_)
    if (!route.direct && std::ranges::equal(route.header.list(), segments)) return &route;
  return nullptr;
}

std::uint32_t RouteTable::policy(ids::NodeId endpoint, ids::Tier tier) const {
  const auto it = policy_index_.find(policy_key(endpoint, tier));
  return it == policy_index_.end() ? path::kNoPath : it->second;
}

Route* RouteTable::route(std::uint32_t policy, std::uint32_t chosen_probe) {
  for (const std::uint32_t r : policies_[policy].routes)
    if (routes_[r].probe == chosen_probe) return &routes_[r];
  return nullptr;
}

std::span<const std::uint32_t> RouteTable::adjacencies(ids::NodeId peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? std::span<const std::uint32_t>{} : it->second.adjacencies;
}

std::span<const std::uint32_t> RouteTable::relayed(ids::NodeId peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? std::span<const std::uint32_t>{} : it->second.relayed;
}

}  // namespace qanat::forwarder
