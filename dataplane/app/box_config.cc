#include "dataplane/app/box_config.hh"

#include <charconv>
#include <set>

#include "base/config.hh"
#include "base/http_server.hh"
#include "dataplane/forwarder/message.hh"
#include "dataplane/io/tun_device.hh"
#include "dataplane/packet/ip_address.hh"
#include "identifiers/ids/sid.hh"
#include "identifiers/ids/vni.hh"

namespace qanat::app {
namespace {

void read_line(base::ConfigTable& table, BoxConfig& config, std::set<std::uint32_t>& planes) {
  LineSettings line;
  line.plane = static_cast<std::uint32_t>(table.integer("plane", {1, ids::PlaneId::kMax}));
  line.address = table.string("address");
  line.port = static_cast<std::uint16_t>(table.integer("port", {1, 65535}, 7700));
  line.name = table.string("name", "");
  line.af_xdp = table.boolean("af_xdp", false);
  if (line.af_xdp && (!config.relay || config.workers != 1))
    table.problem("af_xdp", "is on", "relay = true and workers = 1 beside it");
  if (!line.address.empty() && !packet::parse_ip_address(line.address))
    table.problem("address", "'" + line.address + "' is no address",
                  "an IPv4 or IPv6 address of this machine");
  if (line.plane != 0 && !planes.insert(line.plane).second)
    table.problem("plane", "plane " + std::to_string(line.plane) + " has a line already",
                  "one line per plane");
  read_line_rate(table, config.qos);
  line.in_bps = read_rate(table, "rate_in");
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
  if (tenant.device.size() > io::kMaxDeviceName)
    table.problem("device", "'" + tenant.device + "' is too long", "at most 15 characters");
  read_tenant_rates(table, vni, config.qos);
  config.tenants[vni] = std::move(tenant);
}

void read_forwarding(base::ConfigTable& table, ForwardingSettings& out) {
  out.pin = table.boolean("pin", out.pin);
  out.port_per_worker = table.boolean("port_per_worker", out.port_per_worker);
  out.linger = std::chrono::microseconds{table.integer("linger_us", {0, 1000}, out.linger.count())};
  out.anticipation =
      std::chrono::microseconds{table.integer("anticipation_us", {0, 1000}, out.anticipation.count())};
  out.real_time = table.boolean("real_time", out.real_time);
  const std::string adaptive = table.one_of("adaptive", {"auto", "on", "off"}, "off");
  out.adaptive = adaptive == "on"    ? forwarder::Adaptive::On
                 : adaptive == "off" ? forwarder::Adaptive::Off
                                     : forwarder::Adaptive::Auto;
  out.offloads.tun_tcp = table.boolean("tun_tcp", out.offloads.tun_tcp);
  out.offloads.tun_udp = table.boolean("tun_udp", out.offloads.tun_udp);
  out.offloads.udp_segment = table.boolean("udp_segment", out.offloads.udp_segment);
  out.offloads.udp_gather = table.boolean("udp_gather", out.offloads.udp_gather);
}

}  // namespace

void read(base::ConfigTable& root, BoxConfig& config) {
  config.name = root.string("name");
  config.location = root.string("location", "");
  config.state_dir = root.string("state_dir");
  config.socket = root.string("socket");
  config.metrics = root.string("metrics", "");
  if (!config.metrics.empty() && !base::split_address(config.metrics))
    root.problem("metrics", "\"" + config.metrics + "\" is not an address", "ADDRESS:PORT");
  config.relay = root.boolean("relay", false);
  config.relay_packets_per_s =
      static_cast<std::uint32_t>(root.integer("relay_packets_per_s", {0, 1'000'000'000}, 0));
  config.workers = static_cast<unsigned>(root.integer("workers", {1, 16}, 1));
  if (!forwarder::valid_worker_count(config.workers))
    root.problem("workers", "is " + std::to_string(config.workers), "1, 2, 4, 8 or 16");
  if (auto forwarding = root.table("forwarding")) read_forwarding(*forwarding, config.forwarding);
  if (auto controller = root.table("controller", true)) {
    config.controllers = controller->strings("addresses", true);
    for (const std::string& a : config.controllers)
      if (!base::split_address(a))
        controller->problem("addresses", "'" + a + "' is no address", "\"192.0.2.1:7443\"");
    config.join_token_file = controller->string("join_token_file", "");
    config.rotate_key_days = static_cast<unsigned>(controller->integer("rotate_key_days", {0, 3650}, 90));
  }
  std::set<std::uint32_t> planes;
  for (auto& line : root.tables("line", true)) read_line(line, config, planes);
  for (auto& [key, table] : root.named_tables("tenant")) read_tenant(key, table, config);
  read_qos(root, config.qos);
  read_srv6(root, config.srv6);
}

const std::string_view kSampleConfig = R"(# qanatd: a box of the overlay network.
name = "city"                       # unique in its domain
location = "gz.cn"                  # C-URL location labels
state_dir = "/var/lib/qanat/city"   # keys, certificate, last signed configuration: mode 0600
socket = "/run/qanat/qanatd.sock"   # local HTTP interface: status, peers, paths, counters, events
# metrics = "10.0.0.1:9464"           # GET /metrics over TCP too, for Prometheus on another host
relay = false                       # carry other boxes' datagrams
# relay_packets_per_s = 200000      # of these it carries so many: the controller plans no more over it
workers = 1                         # forwarding threads: 1, 2, 4, 8 or 16, at most one per CPU

[controller]
addresses = ["192.0.2.1:7443"]      # every known address, tried in turn
join_token_file = "/etc/qanat/join" # used once, when state_dir holds no certificate
rotate_key_days = 90                # a new static key so often; 0: only by `qanat node rotate`

# One per operator line.
[[line]]
plane = 1                           # 1 private, 2 internet
address = "10.1.0.1"                # of this machine, on that line
port = 7700
name = "private"
# rate_in = "200mbit"               # what it brings: the controller plans no more towards this box
# rate = "50mbit"                   # what the line carries, where it is less than its port: nothing waits outside this box
# af_xdp = true                     # a relay of one worker: other boxes' datagrams past the kernel's IP stack, where the
                                    #   device's driver has XDP; slower than without on virtual devices (veth)

# How the workers move packets; these are the defaults.
[forwarding]
pin = true                          # several workers: each to a CPU of its own
port_per_worker = false             # workers after the first send from UDP ports of their own (entropy for ECMP);
                                    #   set it on every box of an installation, or on none
linger_us = 0                       # after work, look for more this long before sleeping; 0 to 1000 (busy polling)
anticipation_us = 100               # the same only where answers come so soon, with a quarter of a CPU at most; 0: never
real_time = true                    # while critical passes a contended CPU, workers take the real-time class
adaptive = "off"                    # auto: watch paths, keep their queues short, stripe and repair where it helps; on, off
tun_tcp = true                      # offloads, each to be switched off where a kernel gets it wrong:
tun_udp = true                      #   TCP and UDP super-packets at tenants' devices,
udp_segment = true                  #   UDP_SEGMENT and
udp_gather = true                   #   UDP_GRO on the lines

# Where this box differs from device qt<vni> in its own namespace.
[tenant.100]
device = "qt100"
netns = ""
# committed = "20mbit"              # served before others of the same tier up to here,
# burst = "200mbit"                 #   and never more than this, all tiers together
# critical_rate = "5mbit"           # admitted as critical, every copy counted; what is more goes as interactive
# bulk = "10mbit"                   # bulk and scavenger, when no window holds; "none": they wait for one
# [[tenant.100.window]]             # nights, in this machine's time zone
# days = ["mon-fri"]
# hours = "22:00-06:00"
# bulk = "200mbit"                  # left out: without limit

# Shares of a path, or of a line, when not everything can leave at once; these are the defaults.
[qos]
critical_share = 0.5                # of what leaves, at most, while others wait
interactive_weight = 4              # interactive against bulk
bulk_weight = 1
interactive_queue = "5ms"           # a tenant's queue that stands longer than this is cut (CoDel, RFC 8289);
bulk_queue = "60ms"                 #   longer for bulk, which may have several paths to fill

# Which flows travel in which tier, instead of what their DSCP asks for. The first rule that fits decides, once a flow.
# [[classify]]
# tenant = 100
# destination_port = "9000-9100"    # dscp, protocol, source, destination, source_port; every one that is given has to fit
# pcap = "tcp and greater 100"      # an expression as tcpdump takes them
# tier = "interactive"

# An SRv6 edge: real segment routing packets in and out of this box. Where there is one:
# [srv6]
# address = "fc00:a::1"               # outer source of what this box encapsulates
# mtu = 1500
# sources = ["fc00::/16"]             # the SR domain: other outer sources are dropped
#
# [[srv6.link]]                       # a TUN; the kernel brings these prefixes to it
# device = "qsr0"
# routes = ["fc00:a::/48"]
#
# [[srv6.sid]]                        # End.DT6: what is inside goes to a tenant's table
# sid = "fc00:a::d6"
# behavior = "End.DT6"                # or End, End.X, End.DT4, End.DT46, End.DX4, End.DX6, End.B6.Encaps, End.B6.Overlay
# vni = 100
# hmac = "if_present"                 # or required, ignore
# tier = "interactive"                # instead of what the inner DSCP asks for
#
# [[srv6.policy]]                     # H.Encaps: tenant 100's packets to these prefixes travel a segment list
# name = "north"
# vni = 100
# prefixes = ["2001:db8:2::/64"]      # the controller gives them to this box as its tenant's prefixes
# segments = ["fc00:b::e", "fc00:c::d6"]
# reduced = false                     # true: H.Encaps.Red
)";

}  // namespace qanat::app
