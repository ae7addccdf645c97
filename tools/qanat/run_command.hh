// run_command: a command line parsed and carried out; what was wrong with it, and what to do next, on standard error.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace qanat::cli {

// Returns the exit status: the action's, or kWrongUsage, an error's own, kFailed (command_error.hh).
int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& action);

}  // namespace qanat::cli
