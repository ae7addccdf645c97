#include "tools/sim/judge.hh"

#include <algorithm>

namespace qanat::sim {

namespace {
constexpr std::uint32_t kNobody = 0xffffffff;
}

std::optional<std::uint32_t> Judge::box_of(ids::NodeId id) const {
  if (box_of_.empty()) {
    for (std::uint32_t i = 0; i < world_.boxes.size(); ++i) {
      if (world_.boxes[i] == nullptr) continue;
      const std::uint32_t node = world_.boxes[i]->node_id();
      if (node >= box_of_.size()) box_of_.resize(node + 1, kNobody);
      box_of_[node] = i;
    }
  }
  if (id.value >= box_of_.size() || box_of_[id.value] == kNobody) return std::nullopt;
  return box_of_[id.value];
}

bool Judge::box_well(std::uint32_t box, base::Time since) const {
  return world_.boxes[box] != nullptr && world_.boxes[box]->up() && faults_.box_hit(box) <= since;
}

bool Judge::link_well(std::uint32_t from, std::uint32_t to, std::uint8_t plane, base::Time since) const {
  const Wire* there = world_.wire(from, to, plane);
  const Wire* back = world_.wire(to, from, plane);
  for (const Wire* wire : {there, back})
    if (wire == nullptr || !wire->clean() || wire->since() > since) return false;
  return true;
}

std::optional<std::vector<std::uint32_t>> Judge::good_way(const Leg& leg, base::Time since) const {
  const Box& from = *world_.boxes[leg.from];
  if (!box_well(leg.from, since) || !box_well(leg.to, since) || !from.held() || !world_.boxes[leg.to]->held())
    return std::nullopt;
  const auto& snapshot = *from.held()->snapshot;
  const ids::NodeId endpoint{world_.boxes[leg.to]->node_id()};
  if (snapshot.peer(endpoint) == nullptr || snapshot.tenant(ids::Vni{leg.vni}) == nullptr ||
      world_.boxes[leg.to]->held()->snapshot->tenant(ids::Vni{leg.vni}) == nullptr)
    return std::nullopt;
  const auto* policy = snapshot.policy(endpoint, leg.tier);
  if (policy == nullptr) {
    for (const auto& line : from.identity().lines)
      if (link_well(leg.from, leg.to, line.plane.value, since)) return std::vector{leg.from, leg.to};
    return std::nullopt;
  }
  for (const auto& path : policy->paths) {
    std::vector<std::uint32_t> way{leg.from};
    std::uint8_t plane = path.first_plane.value;
    bool well = true;
    for (const ids::Sid sid : path.list()) {
      const auto next = box_of(sid.node());
      well = next && box_well(*next, since) && link_well(way.back(), *next, plane, since);
      if (!well) break;
      way.push_back(*next);
      plane = sid.plane().value;
    }
    if (well) return way;
  }
  return std::nullopt;
}

std::optional<Violation> Judge::look(base::Time now) const {
  for (std::uint32_t i = 0; i < world_.boxes.size(); ++i)
    if (const std::uint64_t count = out_of_hops(i); count != 0)
      return Violation{now,
                       "hop_limit",
                       std::to_string(count) + " datagrams ran out of hops at " + world_.names[i] +
                           ": they went in circles",
                       {i}};
  const base::Time since = now - convergence_;
  for (std::uint32_t i = 0; i < world_.legs.size(); ++i) {
    const Leg& leg = world_.legs[i];
    // The first packets of a leg have a session to wait for.
    if (leg.begin > since || leg.end <= now || leg.sent == 0 || leg.last_received > since) continue;
    if (now - leg.last_sent > convergence_) continue;
    auto way = good_way(leg, since);
    if (!way) continue;
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - std::max(leg.last_received, leg.begin));
    std::string text = "nothing from " + world_.names[leg.from] + " reaches " + world_.names[leg.to] +
                       " (vni " + std::to_string(leg.vni) + ", " + std::string(ids::to_string(leg.tier)) +
                       ") for " + std::to_string(ms.count()) + " ms, though the way";
    for (const std::uint32_t node : *way) text += " " + world_.names[node];
    return Violation{now, "convergence", text + " has been well all the time", std::move(*way)};
  }
  return std::nullopt;
}

std::uint64_t Judge::out_of_hops(std::uint32_t box) const {
  const Box* at = world_.boxes[box].get();
  return at != nullptr && at->up() ? at->forwarder()->drops()[packet::DropReason::HopLimit] : 0;
}

}  // namespace qanat::sim
