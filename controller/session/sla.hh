// SlaView: what became of one term of a promise to a tenant (policy::Sla), over all pairs of its members.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::session {

struct SlaView {
  enum class State : std::uint8_t { Unknown, Kept, Broken };  // Unknown: not watched long enough
  std::string tenant;
  ids::Tier tier = ids::Tier::Interactive;
  std::string term;         // "path", "latency", "loss", "jitter"
  std::uint32_t limit = 0;  // µs or ppm; 0 for "path"
  State state = State::Unknown;
  base::UnixSeconds since = 0;           // when it began to be so; 0: not yet known
  std::size_t pairs = 0;                 // judged at the last look
  std::size_t broken = 0;                // of them, beyond the limit
  std::string from, to;                  // the worst pair; empty: none was judged, or each has a path
  std::optional<std::uint32_t> worst{};  // its figure, µs or ppm; nothing for "path"
};

}  // namespace qanat::session
