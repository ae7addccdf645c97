// Topology: path computation's view of one tick: nodes by index and what is known of the links between them, with costs.
// Integers throughout, so that two controllers compute the same bytes from the same input. Links take memory where there are
// some: a global level knows those to borders and between boxes that talk, and not those inside its domains.
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
  bool resting = false;    // a relay all the same, for pairs that have no way over another
  bool border = false;     // a relay that backups may always go over (DESIGN §7: R ≤ 64)
  std::uint8_t zone = 0;   // of residency, 0 … 63
  std::uint32_t risk = 0;  // bit r: shares risk r (an operator, a city, a cable) with whoever has that bit
};

// Of a node's line on one plane: bits as Node::risk has them.
struct LineRisk {
  ids::NodeId node;
  ids::PlaneId plane;
  std::uint32_t risk = 0;
  bool operator==(const LineRisk&) const = default;
};

using Index = std::uint32_t;  // of a node in Topology::nodes(): relays come first
inline constexpr std::uint32_t kUnreachable = std::numeric_limits<std::uint32_t>::max();

// A link between two nodes on one plane. A SID names one plane per hop, so both ends use the same one.
struct PlaneLink {
  ids::PlaneId plane;
  telemetry::LinkState state = telemetry::LinkState::Unknown;
  std::uint32_t cost_us = kUnreachable;
  std::uint32_t rtt_us = 0;
  std::uint32_t loss_ppm = 0;
  std::uint32_t jitter_us = 0;
  bool operator==(const PlaneLink&) const = default;
};

// Loss as delay: a lost packet costs a retransmission, no sooner than an RTT and a minimal timeout of 200 ms after
// (RFC 6298 gives 1 s, stacks use 200 ms): cost = rtt + loss/(1 − loss) · (rtt + 200 ms), rounded up. From half the
// packets lost on, a link is unusable: kUnreachable.
std::uint32_t link_cost_us(std::uint32_t rtt_us, std::uint32_t loss_ppm);

class Topology {
 public:
  // Nodes in any order, ids distinct; links as Matrix::links() gives them; links of other nodes or between different
  // planes are left out. Planes are those that the links use. `lines` of other nodes are passed over; of one line, all count.
  Topology(std::vector<Node> nodes, std::span<const telemetry::Link> links,
           std::span<const LineRisk> lines = {});

  std::span<const Node> nodes() const { return nodes_; }            // relays, then others; ascending ids each
  std::span<const Index> relays() const { return relays_; }         // 0, 1 …
  std::span<const ids::PlaneId> planes() const { return planes_; }  // ascending
  std::optional<Index> index_of(ids::NodeId id) const;

  // The links from → to, one for each of planes(), in that order.
  std::span<const PlaneLink> links(Index from, Index to) const {
    return std::span(links_).subspan(place(from, to), planes_.size());
  }
  PlaneLink link(Index from, Index to, ids::PlaneId plane) const;

  // ---- lines' risks. With a single plane, a relay's line is as its box, an end has no choice: all is in Node::risk ----
  bool lines_share() const { return !lines_.empty(); }
  // What a relay's line shares; and an end's, but for what all lines of the end share. While lines_share().
  std::uint32_t relay_line_risk(Index node, ids::PlaneId plane) const { return line(node, plane).as_relay; }
  std::uint32_t end_line_risk(Index node, ids::PlaneId plane) const { return line(node, plane).as_end; }

  // A link as it is now; Unknown takes it out. Same when nothing is different or it is none of ours; NewPlane when this
  // topology has to be made anew: for a plane, or for another line of a node whose lines share risks.
  enum class Change : std::uint8_t { Same, Changed, NewPlane };
  Change set(const telemetry::Link& link);
  // Of memory, that links take.
  std::size_t link_bytes() const;

 private:
  static constexpr std::size_t kBlock = 64;  // endpoints that lie together
  std::size_t blocks() const { return (nodes_.size() + kBlock - 1) / kBlock; }
  // In links_, of the pair's link on the first plane.
  std::size_t place(Index from, Index to) const {
    return (block_[from * blocks() + to / kBlock] * kBlock + to % kBlock) * planes_.size();
  }
  void make_blocks(std::size_t count);
  struct Line {
    std::uint32_t as_relay = 0;
    std::uint32_t as_end = 0;
  };
  static constexpr std::size_t kLines = ids::PlaneId::kMax + 1;
  const Line& line(Index node, ids::PlaneId plane) const { return lines_[node * kLines + plane.value]; }
  void set_lines(std::span<const LineRisk> lines, std::span<const telemetry::Link> links);
  bool has_line(Index node, ids::PlaneId plane) const { return (has_[node] >> plane.value & 1) != 0; }

  std::vector<Node> nodes_;
  std::vector<Index> relays_;
  std::vector<ids::PlaneId> planes_;
  std::vector<std::uint32_t> block_;  // [from · blocks() + to / kBlock] its place; 0: one that stays empty
  std::vector<PlaneLink> links_;      // [block][to % kBlock][plane]
  std::vector<Line> lines_;           // [node · kLines + plane]; empty where no line shares a risk
  std::vector<std::uint16_t>
      has_;  // [node] bit p: a line on plane p; all for nodes whose lines share nothing. Empty as lines_
};

}  // namespace qanat::topology
