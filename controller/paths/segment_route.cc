#include "controller/paths/segment_route.hh"

namespace qanat::paths {

std::vector<std::uint32_t> segments_of(const Route& route, ids::NodeId endpoint) {
  std::vector<std::uint32_t> segments;
  segments.reserve(route.hops());
  for (std::size_t i = 0; i < route.relay_count; ++i) {
    segments.push_back(ids::Sid::end_x(route.relays[i], route.planes[i + 1]).value);
  }
  segments.push_back(ids::Sid::end(endpoint).value);
  return segments;
}

bool route_of(std::span<const std::uint32_t> segments, std::uint8_t first_plane, ids::NodeId endpoint,
              Route& out) {
  out = Route{};
  if (segments.empty() || segments.size() > kMaxRelays + 1 || first_plane == 0 ||
      first_plane > ids::PlaneId::kMax || segments.back() != ids::Sid::end(endpoint).value) {
    return false;
  }
  out.relay_count = static_cast<std::uint8_t>(segments.size() - 1);
  out.planes[0] = ids::PlaneId{first_plane};
  for (std::size_t i = 0; i < out.relay_count; ++i) {
    const ids::Sid sid{segments[i]};
    if (!sid.valid() || sid.plane().value == 0) return false;
    out.relays[i] = sid.node();
    out.planes[i + 1] = sid.plane();
  }
  return true;
}

}  // namespace qanat::paths
