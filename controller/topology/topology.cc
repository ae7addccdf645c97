#include "controller/topology/topology.hh"

#include <algorithm>
#include <utility>

namespace qanat::topology {

using telemetry::LinkState;

std::uint32_t link_cost_us(std::uint32_t rtt_us, std::uint32_t loss_ppm) {
  constexpr std::uint64_t kLeastTimeoutUs = 200'000;
  if (loss_ppm >= 500'000) return kUnreachable;
  const std::uint64_t delivered_ppm = 1'000'000 - loss_ppm;
  const std::uint64_t penalty = (loss_ppm * (rtt_us + kLeastTimeoutUs) + delivered_ppm - 1) / delivered_ppm;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rtt_us + penalty, kUnreachable - 1));
}

Topology::Topology(std::vector<Node> nodes, std::span<const telemetry::Link> links)
    : nodes_(std::move(nodes)) {
  std::sort(nodes_.begin(), nodes_.end(), [](const Node& a, const Node& b) { return a.id < b.id; });
  const std::size_t n = nodes_.size();
  for (Index i = 0; i < n; ++i) {
    if (nodes_[i].relay) relays_.push_back(i);
  }
  std::vector<std::pair<std::size_t, PlaneLink>> found;
  found.reserve(links.size());
  for (const telemetry::Link& link : links) {
    if (link.key.from_plane != link.key.to_plane || link.state == LinkState::Unknown) continue;
    const auto from = index_of(link.key.from), to = index_of(link.key.to);
    if (!from || !to || *from == *to) continue;
    PlaneLink out{.plane = link.key.from_plane, .state = link.state};
    if (out.state == LinkState::Usable) out.cost_us = link_cost_us(link.rtt_us, link.loss_ppm);
    if (out.cost_us == kUnreachable) out.state = LinkState::Dead;
    found.emplace_back(*from * n + *to, out);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first, a.second.plane) < std::pair(b.first, b.second.plane);
  });
  offsets_.resize(n * n + 1);
  best_.resize(n * n);
  links_.reserve(found.size());
  std::size_t next = 0;
  for (std::size_t pair = 0; pair < n * n; ++pair) {
    offsets_[pair] = static_cast<std::uint32_t>(links_.size());
    const PlaneLink* best = nullptr;
    for (; next < found.size() && found[next].first == pair; ++next) {
      links_.push_back(found[next].second);  // reserved above: pointers stay
      if (links_.back().state != LinkState::Usable) continue;
      if (best == nullptr || links_.back().cost_us < best->cost_us) best = &links_.back();
    }
    best_[pair] = best;
  }
  offsets_[n * n] = static_cast<std::uint32_t>(links_.size());
}

std::optional<Index> Topology::index_of(ids::NodeId id) const {
  const auto at = std::lower_bound(nodes_.begin(), nodes_.end(), id,
                                   [](const Node& a, ids::NodeId b) { return a.id < b; });
  if (at == nodes_.end() || at->id != id) return std::nullopt;
  return static_cast<Index>(at - nodes_.begin());
}

std::span<const PlaneLink> Topology::links(Index from, Index to) const {
  const std::size_t pair = from * nodes_.size() + to;
  return std::span(links_).subspan(offsets_[pair], offsets_[pair + 1] - offsets_[pair]);
}

const PlaneLink* Topology::best(Index from, Index to) const { return best_[from * nodes_.size() + to]; }

PlaneLink Topology::link(Index from, Index to, ids::PlaneId plane) const {
  for (const PlaneLink& link : links(from, to)) {
    if (link.plane == plane) return link;
  }
  return PlaneLink{.plane = plane};
}

}  // namespace qanat::topology
