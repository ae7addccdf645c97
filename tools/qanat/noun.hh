// Noun: one noun's command line at a gateway (`qanat send`, `job`, …): its subcommands, what every one of them takes, and
// how answers are printed.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/qanat/places.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {

// What the nouns' commands take, each its share of it.
struct NounArguments {
  Options options;
  std::string first, second, by, name, site, priority = "normal", prefer = "time", model, suffix, until,
                                             data_class = "internal";
  std::vector<std::string> users, sites, purposes, pools;
  std::uint64_t uses = 0;
  bool cheapest = false, wait = false;
};

struct Noun {
  using Action = std::function<int()>;

  Noun(const char* name, const char* summary, const char* examples)
      : app(summary, std::string("qanat ") + name) {
    app.footer(examples);
  }
  CLI::App* command(const std::string& name, const std::string& summary, Action run);
  // --json, --lab, --gateway and --key.
  void common(CLI::App* sub);
  // Returns the exit status; what was wrong is said on standard error.
  int run(int argc, char** argv);

  CLI::App app;
  NounArguments a;
  Action action;
};

// "18:00" today or else tomorrow, local time; or "+90m", so long from now: Unix milliseconds.
std::int64_t time_of(const std::string& option, const std::string& text);
std::string clock_text(const nlohmann::json& unix_ms);
// A member as text; "-" where there is none.
std::string text(const nlohmann::json& object, const char* key);
std::string size_text(const nlohmann::json& object, const char* key);
std::string money(const nlohmann::json& object, const char* key);

// The answer as JSON where that was asked for, else what is said of it, or a table.
int done(const NounArguments& a, const nlohmann::json& answer, const std::string& said);
int shown(const NounArguments& a, const nlohmann::json& answer, const Table& table, const char* none);
nlohmann::json call(const NounArguments& a, const std::string& method, const std::string& target);
nlohmann::json call(const NounArguments& a, const std::string& method, const std::string& target,
                    const nlohmann::json& body);

}  // namespace qanat::cli
