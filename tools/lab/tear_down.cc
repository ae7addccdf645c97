#include "tools/lab/tear_down.hh"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>

#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

constexpr int kPatienceMs = 3000;  // daemons end within 2 s of SIGTERM (seams.md §1)

void remove_namespace(const std::string& name) {
  std::vector<Process> inside;
  for (const int pid : linkem::processes_in_netns(name))
    if (pid != getpid())
      inside.push_back({.name = {},
                        .netns = {},
                        .command = {},
                        .environment = {},
                        .log = {},
                        .pid = pid,
                        .started = start_time(pid)});
  std::vector<Process*> pointers;
  for (auto& process : inside) pointers.push_back(&process);
  stop(pointers, 500);
  linkem::remove_netns(name);
}

bool is_garbage(const LabState& state) {
  const bool owner_gone = state.owner_started == 0 || start_time(state.owner_pid) != state.owner_started;
  if (owner_gone && (state.attached || !state.ready)) return true;
  // A lab without its links carries nothing: it outlived a reboot, or somebody killed it.
  for (const auto& process : state.processes)
    if (process.name == "linkem") return state.ready && !alive(process);
  return owner_gone;
}

}  // namespace

void tear_down(LabState& state) {
  std::vector<Process*> processes;
  for (auto& process : state.processes) processes.push_back(&process);
  stop(processes, kPatienceMs);
  for (const auto& host : state.hosts)
    if (host.separate) remove_namespace(host.netns);
  for (const auto& node : state.nodes) remove_namespace(node.netns);
  std::filesystem::remove_all(state.folder());
  // The folder of all labs goes with the last one; while others are there, it stays.
  std::error_code not_empty;
  std::filesystem::remove(kLabsFolder, not_empty);
}

std::vector<std::string> collect_garbage() {
  std::vector<std::string> removed;
  std::set<std::string> claimed;
  for (const auto& name : lab_names()) {
    auto state = load(name);
    if (!state) {
      std::filesystem::remove_all(std::string(kLabsFolder) + "/" + name);
      removed.push_back("lab " + name + " (no readable state)");
    } else if (is_garbage(*state)) {
      tear_down(*state);
      removed.push_back("lab " + name);
    } else {
      for (const auto& node : state->nodes) claimed.insert(node.netns);
      for (const auto& host : state->hosts) claimed.insert(host.netns);
    }
  }
  for (const auto& netns : linkem::list_netns("ql")) {
    char* end = nullptr;
    const long pid = std::strtol(netns.c_str() + 2, &end, 10);
    if (pid <= 0 || *end != '-' || claimed.count(netns) || start_time(static_cast<int>(pid)) != 0) continue;
    remove_namespace(netns);
    removed.push_back("namespace " + netns);
  }
  std::error_code not_empty;
  std::filesystem::remove(kLabsFolder, not_empty);
  return removed;
}

}  // namespace qanat::lab
