#include "tools/lab/chaos/chaos_commands.hh"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/http_client.hh"
#include "tools/lab/chaos/soak.hh"
#include "tools/lab/daemon_api.hh"

namespace qanat::chaos {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

void end_on_signals() {
  for (const int s : {SIGINT, SIGTERM}) signal(s, [](int) { lab::set_interrupted(); });
}

// All *.toml of a folder, by name, or the file itself.
bool load_scenarios(const std::string& place, std::vector<Scenario>& out) {
  std::vector<std::string> files;
  if (std::filesystem::is_directory(place)) {
    for (const auto& entry : std::filesystem::directory_iterator(place))
      if (entry.path().extension() == ".toml") files.push_back(entry.path());
  } else {
    files.push_back(place);
  }
  std::sort(files.begin(), files.end());
  bool good = true;
  for (const auto& file : files) good &= load_scenario(file, out.emplace_back());
  return good;
}

// A scenario of links alone, in linkem's own grammar (linkem(1)): linkem plays it by itself.
bool is_for_linkem(const std::string& text) {
  return text.starts_with("[[event]]") || text.starts_with("[[random]]") ||
         text.find("\n[[event]]") != std::string::npos || text.find("\n[[random]]") != std::string::npos;
}

int hand_to_linkem(const lab::LabState& state, const std::string& text) {
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/scenario";
  request.body = text;
  const auto response = base::fetch_blocking("unix:" + state.linkem_socket, std::move(request));
  if (!response) throw lab::LabError("linkem: " + response.error().message());
  fmt::print("{}\n", response->body);
  if (response->status >= 400) return lab::kWrongUsage;
  while (!lab::interrupted() && lab::get(state.linkem_socket, "/v1/scenario").value("running", false))
    std::this_thread::sleep_for(50ms);
  if (lab::interrupted()) lab::call(state.linkem_socket, "DELETE", "/v1/scenario", {});
  return lab::interrupted() ? 130 : lab::kDone;
}

}  // namespace

int run_scenario(const lab::Options& options) {
  const std::string text = base::read_file(options.file);
  if (is_for_linkem(text)) {
    end_on_signals();
    return hand_to_linkem(lab::find_lab(options), text);
  }
  Scenario scenario;
  if (!load_scenario(options.file, scenario)) return lab::kWrongUsage;
  lab::LabState state = lab::find_lab(options);
  lab::Topology topology;
  if (!load_topology(state.topology_file(), topology)) return lab::kFailed;
  Dice dice(options.seed);
  const Expansion expansion = expand(scenario, topology, dice);
  if (!expansion.problem.empty()) throw std::out_of_range(expansion.problem);
  end_on_signals();
  Injector injector(state, topology, state.folder() + "/log/chaos.jsonl");
  json report = json::array();
  const auto start = base::monotonic_now();
  for (const auto& action : expansion.actions) {
    while (base::monotonic_now() - start < action.at && !lab::interrupted()) std::this_thread::sleep_for(5ms);
    if (lab::interrupted()) break;
    injector.apply(1, scenario.name, action, action.at);
    const double at = std::chrono::duration<double>(base::monotonic_now() - start).count();
    report.push_back({{"at_s", at},
                      {"do", to_string(action.verb)},
                      {"target", action.target},
                      {"what", to_string(action)}});
    if (!options.as_json) fmt::print("{:7.2f} s  {}\n", at, to_string(action));
    std::fflush(stdout);
  }
  injector.heal();
  if (options.as_json) fmt::print("{}\n", report.dump(2));
  return lab::interrupted() ? 130 : lab::kDone;
}

int soak(const lab::Options& options) {
  lab::Topology topology;
  if (!load_topology(options.file, topology)) return lab::kWrongUsage;
  SoakOptions how;
  if (!load_scenarios(options.scenarios, how.scenarios)) return lab::kWrongUsage;
  if (how.scenarios.empty()) throw std::out_of_range("no scenario (*.toml) in " + options.scenarios);
  how.name = options.name.empty() ? "soak-" + std::to_string(getpid()) : options.name;
  how.bin = options.bin;
  how.length =
      std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(options.minutes * 60));
  how.seed = options.seed;
  how.bound = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(options.bound_s));
  how.event_log = options.event_log;
  if (!options.quiet) how.progress = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  end_on_signals();
  const SoakResult result = run_soak(topology, how);
  fmt::print("{}", options.as_json ? to_json(result) : to_table(result));
  if (!options.json_file.empty()) base::write_file(options.json_file, to_json(result), 0644);
  if (lab::interrupted()) return 130;
  return result.violated() == 0 ? lab::kDone : lab::kFailed;
}

}  // namespace qanat::chaos
