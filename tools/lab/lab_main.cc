#include "tools/lab/lab_main.hh"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "tools/lab/bring_up.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/tear_down.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

using nlohmann::json;

constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2, kNotFound = 4;

struct Options {
  std::string file, name, lab, bin, target;
  std::vector<std::string> words;
  bool as_json = false, underlay_only = false;
};

// The lab that --lab names, or the only one there is.
LabState find_lab(const Options& options) {
  std::string name = options.lab;
  if (name.empty()) {
    const auto names = lab_names();
    if (names.empty()) throw std::out_of_range("no lab is running; `qanat lab up FILE` starts one");
    if (names.size() > 1) throw std::out_of_range("several labs are running; --lab NAME says which");
    name = names.front();
  }
  auto state = load(name);
  if (!state) throw std::out_of_range("there is no lab '" + name + "'");
  return *state;
}

int up(const Options& options) {
  Topology topology;
  if (!load_topology(options.file, topology)) return kWrongUsage;
  BringUpOptions how;
  how.name = options.name;
  how.bin = options.bin;
  how.underlay_only = options.underlay_only;
  how.progress = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  for (const int s : {SIGINT, SIGTERM}) signal(s, [](int) { set_interrupted(); });
  const std::string name = how.name.empty() ? topology.name : how.name;
  const bool was_there = std::filesystem::exists(std::string(kLabsFolder) + "/" + name);
  try {
    const LabState state = bring_up(topology, how);
    fmt::print("lab {} is up: {} nodes, state in {}\n", state.name, state.nodes.size(), state.folder());
    return kDone;
  } catch (...) {
    // A lab half up is taken down again, but never one that somebody else had made before.
    if (auto half = load(name); half && !was_there) tear_down(*half);
    throw;
  }
}

int down(const Options& options) {
  LabState state = find_lab(options);
  tear_down(state);
  fmt::print("lab {} is down\n", state.name);
  return kDone;
}

int gc() {
  for (const auto& line : collect_garbage()) fmt::print("removed {}\n", line);
  return kDone;
}

int status(const Options& options) {
  LabState state = find_lab(options);
  json report = {
      {"name", state.name}, {"ready", state.ready}, {"nodes", json::array()}, {"processes", json::array()}};
  for (const auto& node : state.nodes)
    report["nodes"].push_back(
        {{"name", node.name}, {"netns", node.netns}, {"overlay", node.overlay}, {"underlay", node.underlay}});
  for (const auto& process : state.processes)
    report["processes"].push_back(
        {{"name", process.name}, {"pid", process.pid}, {"alive", alive(process)}, {"log", process.log}});
  if (options.as_json) {
    fmt::print("{}\n", report.dump(2));
    return kDone;
  }
  fmt::print("lab {} ({})\n", state.name, state.ready ? "up" : "coming up");
  for (const auto& node : state.nodes)
    fmt::print("  {:<20} {:<24} {:<14} {}\n", node.name, node.netns, node.overlay,
               node.underlay.empty() ? "" : node.underlay.front());
  for (const auto& process : state.processes)
    fmt::print("  {:<20} pid {:<8} {}\n", process.name, process.pid,
               alive(process) ? "alive" : "ENDED, see " + process.log);
  return kDone;
}

