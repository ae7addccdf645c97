#include "tools/lab/lab_commands.hh"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "base/file.hh"
#include "tools/lab/bring_up.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/picture.hh"
#include "tools/lab/tear_down.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {

using nlohmann::json;

LabState find_lab(const Options& options) {
  std::string name = options.lab;
  if (name.empty()) {
    const auto names = lab_names();
    if (names.empty()) throw std::out_of_range("no lab is running; `qanat lab up FILE` starts one");
    if (names.size() > 1) {
      std::string all;
      for (const auto& n : names) all += " " + n;
      throw std::out_of_range("several labs are running; --lab NAME says which:" + all);
    }
    name = names.front();
  }
  auto state = load(name);
  if (!state) throw std::out_of_range("there is no lab '" + name + "'; `qanat lab status` lists them");
  return *state;
}

void answer(const Options& options, const json& report, const std::string& sentence) {
  fmt::print("{}\n", options.as_json ? report.dump(2) : sentence);
}

int bring_lab_up(const Options& options) {
  Topology topology;
  if (!load_topology(options.file, topology)) return kWrongUsage;
  BringUpOptions how;
  how.name = options.name;
  how.bin = options.bin;
  how.underlay_only = options.underlay_only;
  if (!options.quiet) how.progress = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  for (const int s : {SIGINT, SIGTERM}) signal(s, [](int) { set_interrupted(); });
  const std::string name = how.name.empty() ? topology.name : how.name;
  const bool was_there = std::filesystem::exists(std::string(kLabsFolder) + "/" + name);
  try {
    const LabState state = bring_up(topology, how);
    answer(
        options, {{"name", state.name}, {"nodes", state.nodes.size()}, {"folder", state.folder()}},
        fmt::format("lab {} is up: {} nodes, state in {}", state.name, state.nodes.size(), state.folder()));
    return kDone;
  } catch (...) {
    // A lab half up is taken down again, but never one that somebody else had made before.
    if (auto half = load(name); half && !was_there) tear_down(*half);
    throw;
  }
}

int take_lab_down(const Options& options) {
  LabState state = find_lab(options);
  tear_down(state);
  answer(options, {{"name", state.name}}, "lab " + state.name + " is down");
  return kDone;
}

int remove_garbage(const Options& options) {
  const auto removed = collect_garbage();
  std::string text;
  for (const auto& line : removed) text += (text.empty() ? "removed " : "\nremoved ") + line;
  answer(options, {{"removed", removed}}, text.empty() ? "nothing to remove" : text);
  return kDone;
}

namespace {

json report_of(LabState& state) {
  json report = {{"name", state.name},        {"ready", state.ready},         {"folder", state.folder()},
                 {"nodes", json::array()},    {"hosts", json::array()},       {"processes", json::array()},
                 {"gateways", json::array()}, {"linkem", state.linkem_socket}};
  for (const auto& node : state.nodes)
    report["nodes"].push_back(
        {{"name", node.name}, {"netns", node.netns}, {"overlay", node.overlay}, {"underlay", node.underlay}});
  for (const auto& host : state.hosts)
    report["hosts"].push_back(
        {{"tenant", host.tenant}, {"node", host.node}, {"netns", host.netns}, {"address", host.address}});
  for (const auto& gateway : state.gateways)
    report["gateways"].push_back({{"node", gateway.node}, {"netns", gateway.netns}, {"url", gateway.url}});
  for (const auto& process : state.processes)
    report["processes"].push_back(
        {{"name", process.name}, {"pid", process.pid}, {"alive", alive(process)}, {"log", process.log}});
  return report;
}

void print_lab(LabState& state) {
  fmt::print("lab {} ({})\n", state.name, state.ready ? "up" : "coming up");
  for (const auto& node : state.nodes)
    fmt::print("  {:<20} {:<24} {:<14} {}\n", node.name, node.netns, node.overlay,
               node.underlay.empty() ? "" : node.underlay.front());
  for (const auto& host : state.hosts)
    if (host.separate)
      fmt::print("  {:<20} {:<24} {}\n", host.node + "/" + host.tenant, host.netns, host.address);
  for (const auto& process : state.processes)
    fmt::print("  {:<20} pid {:<8} {}\n", process.name, process.pid,
               alive(process) ? "alive" : "ENDED, see " + process.log);
}

}  // namespace

