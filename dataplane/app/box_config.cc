#include "dataplane/app/box_config.hh"

#include <charconv>
#include <set>

#include "base/config.hh"
#include "base/http_server.hh"
#include "dataplane/packet/ip_address.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::app {
namespace {

constexpr std::size_t kMaxDeviceName = 15;  // IFNAMSIZ − 1

void read_line(base::ConfigTable& table, BoxConfig& config, std::set<std::uint32_t>& planes) {
  LineSettings line;
  line.plane = static_cast<std::uint32_t>(table.integer("plane", {1, ids::PlaneId::kMax}));
  line.address = table.string("address");
  line.port = static_cast<std::uint16_t>(table.integer("port", {1, 65535}, 7700));
  line.name = table.string("name", "");
  if (!line.address.empty() && !packet::parse_ip_address(line.address))
    table.problem("address", "'" + line.address + "' is no address",
                  "an IPv4 or IPv6 address of this machine");
  if (line.plane != 0 && !planes.insert(line.plane).second)
    table.problem("plane", "plane " + std::to_string(line.plane) + " has a line already",
                  "one line per plane");
  config.lines.push_back(std::move(line));
}

void read_tenant(const std::string& key, base::ConfigTable& table, BoxConfig& config) {
  std::uint32_t vni = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), vni);
  if (error != std::errc{} || end != key.data() + key.size() || vni == 0 || vni > ids::Vni::kMax)
    table.problem("", "'" + key + "' is no VNI", "[tenant.N] with N from 1 to 16777215");
  TenantSettings tenant;
  tenant.device = table.string("device", "");
  tenant.netns = table.string("netns", "");
  if (tenant.device.size() > kMaxDeviceName)
    table.problem("device", "'" + tenant.device + "' is too long", "at most 15 characters");
  config.tenants[vni] = std::move(tenant);
}

}  // namespace

void read(base::ConfigTable& root, BoxConfig& config) {
  config.name = root.string("name");
  config.location = root.string("location", "");
  config.state_dir = root.string("state_dir");
  config.socket = root.string("socket");
  config.relay = root.boolean("relay", false);
  config.workers = static_cast<unsigned>(root.integer("workers", {1, 1}, 1));
  if (auto controller = root.table("controller", true)) {
    config.controllers = controller->strings("addresses", true);
    for (const std::string& a : config.controllers)
      if (!base::split_address(a))
        controller->problem("addresses", "'" + a + "' is no address", "\"192.0.2.1:7443\"");
    config.join_token_file = controller->string("join_token_file", "");
  }
  std::set<std::uint32_t> planes;
  for (auto& line : root.tables("line", true)) read_line(line, config, planes);
  for (auto& [key, table] : root.named_tables("tenant")) read_tenant(key, table, config);
}

const std::string_view kSampleConfig = R"(# qanatd: a box of the overlay network.
name = "city"                       # unique in its domain
location = "gz.cn"                  # C-URL location labels
state_dir = "/var/lib/qanat/city"   # keys, certificate, last signed configuration: mode 0600
socket = "/run/qanat/city.sock"     # local HTTP interface: status, peers, paths, counters, events
relay = false                       # carry other boxes' datagrams
workers = 1                         # forwarding threads; this version has one

[controller]
addresses = ["192.0.2.1:7443"]      # every known address, tried in turn
join_token_file = "/etc/qanat/join" # used once, when state_dir holds no certificate

# One per operator line.
[[line]]
plane = 1                           # 1 private, 2 internet
address = "10.1.0.1"                # of this machine, on that line
port = 7700
name = "private"

# Where this box differs from device qt<vni> in its own namespace.
[tenant.100]
device = "qt100"
netns = ""
)";

}  // namespace qanat::app
