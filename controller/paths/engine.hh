// Engine: both stages for a controller: it keeps the topology and the candidates from tick to tick, is told which links
// changed, and says which pairs may have to choose anew. All others would choose what they have.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "controller/paths/affected.hh"
#include "controller/paths/selection.hh"

namespace qanat::paths {

class Engine {
 public:
  using Pair = std::pair<std::uint32_t, std::uint32_t>;  // node numbers: headend, endpoint

  // What ranks and prunes ways, from the next rebuild() on.
  void rank_by(const Objective& objective) { objective_ = objective; }
  // Everything anew; only `wanted` pairs get lists.
  void rebuild(std::vector<topology::Node> nodes, std::span<const telemetry::Link> links,
               const std::set<Pair>& wanted, std::span<const topology::LineRisk> lines = {});
  // These links are different, Unknown ones gone. False when everything has to be made anew: a plane is new, or a line of a
  // node whose lines share risks, or there is nothing yet.
  bool update(std::span<const telemetry::Link> changed);

  // May the pair choose differently since the tick before?
  bool affects(const Pair& pair) const;
  // Where select() finds nothing that works: the best way over one resting relay, and what is held over some goes on while it
  // works.
  Choices choose(const Pair& pair, const Choices& held, Unknowns unknowns, const RelayLoad& load) const;
  std::size_t relays() const { return topology_ ? topology_->relays().size() : 0; }

  // ---- for who steers by hand ----
  // Of its relays and lines, a bit each; 0 where an end is not known.
  std::uint32_t risks_of(const Pair& pair, const Route& route) const;
  // A route as it is now; Dead where a node of it is not known.
  RouteNow evaluate(const Pair& pair, const Route& route, Resting resting = Resting::AreNoRelays) const;
  // The way over these relays in this order, by the cheapest plane of each hop; nothing where that does not work.
  std::optional<Choice> over(const Pair& pair, std::span<const ids::NodeId> relays) const;
  // The cheapest way within these limits, of the direct ones and those over one relay, by any planes; ranked as they say. One
  // whose relay has room comes before all others.
  std::optional<Choice> within(const Pair& pair, const Objective& limits, const RelayLoad& load) const;
  // Over nothing but what is allowed? Whether it works is another question.
  bool fits(const Allowed& allowed, const Route& route) const;
  // As choose(), but over what is allowed alone: direct ways, those over one relay, and over two what candidates there are.
  // `held` keeps to that already; empty: there is none.
  Choices choose_within(const Pair& pair, const Allowed& allowed, const Choices& held, Unknowns unknowns,
                        const RelayLoad& load) const;
  // Null before the first rebuild().
  const topology::Topology* topology() const { return topology_.get(); }

 private:
  Choices or_last_resort(topology::Index from, topology::Index to, Choices chosen, Unknowns unknowns,
                         const Allowed& allowed = {}) const;

  Objective objective_;
  std::unique_ptr<topology::Topology> topology_;
  std::unique_ptr<CandidateTable> table_;
  std::unique_ptr<Affected> affected_;
  std::vector<topology::Index> resting_;
};

}  // namespace qanat::paths
