#include "controller/paths/borders.hh"

#include <algorithm>

namespace qanat::paths {
namespace {

constexpr std::uint64_t kHeldWeight = 5, kWeight = 4;

}  // namespace

std::vector<Index> choose_borders(const CandidateTable& table, std::size_t count,
                                  std::span<const Index> held) {
  const auto relays = table.topology().relays();
  std::vector<std::uint64_t> uses(relays.size());
  table.each_wanted([&](Index from, Index to) {
    const Way best = table.way(from, to, 0);
    for (const std::uint16_t relay : {best.first, best.second})
      if (relay != kNoRelay) ++uses[relay];
  });
  struct Rank {
    std::uint64_t uses;
    bool held;
    Index node;
  };
  std::vector<Rank> ranks;
  for (std::size_t k = 0; k < relays.size(); ++k) {
    const bool keeps = std::binary_search(held.begin(), held.end(), relays[k]);
    ranks.push_back({uses[k] * (keeps ? kHeldWeight : kWeight), keeps, relays[k]});
  }
  std::sort(ranks.begin(), ranks.end(), [](const Rank& a, const Rank& b) {
    if (a.uses != b.uses) return a.uses > b.uses;
    return a.held != b.held ? a.held : a.node < b.node;
  });
  ranks.resize(std::min(ranks.size(), count));
  std::vector<Index> out;
  for (const Rank& rank : ranks) out.push_back(rank.node);
  std::sort(out.begin(), out.end());
  return out;
}

void Borders::elect(const std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
                    const std::set<Pair>& pairs, const Objective& objective) {
  const topology::Topology topology(nodes, links);
  CandidateTable table(topology, objective);
  std::vector<CandidateTable::Link> wanted;
  for (const auto& [from, to] : pairs) {
    const auto a = topology.index_of(ids::NodeId{from}), b = topology.index_of(ids::NodeId{to});
    if (a && b) wanted.emplace_back(*a, *b);
  }
  table.want(wanted);
  table.build();
  std::vector<Index> before;
  for (const std::uint32_t relay : held_)
    if (const auto at = topology.index_of(ids::NodeId{relay})) before.push_back(*at);
  held_.clear();
  for (const Index border : choose_borders(table, kMostBorders, before))
    held_.insert(topology.nodes()[border].id.value);
}

bool Borders::settle(std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
                     const std::set<Pair>& pairs, const Objective& objective, base::Time now) {
  std::set<std::uint32_t> relays;
  for (const topology::Node& node : nodes)
    if (node.relay) relays.insert(node.id.value);
  const bool same = relays == relays_ && pairs.size() == pairs_;
  relays_ = std::move(relays);
  pairs_ = pairs.size();
  elected_ = relays_.size() > kMostBorders;
  bool changed = false;
  if (!elected_) {
    held_ = relays_;
  } else if (!same || due(now)) {
    const std::set<std::uint32_t> before = held_;
    elect(nodes, links, pairs, objective);
    changed = held_ != before;
    term_ = same ? std::min<base::Duration>(2 * term_, kLongestTerm) : kFirstTerm;
    until_ = now + term_;
  }
  for (topology::Node& node : nodes) {
    node.relay = node.relay && held_.contains(node.id.value);
    node.border = node.relay;
  }
  return changed;
}

}  // namespace qanat::paths