int exec(const Options& options) {
  const LabState state = find_lab(options);
  const NodeState* node = state.node(options.target);
  if (!node) throw std::out_of_range("lab " + state.name + " has no node '" + options.target + "'");
  const linkem::Fd target = linkem::open_netns(node->netns);
  if (setns(target.get(), CLONE_NEWNET) != 0)
    throw std::system_error(errno, std::generic_category(), "enter namespace " + node->netns);
  std::vector<char*> argv;
  for (const auto& word : options.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  throw std::system_error(errno, std::generic_category(), "run " + options.words.front());
}

// SPEC items change what the link does now, in both directions: `fault city-relay1-p1 loss=5%`, `… down`, `… up`.
int fault(const Options& options) {
  const LabState state = find_lab(options);
  std::string text;
  for (const auto& word : options.words) text += (text.empty() ? "" : ",") + word;
  const json links = get(state.linkem_socket, "/v1/links");
  const auto link =
      std::find_if(links.begin(), links.end(), [&](const json& l) { return l["name"] == options.target; });
  if (link == links.end()) {
    std::string names;
    for (const auto& l : links) names += " " + l["name"].get<std::string>();
    throw std::out_of_range("there is no link '" + options.target + "'; there are:" + names);
  }
  json change = json::object();
  for (const char* direction : {"up", "down"}) {
    const auto now = linkem::parse_spec((*link)[direction]["spec"].get<std::string>());
    const auto then = linkem::parse_spec(text, now.value());
    if (!then) {
      fmt::print(stderr, "{}\n", then.error().describe(text));
      return kWrongUsage;
    }
    change[direction] = linkem::to_string(*then);
  }
  const json after = call(state.linkem_socket, "PUT", "/v1/links/" + options.target, change);
  fmt::print("{}: up {}, down {}\n", options.target, after["up"]["spec"].get<std::string>(),
             after["down"]["spec"].get<std::string>());
  return kDone;
}

int end_daemon(const Options& options, bool again) {
  LabState state = find_lab(options);
  Process* process = state.process(options.target);
  if (!process)
    throw std::out_of_range("lab " + state.name + " has no daemon '" + options.target +
                            "'; see `qanat lab status`");
  if (again)
    stop({process}, 3000);
  else
    send_signal(*process, SIGKILL);
  if (again) {
    start(*process);
    save(state);
  }
  fmt::print("{} {}\n", process->name, again ? fmt::format("runs again, pid {}", process->pid) : "killed");
  return kDone;
}

std::string own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

}  // namespace

int lab_main(int argc, char** argv) {
  Options options;
  options.bin = own_folder();
  CLI::App app{
      "qanat lab: whole networks in namespaces, from one TOML file\n\n"
      "  qanat lab up tools/lab/three_regions.toml\n"
      "  qanat lab exec city -- ping 100.96.4.1\n"
      "  qanat lab fault city-relay1-p1 down\n"
      "  qanat lab fault city-relay1-p1 up loss=5% delay=40ms\n"
      "  qanat lab down",
      "qanat lab"};
  app.require_subcommand(1);
  app.add_option("--lab", options.lab, "which lab, when several are running");
  app.fallthrough();
  auto* up_command = app.add_subcommand("up", "bring a topology up and leave it running");
  up_command->add_option("file", options.file, "topology (TOML)")->required()->check(CLI::ExistingFile);
  up_command->add_option("--name", options.name, "of the lab (default: the topology's)");
  up_command->add_option("--bin", options.bin, "folder of the daemons (default: this program's)");
  up_command->add_flag("--underlay-only", options.underlay_only, "namespaces and links, no daemons");
  auto* down_command = app.add_subcommand("down", "take a lab down");
  auto* gc_command = app.add_subcommand("gc", "clear up what crashed labs left behind");
  auto* status_command = app.add_subcommand("status", "nodes and daemons");
  status_command->add_flag("--json", options.as_json, "as JSON");
  auto* exec_command = app.add_subcommand("exec", "run a command on a node");
  exec_command->add_option("node", options.target)->required();
  exec_command->add_option("command", options.words, "-- CMD …")->required();
  auto* fault_command = app.add_subcommand("fault", "change what a link does, while it runs");
  fault_command->add_option("link", options.target)->required();
  fault_command->add_option("spec", options.words, "down, up, loss=5%, delay=40ms, 10mbit …")->required();
  auto* kill_command = app.add_subcommand("kill", "kill -9 a daemon");
  kill_command->add_option("daemon", options.target)->required();
  auto* restart_command = app.add_subcommand("restart", "end a daemon and start it again");
  restart_command->add_option("daemon", options.target)->required();
  try {
    app.parse(argc, argv);
    if (*up_command) return up(options);
    if (*down_command) return down(options);
    if (*gc_command) return gc();
    if (*status_command) return status(options);
    if (*exec_command) return exec(options);
    if (*fault_command) return fault(options);
    if (*kill_command || *restart_command) return end_daemon(options, static_cast<bool>(*restart_command));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kWrongUsage;
  } catch (const std::out_of_range& e) {
    fmt::print(stderr, "qanat lab: {}\n", e.what());
    return kNotFound;
  } catch (const std::exception& e) {
    fmt::print(stderr, "qanat lab: {}\n", e.what());
    return kFailed;
  }
  return kWrongUsage;
}

}  // namespace qanat::lab
