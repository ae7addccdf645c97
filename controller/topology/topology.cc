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

Topology::Topology(std::vector<Node> nodes, std::span<const telemetry::Link> links,
                   std::span<const LineRisk> lines)
    : nodes_(std::move(nodes)) {
  std::sort(nodes_.begin(), nodes_.end(),
            [](const Node& a, const Node& b) { return a.relay != b.relay ? a.relay : a.id < b.id; });
  const std::size_t n = nodes_.size();
  for (Index i = 0; i < n; ++i) {
    if (nodes_[i].relay) relays_.push_back(i);
  }
  std::uint32_t seen = 0;
  for (const telemetry::Link& link : links) {
    if (link.key.from_plane == link.key.to_plane) seen |= 1u << (link.key.from_plane.value & 31);
  }
  for (std::uint8_t plane = 1; plane <= ids::PlaneId::kMax; ++plane) {
    if (seen >> plane & 1) planes_.push_back(ids::PlaneId{plane});
  }
  set_lines(lines, links);
  // 1. Which blocks there are, so that they lie in the order of their headends.
  block_.resize(n * blocks());
  for (const telemetry::Link& link : links) {
    const auto from = index_of(link.key.from), to = index_of(link.key.to);
    if (from && to) block_[*from * blocks() + *to / kBlock] = 1;
  }
  std::uint32_t made = 1;
  for (std::uint32_t& block : block_)
    if (block != 0) block = made++;
  make_blocks(made);
  // 2. What is in them.
  for (const telemetry::Link& link : links) set(link);
}

// As many as there are to be, the empty one too.
void Topology::make_blocks(std::size_t count) {
  const std::size_t before = links_.size();
  links_.resize(count * kBlock * planes_.size());
  for (std::size_t at = before; at < links_.size(); ++at) links_[at].plane = planes_[at % planes_.size()];
}

std::size_t Topology::link_bytes() const {
  return links_.size() * sizeof(PlaneLink) + block_.size() * sizeof(std::uint32_t);
}

void Topology::set_lines(std::span<const LineRisk> lines, std::span<const telemetry::Link> links) {
  if (planes_.size() < 2) {
    for (const LineRisk& of : lines)
      if (const auto node = index_of(of.node); node && !planes_.empty() && of.plane == planes_[0])
        nodes_[*node].risk |= of.risk;
    return;
  }
  for (const LineRisk& of : lines) {
    const auto node = index_of(of.node);
    if (!node || of.risk == 0 || of.plane.value >= kLines) continue;
    if (lines_.empty()) {
      lines_.resize(nodes_.size() * kLines);
      has_.assign(nodes_.size(), 0xffff);
    }
    lines_[*node * kLines + of.plane.value].as_relay |= of.risk;
    has_[*node] = 0;
  }
  if (lines_.empty()) return;
  for (const telemetry::Link& link : links) {
    if (link.state == LinkState::Unknown || link.key.from_plane != link.key.to_plane) continue;
    for (const ids::NodeId end : {link.key.from, link.key.to})
      if (const auto node = index_of(end))
        has_[*node] |= static_cast<std::uint16_t>(1u << (link.key.from_plane.value & 15));
  }
  for (Index node = 0; node < nodes_.size(); ++node) {
    Line* const of = lines_.data() + node * kLines;
    std::uint32_t by_all = ~0u;
    for (const ids::PlaneId plane : planes_)
      if (has_line(node, plane)) by_all &= of[plane.value].as_relay;
    for (const ids::PlaneId plane : planes_) of[plane.value].as_end = of[plane.value].as_relay & ~by_all;
  }
}

std::optional<Index> Topology::index_of(ids::NodeId id) const {
  const auto others = nodes_.begin() + static_cast<std::ptrdiff_t>(relays_.size());
  const auto within = [&](auto first, auto last) -> std::optional<Index> {
    const auto at = std::lower_bound(first, last, id, [](const Node& a, ids::NodeId b) { return a.id < b; });
    if (at == last || at->id != id) return std::nullopt;
    return static_cast<Index>(at - nodes_.begin());
  };
  const auto relay = within(nodes_.begin(), others);
  return relay ? relay : within(others, nodes_.end());
}

PlaneLink Topology::link(Index from, Index to, ids::PlaneId plane) const {
  for (const PlaneLink& link : links(from, to)) {
    if (link.plane == plane) return link;
  }
  return PlaneLink{.plane = plane};
}

Topology::Change Topology::set(const telemetry::Link& link) {
  if (link.key.from_plane != link.key.to_plane) return Change::Same;
  const auto from = index_of(link.key.from), to = index_of(link.key.to);
  if (!from || !to || *from == *to) return Change::Same;
  const auto plane = std::lower_bound(planes_.begin(), planes_.end(), link.key.from_plane);
  if (plane == planes_.end() || *plane != link.key.from_plane) {
    return link.state == LinkState::Unknown ? Change::Same : Change::NewPlane;
  }
  if (lines_share() && link.state != LinkState::Unknown &&
      !(has_line(*from, *plane) && has_line(*to, *plane)))
    return Change::NewPlane;
  PlaneLink now{.plane = *plane, .state = link.state};
  if (now.state == LinkState::Usable) {
    now.cost_us = link_cost_us(link.rtt_us, link.loss_ppm);
    now.rtt_us = link.rtt_us;
    now.loss_ppm = link.loss_ppm;
    now.jitter_us = link.jitter_us;
    if (now.cost_us == kUnreachable) now = {.plane = *plane, .state = LinkState::Dead};
  }
  std::uint32_t& block = block_[*from * blocks() + *to / kBlock];
  if (block == 0) {
    if (now.state == LinkState::Unknown) return Change::Same;
    block = static_cast<std::uint32_t>(links_.size() / (kBlock * planes_.size()));
    make_blocks(block + 1);
  }
  PlaneLink& known = links_[place(*from, *to) + static_cast<std::size_t>(plane - planes_.begin())];
  if (known == now) return Change::Same;
  known = now;
  return Change::Changed;
}

}  // namespace qanat::topology
