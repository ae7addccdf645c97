// qanat fleet: a new build on all boxes, stage by stage, watched by what the controller says of them; stops by itself.
// The controller has no hand on boxes' software, and shall have none: how a box is upgraded is the operator's command.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/clock.hh"
#include "base/config.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/command_line.hh"
#include "tools/qanat/fleet.hh"

namespace qanat::cli {
namespace {

using nlohmann::json;

struct FleetRequest {
  std::string by, back, shares = "10,50,100", settle = "60s", soak = "10s";
  std::size_t canaries = 1;
  bool dry_run = false;
};

base::Duration duration_of(const char* option, const std::string& text) {
  const auto parsed = base::parse_duration(text);
  if (!parsed)
    throw CommandError{kWrongUsage, fmt::format("{}: '{}' is no duration", option, text), "10s, 2m, 500ms"};
  return *parsed;
}

StageRules rules_of(const FleetRequest& request) {
  StageRules rules{request.canaries, {}};
  std::istringstream in(request.shares);
  for (std::string part; std::getline(in, part, ',');) {
    char* end = nullptr;
    const unsigned long share = std::strtoul(part.c_str(), &end, 10);
    if (part.empty() || *end != '\0' || share < 1 || share > 100)
      throw CommandError{kWrongUsage, fmt::format("--shares: '{}' is not 1 to 100", part),
                         "--shares 10,50,100"};
    rules.shares.push_back(static_cast<unsigned>(share));
  }
  return rules;
}

FleetView view_of(const Place& controller) {
  FleetView view;
  for (const json& node : ask(controller, "GET", "/v1/nodes")) {
    FleetBox& box = view[node.at("name").get<std::string>()];
    box.relay = node.at("relay");
    box.connected = node.at("connected");
    box.configured = node.at("version_acked") == node.at("version_sent");
  }
  for (const json& link : ask(controller, "GET", "/v1/matrix"))
    for (const char* end : {"from", "to"})
      if (const auto at = view.find(link.at(end).get<std::string>());
          at != view.end() && link.at("state") == "usable")
        ++at->second.links;
  return view;
}

// The operator's command with {node} in its place. Its output is the operator's to see.
bool carried_out(std::string command, const std::string& node) {
  for (std::size_t at = 0; (at = command.find("{node}", at)) != std::string::npos; at += node.size())
    command.replace(at, 6, node);
  const int status = std::system(command.c_str());
  return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Empty once the fleet is as well as before and stays so; else what is worse.
std::vector<std::string> watched(const Place& controller, const FleetView& before,
                                 const FleetRequest& request) {
  StageWatch watch(base::monotonic_now(), duration_of("--settle", request.settle),
                   duration_of("--soak", request.soak));
  for (;;) {
    std::vector<std::string> problems;
    try {
      problems = fleet_problems(before, view_of(controller));
    } catch (const CommandError& error) {
      problems = {error.what()};  // a controller that is away is no good sign either
    }
    const auto verdict = watch.look(problems.empty(), base::monotonic_now());
    if (verdict == StageWatch::Verdict::Passed) return {};
    if (verdict == StageWatch::Verdict::Stop) return problems;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

struct Course {
  std::vector<std::string> upgraded, taken_back, untouched, problems;
};

int told(const Options& options, const Course& course) {
  const bool stopped = !course.problems.empty();
  if (options.json) {
    const json answer{{"stopped", stopped},
                      {"upgraded", course.upgraded},
                      {"taken_back", course.taken_back},
                      {"untouched", course.untouched},
                      {"problems", course.problems}};
    fmt::print("{}\n", answer.dump(2));
  } else if (stopped) {
    fmt::print(stderr, "stopped: {}\n", fmt::join(course.problems, "; "));
    fmt::print(stderr, "  new build: {}\n  taken back: {}\n  untouched: {}\n",
               fmt::join(course.upgraded, " "), fmt::join(course.taken_back, " "),
               fmt::join(course.untouched, " "));
  } else {
    fmt::print("{} boxes have the new build\n", course.upgraded.size());
  }
  return stopped ? kFailed : 0;
}

int upgrade_fleet(const Options& options, const FleetRequest& request) {
  const Place controller = find_controller(options);
  const FleetView before = view_of(controller);
  const auto stages = fleet_stages(before, rules_of(request));
  Course course;
  for (const auto& stage : stages)
    course.untouched.insert(course.untouched.end(), stage.begin(), stage.end());
  for (const auto& [name, box] : before)
    if (!box.connected) fmt::print(stderr, "{} is away: left as it is\n", name);
  if (request.dry_run) {
    for (std::size_t i = 0; i < stages.size(); ++i)
      fmt::print("stage {} of {}: {}\n", i + 1, stages.size(), fmt::join(stages[i], " "));
    return 0;
  }
  if (request.by.empty())
    throw CommandError{kWrongUsage, "how is a box upgraded?",
                       "--by 'ssh root@{node} apt-get install -y qanat-box qanat-tools', or --dry-run"};
  for (std::size_t i = 0; i < stages.size(); ++i) {
    fmt::print(stderr, "stage {} of {}: {}\n", i + 1, stages.size(), fmt::join(stages[i], " "));
    std::vector<std::string> touched;
    for (const std::string& node : stages[i]) {
      touched.push_back(node);
      course.untouched.erase(course.untouched.begin());
      if (carried_out(request.by, node)) continue;
      course.problems = {fmt::format("{}: the command failed", node)};
      break;
    }
    if (course.problems.empty()) course.problems = watched(controller, before, request);
    if (course.problems.empty()) {
      course.upgraded.insert(course.upgraded.end(), touched.begin(), touched.end());
      continue;
    }
    for (const std::string& node : touched) {
      const bool back = !request.back.empty() && carried_out(request.back, node);
      (back ? course.taken_back : course.upgraded).push_back(node);
    }
    if (!request.back.empty() && !watched(controller, before, request).empty())
      course.problems.push_back("and it is not well again yet");
    break;
  }
  return told(options, course);
}

}  // namespace

void add_fleet_commands(CLI::App& app, Arguments& a, Action& action) {
  static FleetRequest request;
  CLI::App* upgrade = command(
      *noun(app, "fleet", "all boxes of a controller"), a.options, action, "upgrade",
      "a new build on every box, stage by stage; stops by itself when one is worse than before",
      "qanat fleet upgrade --dry-run\n"
      "  qanat fleet upgrade --by 'ssh root@{node} apt-get install -y qanat-box=1.1-1 qanat-tools=1.1-1'\n"
      "      --back 'ssh root@{node} apt-get install -y --allow-downgrades qanat-box=1.0-1 "
      "qanat-tools=1.0-1'",
      [&a] { return upgrade_fleet(a.options, request); });
  upgrade->add_option("--by", request.by, "what upgrades one box; {node} stands for its name")
      ->type_name("COMMAND");
  upgrade->add_option("--back", request.back, "what undoes it, for the boxes of the stage that went wrong")
      ->type_name("COMMAND");
  upgrade->add_option("--canaries", request.canaries, "boxes of the first stage")->check(CLI::Range(1, 1000));
  upgrade->add_option("--shares", request.shares, "then up to so much per cent of the boxes")
      ->type_name("LIST")
      ->capture_default_str();
  upgrade->add_option("--settle", request.settle, "a stage must be well within this")
      ->type_name("DURATION")
      ->capture_default_str();
  upgrade->add_option("--soak", request.soak, "and stay so for this")
      ->type_name("DURATION")
      ->capture_default_str();
  upgrade->add_flag("--dry-run", request.dry_run, "only say the stages");
  with_controller(upgrade, a.options);
}

}  // namespace qanat::cli
