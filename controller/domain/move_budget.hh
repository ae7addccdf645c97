// MoveBudget: how fast ways may move. One that died or broke a limit is left at once; a better one may have to wait, for
// the rest of a minute in which enough were moved, or for a freeze to end. A value; both levels use it.
#pragma once

#include <deque>

#include "controller/domain/steering.hh"
#include "controller/session/level.hh"

namespace qanat::domain {

class MoveBudget {
 public:
  // What the pair gets of what was chosen for it: where its move has to wait, its first way stays first. `pairs`: how many
  // there are in all.
  paths::Choices take(const policy::Rules& rules, const paths::Engine& engine,
                      const paths::Engine::Pair& pair, const paths::Choices& held, paths::Choices chosen,
                      std::size_t pairs, session::Now now);
  // One more move of a pair that would do without, now; false: it waits.
  bool spend(const policy::Rules& rules, std::size_t pairs, session::Now now);
  // Moves within the last minute.
  std::size_t moves(base::Time now);

 private:
  std::deque<base::Time> moved_;  // ascending; at most as many as a minute may have
};

}  // namespace qanat::domain
