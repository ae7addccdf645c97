#include "controller/paths/borders.hh"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>

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
  const std::set<std::uint32_t> measured = this->measured();
  std::vector<topology::Node> candidates = nodes;
  boost::unordered_flat_set<std::uint32_t> relays;
  for (topology::Node& node : candidates) {
    node.relay &= measured.contains(node.id.value);
    if (node.relay) relays.insert(node.id.value);
  }
  const auto matters = [&](const telemetry::LinkKey& key) {
    return relays.contains(key.from.value) || relays.contains(key.to.value) ||
           pairs.contains({key.from.value, key.to.value});
  };
  std::vector<telemetry::Link> used;
  for (const telemetry::Link& link : links)
    if (matters(link.key)) used.push_back(link);
  const topology::Topology topology(std::move(candidates), used);
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

// The next ones by turns: every domain's first relay, every domain's second …
void Borders::try_others(const std::vector<topology::Node>& nodes) {
  std::map<std::uint16_t, std::size_t> place;  // in its domain
  std::map<std::pair<std::size_t, std::uint32_t>, std::uint32_t> turns;
  std::map<std::uint32_t, std::uint16_t> domains;  // of relays, ascending numbers
  for (const topology::Node& node : nodes)
    if (relays_.contains(node.id.value)) domains[node.id.value] = node.domain.value;
  for (const auto& [relay, domain] : domains) {
    const std::pair turn{place[domain]++, relay};
    if (!held_.contains(relay)) turns[turn] = relay;
  }
  trial_.clear();
  auto at = turns.upper_bound(tried_);
  while (trial_.size() < std::min(kOnTrial, turns.size())) {
    if (at == turns.end()) {
      at = turns.begin();
      round_ = true;
    }
    trial_.insert(at->second);
    tried_ = at->first;
    ++at;
  }
}

std::set<std::uint32_t> Borders::measured() const {
  if (!selects()) return relays_;
  std::set<std::uint32_t> out = held_;
  out.insert(trial_.begin(), trial_.end());
  for (const auto& [relay, until] : farewell_) out.insert(relay);
  return out;
}

bool Borders::settle(std::vector<topology::Node>& nodes, std::span<const telemetry::Link> links,
                     const std::set<Pair>& pairs, const Objective& objective, base::Time now) {
  std::set<std::uint32_t> relays;
  for (const topology::Node& node : nodes)
    if (node.relay) relays.insert(node.id.value);
  const bool others = relays != relays_;
  const bool same = !others && pairs.size() == pairs_;
  const bool over = elected_ && now >= until_;
  relays_ = std::move(relays);
  pairs_ = pairs.size();
  elected_ = relays_.size() > kMostBorders;
  std::erase_if(farewell_, [now](const auto& f) { return f.second <= now; });
  bool changed = false;
  if (!elected_) {
    held_ = relays_;
  } else if (!same || over) {
    const std::set<std::uint32_t> before = held_;
    std::erase_if(held_, [this](std::uint32_t relay) { return !relays_.contains(relay); });
    std::erase_if(trial_, [this](std::uint32_t relay) { return !relays_.contains(relay); });
    if (selects()) {
      std::set<std::uint32_t> known = held_;
      known.insert(trial_.begin(), trial_.end());
      if (known.size() < kMostBorders) {  // at first: whoever's turn it is
        while (held_.size() < kMostBorders) {
          try_others(nodes);
          held_.insert(trial_.begin(), trial_.end());
        }
        trial_.clear();
        round_ = false;
      }
      if (trial_.empty()) try_others(nodes);
    }
    elect(nodes, links, pairs, objective);
    changed = held_ != before;
    if (selects()) {
      for (const std::uint32_t relay : before)
        if (!held_.contains(relay)) farewell_[relay] = now + kFarewell;
      for (const std::uint32_t relay : held_) farewell_.erase(relay);
      round_ &= !others;
      if (over) try_others(nodes);
      if (over || others) {  // a term goes on whatever pairs come and go
        term_ = round_ ? std::min<base::Duration>(2 * term_, kLongestTrial) : kTrialTerm;
        until_ = now + term_;
      }
    } else {
      term_ = same ? std::min<base::Duration>(2 * term_, kLongestTerm) : kFirstTerm;
      until_ = now + term_;
    }
  }
  if (!selects()) {
    trial_.clear();
    farewell_.clear();
  }
  farewell_until_ = base::Time::max();
  for (const auto& [relay, until] : farewell_) farewell_until_ = std::min(farewell_until_, until);
  for (topology::Node& node : nodes) {
    node.relay = node.relay && held_.contains(node.id.value);
    node.border = node.relay;
  }
  return changed;
}

}  // namespace qanat::paths
