// Borders: the relays that the global level works with (DESIGN §7: N × R instead of N²). Real networks have few relays that
// many pairs gain by: those used most.
#pragma once

#include <vector>

#include "controller/paths/candidate_table.hh"

namespace qanat::paths {

inline constexpr std::size_t kMostBorders = 64;

// At most `count` relays, those on the most best ways of all pairs, ties to the lower index; ascending.
std::vector<Index> choose_borders(const CandidateTable& table, std::size_t count = kMostBorders);

}  // namespace qanat::paths
