// `qanat lab sim …` as a function of its arguments, for the one command line. argv[0] is "sim".
// Exit status: 0 the run held all invariants, 1 one was broken, 2 wrong usage or topology.
#pragma once

namespace qanat::sim {

int sim_main(int argc, char** argv);

}  // namespace qanat::sim
