#include "controller/paths/borders.hh"

#include <algorithm>

namespace qanat::paths {

std::vector<Index> choose_borders(const CandidateTable& table, std::size_t count) {
  const auto relays = table.topology().relays();
  const auto n = static_cast<Index>(table.topology().nodes().size());
  std::vector<std::pair<std::uint64_t, Index>>
      uses;  // counted down, so that sorting puts the most used first
  for (const Index relay : relays) uses.emplace_back(~0ull, relay);
  for (Index from = 0; from < n; ++from) {
    for (Index to = 0; to < n; ++to) {
      const Way best = table.way(from, to, 0);
      for (const std::uint16_t relay : {best.first, best.second})
        if (relay != kNoRelay) --uses[relay].first;
    }
  }
  std::sort(uses.begin(), uses.end());
  uses.resize(std::min(uses.size(), count));
  std::vector<Index> out;
  for (const auto& [use, node] : uses) out.push_back(node);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace qanat::paths
