#include "controller/app/settings.hh"

#include "base/config.hh"
#include "base/http_server.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/session/membership.hh"

namespace qanat::app {
namespace {

void check_addresses(base::ConfigTable& table, std::string_view key,
                     const std::vector<std::string>& addresses) {
  for (const auto& address : addresses) {
    if (!base::split_address(address))
      table.problem(key, "'" + address + "' is no address", "\"192.0.2.1:7443\"");
  }
}

}  // namespace

void read(base::ConfigTable& root, Settings& s) {
  s.name = root.string("name");
  if (!s.name.empty() && !policy::good_name(s.name))
    root.problem("name", "'" + s.name + "'", "a-z, 0-9 and '-', 1 to 63");
  s.global = root.one_of("role", {"domain", "global"}) == "global";
  s.domain = static_cast<std::uint32_t>(root.integer("domain", {0, session::Membership::kMaxDomain}, 0));
  if (s.global && s.domain != 0)
    root.problem("domain", std::to_string(s.domain), "0 or nothing: the global level has none");
  if (!s.global && s.domain == 0) root.problem("domain", "missing or 0", "this domain's number, 1 to 4095");
  s.state = root.string("state");
  s.listen = root.strings("listen", true);
  check_addresses(root, "listen", s.listen);
  s.socket = root.string("socket");
  s.northbound = root.string("northbound", "");
  if (!s.northbound.empty()) check_addresses(root, "northbound", {s.northbound});
  s.admin_token_file = root.string("admin_token_file", "");
  s.viewer_token_file = root.string("viewer_token_file", "");
  if (!s.northbound.empty() && s.admin_token_file.empty()) {
    root.problem("northbound", "served without a token", "admin_token_file beside it");
  }
  if (auto parent = root.table("parent")) {
    if (s.global) root.problem("parent", "the global level has no parent", "no [parent] here");
    s.parent_addresses = parent->strings("addresses", true);
    check_addresses(*parent, "addresses", s.parent_addresses);
    s.join_token_file = parent->string("join_token_file", "");
  }
  if (auto probes = root.table("probes")) {
    const auto ms = [&](std::string_view key, base::IntRange range, std::uint32_t fallback) {
      return static_cast<std::uint32_t>(probes->integer(key, range, fallback));
    };
    s.active_interval_ms = ms("active_interval_ms", {1, 1000}, s.active_interval_ms);
    s.mesh_interval_ms = ms("mesh_interval_ms", {10, 3000}, s.mesh_interval_ms);
    // A report counts for 10 s (telemetry::Matrix::kFresh), so at least three must come in that time.
    s.report_interval_ms = ms("report_interval_ms", {50, 3000}, s.report_interval_ms);
  }
}

}  // namespace qanat::app
