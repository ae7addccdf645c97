// `qanat pool`: a pool's state, its models' lives and its faults, over its Unix socket.
#pragma once

namespace qanat::cli {

// argv[0] is "pool". Returns the exit status.
int pool_main(int argc, char** argv);

}  // namespace qanat::cli
