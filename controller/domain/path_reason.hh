// PathReason: why a headend's first list is the one it is, as `qanat path show --planned` says it. Pure: the answer is found
// again from what is measured and ruled now, nothing is remembered for it.
#pragma once

#include <string_view>

#include "controller/domain/steering.hh"

namespace qanat::domain {

enum class PathReason : std::uint8_t {
  Best,         // nothing is cheaper now
  Held,         // something is, by less than a move must gain (paths::Margin)
  Waits,        // something is, and waits: for the pace, a freeze to end, or room at its relays
  Promise,      // the tier's own: the shared lists break its promise
  Limited,      // a cheaper one is not allowed for this tier
  Pinned,       // prescribed for this pair
  Avoiding,     // the best over none of the relays that this pair avoids
  LastResort,   // over a relay that is drained or to be avoided: nothing else works
  BestEffort,   // none is known to work: the last one is kept
  NoneAllowed,  // there is no list: nothing that works is allowed for this tier
  Pending       // another one is chosen and not told yet: its relays are not ready, or a canary holds it back
};
std::string_view to_string(PathReason reason);

// Of a tier's first list. `shared` is what the pair holds for this tier and those that are `allowed` alike, `own` the
// tier's, or null.
PathReason reason_of(const paths::Engine& engine, const Steering& steering, const paths::Engine::Pair& pair,
                     const paths::Allowed& allowed, const paths::Choices& shared, const paths::Choice* own,
                     const paths::Route& first);

}  // namespace qanat::domain
