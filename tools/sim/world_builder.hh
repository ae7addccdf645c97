// A topology file → the world that shards run: nodes, lines, links, controllers with their members enrolled, flows.
#pragma once

#include "tools/lab/topology.hh"
#include "tools/sim/simulation.hh"

namespace qanat::sim {

// Throws std::invalid_argument: what is wrong and what would do.
World build_world(const lab::Topology& topology, const SimOptions& options);

// The least time between shards that makes two of them worth it.
inline constexpr base::Duration kLeastAhead = std::chrono::microseconds(200);

inline constexpr base::UnixSeconds kUnixStart =
    1'800'003'600;  // an hour past midnight: no day ends in a short run
inline constexpr base::Time kStart{std::chrono::hours{1}};

}  // namespace qanat::sim
