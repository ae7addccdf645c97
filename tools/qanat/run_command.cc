#include "tools/qanat/run_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <exception>
#include <string>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {
namespace {

// CLI11 says of a command that it does not know "a subcommand is required"; who mistyped a word wants to hear which.
// Empty where every word up to the first option is known, or is an argument.
std::string unknown_word(CLI::App& app, int argc, char** argv) {
  CLI::App* at = &app;
  std::string path = app.get_name();
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const auto known = at->get_subcommands({});
    if (known.empty()) return {};
    CLI::App* next = nullptr;
    for (CLI::App* one : known)
      if (one->check_name(argv[i])) next = one;
    if (next == nullptr)
      return fmt::format("{}: no command '{}'\n  `{} --help` lists those that there are\n", path, argv[i],
                         path);
    at = next;
    path += fmt::format(" {}", argv[i]);
  }
  return {};
}

}  // namespace

int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& action) {
  try {
    app.parse(argc, argv);
    return action();
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0)
      if (const std::string unknown = unknown_word(app, argc, argv); !unknown.empty()) {
        fmt::print(stderr, "{}", unknown);
        return kWrongUsage;
      }
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
