#include "controller/app/settings.hh"

#include <algorithm>

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

constexpr std::string_view kEtcd = "etcd:";
constexpr std::string_view kSqlite = "sqlite:";

// "etcd:http://192.0.2.1:2379,http://192.0.2.2:2379"; "sqlite:FILE", or FILE alone.
void read_state(base::ConfigTable& root, Settings& s) {
  const std::string text = root.string("state");
  if (text.starts_with(kEtcd)) {
    for (std::size_t from = kEtcd.size(); from <= text.size();) {
      const std::size_t end = std::min(text.find(',', from), text.size());
      const std::string endpoint = text.substr(from, end - from);
      if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://"))
        root.problem("state", "'" + endpoint + "' is no endpoint of etcd",
                     "\"etcd:http://192.0.2.1:2379,http://…\"");
      s.etcd.endpoints.push_back(endpoint);
      from = end + 1;
    }
  } else {
    s.state = text.starts_with(kSqlite) ? text.substr(kSqlite.size()) : text;
  }
  auto table = root.table("etcd");
  if (!table) return;
  if (s.etcd.endpoints.empty())
    root.problem("etcd", "the state is kept in a file", "state = \"etcd:ENDPOINT,…\", or no [etcd]");
  s.etcd.user = table->string("user", "");
  s.etcd.password_file = table->string("password_file", "");
  if (s.etcd.user.empty() != s.etcd.password_file.empty())
    table->problem("user", "one of user and password_file is missing", "both, or neither");
  s.etcd.ca_file = table->string("ca_file", "");
  s.etcd.certificate_file = table->string("certificate_file", "");
  s.etcd.key_file = table->string("key_file", "");
  if (s.etcd.certificate_file.empty() != s.etcd.key_file.empty())
    table->problem("certificate_file", "one of certificate_file and key_file is missing", "both, or neither");
  if (s.etcd.ca_file.empty() && std::any_of(s.etcd.endpoints.begin(), s.etcd.endpoints.end(),
                                            [](const auto& e) { return e.starts_with("https"); }))
    table->problem("ca_file", "missing", "the CA of etcd's https endpoints");
  s.etcd.lease_s = table->integer("lease_s", {2, 60}, 2);
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
  read_state(root, s);
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
    const auto number = [&](std::string_view key, base::IntRange range, std::uint32_t fallback) {
      return static_cast<std::uint32_t>(probes->integer(key, range, fallback));
    };
    s.active_interval_ms = number("active_interval_ms", {1, 1000}, s.active_interval_ms);
    s.mesh_interval_ms = number("mesh_interval_ms", {10, 3000}, s.mesh_interval_ms);
    // A report counts for 10 s (telemetry::Matrix::kFresh), so at least three must come in that time.
    s.report_interval_ms = number("report_interval_ms", {50, 3000}, s.report_interval_ms);
    s.relay_probes_per_s = number("relay_probes_per_s", {0, 10'000'000}, s.relay_probes_per_s);
  }
}

}  // namespace qanat::app
