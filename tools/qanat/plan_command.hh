// `qanat plan`: which cards, how many and where, for a task. Needs no network and no daemon: it runs the engine itself.
#pragma once

namespace qanat::cli {

// argv[0] is "plan". Returns the exit status.
int plan_main(int argc, char** argv);

}  // namespace qanat::cli