int show_labs(const Options& options) {
  const auto names = lab_names();
  if (!options.lab.empty() || names.size() == 1) {
    LabState state = find_lab(options);
    if (options.as_json)
      fmt::print("{}\n", report_of(state).dump(2));
    else
      print_lab(state);
    return kDone;
  }
  json all = json::array();
  for (const auto& name : names)
    if (auto state = load(name)) {
      if (options.as_json)
        all.push_back(report_of(*state));
      else
        fmt::print("{:<20} {} nodes, {}\n", name, state->nodes.size(), state->ready ? "up" : "coming up");
    }
  if (options.as_json)
    fmt::print("{}\n", all.dump(2));
  else if (names.empty())
    fmt::print("no lab is running; `qanat lab up FILE` starts one\n");
  return kDone;
}

int run_on_node(const Options& options) {
  const LabState state = find_lab(options);
  const std::string netns = state.netns_of(options.target);
  if (netns.empty()) {
    std::string places;
    for (const auto& node : state.nodes) places += " " + node.name;
    for (const auto& host : state.hosts)
      if (host.separate) places += " " + host.node + "/" + host.tenant;
    throw std::out_of_range(
        fmt::format("lab {} has no node '{}'; there are:{}", state.name, options.target, places));
  }
  const linkem::Fd target = linkem::open_netns(netns);
  if (setns(target.get(), CLONE_NEWNET) != 0)
    throw std::system_error(errno, std::generic_category(), "enter namespace " + netns);
  std::vector<char*> argv;
  for (const auto& word : options.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  throw std::system_error(errno, std::generic_category(), "run " + options.words.front());
}

int act_on_daemon(const Options& options, const std::string& what) {
  LabState state = find_lab(options);
  Process* process = state.process(options.target);
  if (!process) {
    std::string names;
    for (const auto& p : state.processes) names += " " + p.name;
    throw std::out_of_range(
        fmt::format("lab {} has no daemon '{}'; there are:{}", state.name, options.target, names));
  }
  if (what == "restart") {
    send_signal(*process, SIGCONT);
    stop({process}, 3000);
    start(*process);
    save(state);
  } else {
    send_signal(*process, what == "kill" ? SIGKILL : what == "pause" ? SIGSTOP : SIGCONT);
  }
  answer(options, {{"daemon", process->name}, {"pid", process->pid}, {"did", what}},
         fmt::format("{}: {}, pid {}", process->name,
                     what == "restart" ? "runs again"
                     : what == "kill"  ? "killed"
                     : what == "pause" ? "paused"
                                       : "goes on",
                     process->pid));
  return kDone;
}

int draw(const Options& options) {
  Topology topology;
  PictureState now;
  if (!options.file.empty()) {
    if (!load_topology(options.file, topology)) return kWrongUsage;
  } else {
    LabState state = find_lab(options);
    if (!load_topology(state.topology_file(), topology)) return kFailed;
    for (const auto& link : get(state.linkem_socket, "/v1/links")) {
      const std::string name = link.at("name");
      const Link* spec = topology.link(name);
      if (!spec) continue;
      if (link["up"].value("down", false) || link["down"].value("down", false)) now.links_down.insert(name);
      if (link["up"]["spec"] != linkem::to_string(spec->up) ||
          link["down"]["spec"] != linkem::to_string(spec->down))
        now.links_touched.insert(name);
    }
    for (const auto& process : state.processes)
      if (!alive(process)) now.dead.insert(process.name);
  }
  const std::string svg = to_svg(topology, now);
  if (options.output == "-")
    fmt::print("{}", svg);
  else
    base::write_file(options.output, svg, 0644);
  return kDone;
}

}  // namespace qanat::lab
