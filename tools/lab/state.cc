#include "tools/lab/state.hh"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.hh"

namespace qanat::lab {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Process, name, netns, command, environment, log, pid, started)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(NodeState, name, netns, socket, overlay, underlay)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HostState, tenant, node, netns, address, separate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ControllerState, name, role, node, socket, northbound,
                                                token_file, domain)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PoolState, id, node, url, socket, local)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GatewayState, node, netns, socket, url, key, tenant)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LabState, name, bin, owner_pid, owner_started, attached,
                                                ready, linkem_socket, linkem_log, nodes, hosts, controllers,
                                                pools, gateways, processes)

namespace {
std::string path_of(const std::string& name) { return std::string(kLabsFolder) + "/" + name + "/state.json"; }
}  // namespace

const NodeState* LabState::node(const std::string& wanted) const {
  const auto it = std::find_if(nodes.begin(), nodes.end(), [&](const auto& n) { return n.name == wanted; });
  return it == nodes.end() ? nullptr : &*it;
}

std::string LabState::netns_of(const std::string& place) const {
  const auto slash = place.find('/');
  if (slash == std::string::npos) {
    const NodeState* found = node(place);
    return found ? found->netns : "";
  }
  for (const auto& host : hosts)
    if (host.node == place.substr(0, slash) && host.tenant == place.substr(slash + 1)) return host.netns;
  return "";
}

Process* LabState::process(const std::string& wanted) {
  const auto it =
      std::find_if(processes.begin(), processes.end(), [&](const auto& p) { return p.name == wanted; });
  return it == processes.end() ? nullptr : &*it;
}

void save(const LabState& state) {
  base::write_file(path_of(state.name), nlohmann::json(state).dump(2) + "\n");
}

std::optional<LabState> load(const std::string& name) {
  try {
    return nlohmann::json::parse(base::read_file(path_of(name))).get<LabState>();
  } catch (const std::system_error&) {
    return {};
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

std::vector<std::string> lab_names() {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kLabsFolder, ignored))
    if (entry.is_directory()) out.push_back(entry.path().filename());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace qanat::lab
