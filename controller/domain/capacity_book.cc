#include "controller/domain/capacity_book.hh"

#include <algorithm>

namespace qanat::domain {

CapacityBook::Key CapacityBook::line(Kind kind, ids::NodeId node, ids::PlaneId plane) {
  Key key{.kind = kind, .node = node};
  key.route.planes[0] = plane;
  return key;
}

void CapacityBook::set(const Key& key, double capacity) {
  if (capacity > 0)
    known_[key] = {capacity};
  else
    known_.erase(key);
}

void CapacityBook::measured(ids::NodeId headend, ids::NodeId endpoint, const paths::Route& route, double bps,
                            base::Time now) {
  known_[{Kind::Way, headend, endpoint, route}] = {bps, now + kWayLives};
}

void CapacityBook::forget(ids::NodeId node) {
  std::erase_if(known_, [node](const auto& k) {
    const auto relays = k.first.route.relay_list();
    return k.first.node == node || k.first.endpoint == node ||
           std::find(relays.begin(), relays.end(), node) != relays.end();
  });
}

std::vector<std::pair<CapacityBook::Key, double>> CapacityBook::all() const {
  std::vector<std::pair<Key, double>> out;
  out.reserve(known_.size());
  for (const auto& [key, known] : known_) out.emplace_back(key, known.capacity);
  return out;
}

void CapacityBook::expire(base::Time now) {
  std::erase_if(known_, [now](const auto& k) { return k.second.until <= now; });
}

std::vector<CapacityBook::Key> CapacityBook::used_by(ids::NodeId headend, ids::NodeId endpoint,
                                                     const paths::Route& route) const {
  std::vector<Key> out;
  const auto add = [&](const Key& key) {
    if (known_.contains(key) && std::find(out.begin(), out.end(), key) == out.end()) out.push_back(key);
  };
  for (std::size_t hop = 0; hop < route.hops(); ++hop) {
    const ids::NodeId from = hop == 0 ? headend : route.relays[hop - 1];
    const ids::NodeId to = hop + 1 == route.hops() ? endpoint : route.relays[hop];
    add(line(Kind::Line, from, route.planes[hop]));
    add(line(Kind::LineIn, to, route.planes[hop]));
    paths::Route direct;
    direct.planes[0] = route.planes[hop];
    add({Kind::Way, from, to, direct});
    if (hop > 0) add(relay_of(from));
    if (reserved(route.planes[hop])) add(plane(route.planes[hop]));
  }
  add({Kind::Way, headend, endpoint, route});
  return out;
}

}  // namespace qanat::domain
