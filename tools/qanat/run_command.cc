#include "tools/qanat/run_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <exception>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {

int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& action) {
  try {
    app.parse(argc, argv);
    return action();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kWrongUsage;
  } catch (const CommandError& e) {
    fmt::print(stderr, "qanat: {}\n", e.what());
    if (!e.hint.empty()) fmt::print(stderr, "  {}\n", e.hint);
    return e.status;
  } catch (const std::exception& e) {
    fmt::print(stderr, "qanat: {}\n", e.what());
    return kFailed;
  }
}

}  // namespace qanat::cli
