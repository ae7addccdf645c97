#include "tools/qanat/places.hh"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "tools/qanat/command_error.hh"
#include "tools/qanat/contexts.hh"

namespace qanat::cli {
namespace {

constexpr const char* kNoLab = "no lab runs on this machine, and no service of a package";
// Where the packages' services listen.
constexpr const char* kControllerSocket = "/run/qanat/controller.sock";
constexpr const char* kBoxSocket = "/run/qanat/qanatd.sock";

std::optional<Place> service(const std::string& what, const std::string& socket) {
  if (access(socket.c_str(), F_OK) != 0) return std::nullopt;
  return Place{what, "unix:" + socket, {}, {}};
}

}  // namespace

std::optional<lab::LabState> find_lab(const Options& options) {
  if (!options.lab.empty()) {
    auto state = lab::load(options.lab);
    if (!state)
      throw CommandError{kNotFound, fmt::format("no lab is called {}", options.lab),
                         fmt::format("there are: {}", fmt::join(lab::lab_names(), ", "))};
    return state;
  }
  std::vector<lab::LabState> alive;
  for (const std::string& name : lab::lab_names()) {
    auto state = lab::load(name);
    const bool runs = state && std::any_of(state->processes.begin(), state->processes.end(),
                                           [](const lab::Process& p) { return lab::alive(p); });
    if (runs) alive.push_back(std::move(*state));
  }
  if (alive.empty()) return std::nullopt;
  if (alive.size() == 1) return std::move(alive.front());
  std::vector<std::string> names;
  for (const auto& state : alive) names.push_back(state.name);
  throw CommandError{kWrongUsage, fmt::format("{} labs run here: {}", names.size(), fmt::join(names, ", ")),
                     "say which with --lab NAME"};
}

Place find_controller(const Options& options) {
  if (!options.socket.empty())
    return {"the controller at " + options.socket, "unix:" + options.socket, {}, {}};
  if (!options.controller.empty())
    return {"the controller at " + options.controller, options.controller, {}, options.token};
  if (options.lab.empty())
    if (const auto context = context_in_use(); context && !context->controller.empty())
      return {"the controller at " + context->controller,
              context->controller,
              {},
              options.token.empty() ? context->token : options.token};
  const auto state = find_lab(options);
  if (!state) {
    if (auto here = service("the controller", kControllerSocket)) return *here;
    throw CommandError{kNotReachable, kNoLab,
                       "`qanat up` starts one; or --socket PATH names a controller's socket"};
  }
  const auto& all = state->controllers;
  auto chosen = std::find_if(all.begin(), all.end(), [](const auto& c) { return c.role == "global"; });
  if (chosen == all.end()) chosen = all.begin();
  if (chosen == all.end())
    throw CommandError{kNotFound, fmt::format("lab {} has no controller", state->name),
                       "add a [[controller]] to its topology"};
  return {fmt::format("controller {}", chosen->name), "unix:" + chosen->socket, {}, {}};
}

Place find_gateway(const Options& options) {
  if (!options.gateway.empty())
    return {"the gateway at " + options.gateway, options.gateway, {}, options.key};
  if (options.lab.empty())
    if (const auto context = context_in_use(); context && !context->gateway.empty())
      return {"the gateway at " + context->gateway,
              context->gateway,
              {},
              options.key.empty() ? context->key : options.key};
  const auto state = find_lab(options);
  if (!state)
    throw CommandError{
        kNotReachable, kNoLab,
        "`qanat up` starts one; or --gateway URL --key KEY (QANAT_GATEWAY, QANAT_KEY) name a gateway"};
  if (state->gateways.empty())
    throw CommandError{kNotFound, fmt::format("lab {} has no gateway", state->name),
                       "add a [[gateway]] to its topology"};
  const lab::GatewayState& gateway = state->gateways.front();
  return {fmt::format("the gateway at {}", gateway.node), gateway.url, gateway.netns,
          options.key.empty() ? gateway.key : options.key};
}

std::optional<Place> find_box(const Options& options, const std::string& node) {
  if (!options.socket.empty()) return Place{"the box at " + options.socket, "unix:" + options.socket, {}, {}};
  const auto state = find_lab(options);
  if (!state) return service("this box", kBoxSocket);
  const lab::NodeState* found = state->node(node);
  if (found == nullptr || found->socket.empty()) return std::nullopt;
  return Place{"box " + node, "unix:" + found->socket, {}, {}};
}

}  // namespace qanat::cli
