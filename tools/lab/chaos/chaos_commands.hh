// `qanat lab run SCENARIO` and `qanat lab soak FILE`: chaos on the command line.
#pragma once

#include "tools/lab/lab_options.hh"

namespace qanat::chaos {

// One scenario on a lab that is up; heals it at the end and when interrupted.
int run_scenario(const lab::Options& options);
// A lab of its own, scenarios picked by the seed, invariants judged; exit status 1 when one was violated.
int soak(const lab::Options& options);

}  // namespace qanat::chaos
