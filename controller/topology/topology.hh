// Topology: one tick's frozen view for path computation: nodes by index, usable links by pair and plane, with costs.
// Integers throughout, so that two controllers compute the same bytes from the same input.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "controller/telemetry/matrix.hh"
#include "identifiers/ids/node_id.hh"

namespace qanat::topology {

struct Node {
  ids::NodeId id;
  ids::DomainId domain;
  bool relay = false;
};

using Index = std::uint32_t;  // of a node in Topology::nodes()
inline constexpr std::uint32_t kUnreachable = std::numeric_limits<std::uint32_t>::max();

// A link between two nodes on one plane. A SID names one plane per hop, so both ends use the same one.
struct PlaneLink {
  ids::PlaneId plane;
  telemetry::LinkState state = telemetry::LinkState::Unknown;
  std::uint32_t cost_us = kUnreachable;
};

// Loss as delay: a lost packet costs a retransmission, no sooner than an RTT and a minimal timeout of 200 ms after
// (RFC 6298 gives 1 s, stacks use 200 ms): cost = rtt + loss/(1 − loss) · (rtt + 200 ms), rounded up. From half the
// packets lost on, a link is unusable: kUnreachable.
std::uint32_t link_cost_us(std::uint32_t rtt_us, std::uint32_t loss_ppm);

class Topology {
 public:
  // Nodes in any order, ids distinct; links as Matrix::links() gives them; links of other nodes or between different
  // planes are left out.
  Topology(std::vector<Node> nodes, std::span<const telemetry::Link> links);
  Topology(const Topology&) = delete;  // best_ points into links_
  Topology& operator=(const Topology&) = delete;

  std::span<const Node> nodes() const { return nodes_; }     // ascending id
  std::span<const Index> relays() const { return relays_; }  // ascending
  std::optional<Index> index_of(ids::NodeId id) const;

  // What is known of the links from → to, ascending plane; Unknown ones are absent.
  std::span<const PlaneLink> links(Index from, Index to) const;
  // The cheapest usable plane; ties go to the lower plane. Null when there is none.
  const PlaneLink* best(Index from, Index to) const;
  PlaneLink link(Index from, Index to, ids::PlaneId plane) const;

 private:
  std::vector<Node> nodes_;
  std::vector<Index> relays_;
  std::vector<PlaneLink> links_;
  std::vector<std::uint32_t> offsets_;  // of pair (from, to) at from · n + to; one more at the end
  std::vector<const PlaneLink*> best_;
};

}  // namespace qanat::topology
