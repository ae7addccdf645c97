// publish: services put at a gateway, listed and withdrawn, over its admin socket.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "identifiers/c_url/c_url.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

constexpr const char* kGatewaySocket = "/run/qanat/gateway.sock";

Place admin_of(const Options& options) {
  if (!options.socket.empty()) return {"the gateway at " + options.socket, "unix:" + options.socket, {}, {}};
  if (const auto state = find_lab(options); state && !state->gateways.empty()) {
    const lab::GatewayState& gateway = state->gateways.front();
    return {"the gateway at " + gateway.node, "unix:" + gateway.socket, {}, {}};
  }
  return {"the gateway here", std::string("unix:") + kGatewaySocket, {}, {}};
}

void must_be_c_url(const std::string& text) {
  if (auto url = c_url::CUrl::parse(text); !url)
    throw CommandError{kWrongUsage, "not a C-URL\n" + c_url::point_at(text, url.error()),
                       "c-url://[provider@]location/service[/model[@version]]"};
}

std::string joined(const json& list) {
  return fmt::format("{}", fmt::join(list.get<std::vector<std::string>>(), " "));
}

}  // namespace

int publish(const Options& options, const PublishRequest& request) {
  must_be_c_url(request.c_url);
  const json body{{"c_url", request.c_url},
                  {"protocol", request.udp ? "udp" : "tcp"},
                  {"port", request.port},
                  {"backends", request.backends},
                  {"tenants", request.tenants}};
  const json service = ask(admin_of(options), "PUT", "/v1/services", body.dump());
  if (options.json) {
    fmt::print("{}\n", service.dump(2));
    return 0;
  }
  fmt::print("{} on {} port {}: {}\n", service.value("c_url", ""), service.value("protocol", ""),
             service.value("port", 0), joined(service.at("backends")));
  fmt::print("addresses  {}  {}\n", service.value("ipv4", ""), service.value("ipv6", ""));
  for (const json& name : service.at("names")) fmt::print("name       {}\n", name.get<std::string>());
  if (service.at("names").empty())
    fmt::print("by proxy only, with a key of {}\n", joined(service.at("tenants")));
  return 0;
}

int withdraw(const Options& options, const PublishRequest& request) {
  must_be_c_url(request.c_url);
  ask(admin_of(options), "DELETE",
      fmt::format("/v1/services?c_url={}&protocol={}&port={}", base::percent_encode(request.c_url),
                  request.udp ? "udp" : "tcp", request.port));
  if (!options.json) fmt::print("withdrawn; connections that stand go on\n");
  return 0;
}

int list_services(const Options& options) {
  const json all = ask(admin_of(options), "GET", "/v1/services");
  if (options.json) {
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  Table table{{"C-URL", "PROTOCOL", ">PORT", "BACKENDS", "TENANTS", "IPV4"}};
  for (const json& s : all)
    table.row({s.value("c_url", ""), s.value("protocol", ""), std::to_string(s.value("port", 0)),
               joined(s.at("backends")), s.at("tenants").empty() ? "everybody" : joined(s.at("tenants")),
               s.value("ipv4", "")});
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

}  // namespace qanat::cli
