// Path ids that stay: the same list at the same headend keeps its number over recompilations and restarts, without state.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_set>

#include "identifiers/ids/tier.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::policy {

// Numbers one headend's lists. An id is a hash of (tier, first plane, segments); a collision takes the next free number,
// so ids depend on the order of calls only when hashes collide: call in the order of (endpoint, tier, preference).
class PathIds {
 public:
  // Never 0 and never 0xff……, which names direct adjacencies in probes (wire.md §7).
  ids::PathId next(ids::Tier tier, std::uint8_t first_plane, std::span<const std::uint32_t> segments);

 private:
  std::unordered_set<std::uint32_t> taken_;
};

}  // namespace qanat::policy
