#include "tools/lab/daemon_config.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/lab/etcd_keys.hh"

namespace qanat::lab {
namespace {

std::string quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const auto& text : texts) out.push_back("\"" + text + "\"");
  return fmt::format("[{}]", fmt::join(out, ", "));
}

// The position of entry `i` among those on the same node: several daemons of one kind share an address.
template <class List>
int rank_on_node(const List& list, std::size_t i) {
  int rank = 0;
  for (std::size_t j = 0; j < i; ++j) rank += list[j].node == list[i].node;
  return rank;
}

const ControllerSpec* global_of(const Topology& topology) {
  const auto it = std::find_if(topology.controllers.begin(), topology.controllers.end(),
                               [](const auto& c) { return c.global; });
  return it == topology.controllers.end() ? nullptr : &*it;
}

std::string pool_host(const Topology& topology, std::size_t i) {
  return fmt::format("{}:{}", overlay_address(*topology.node(topology.pools[i].node)),
                     kPoolPort + rank_on_node(topology.pools, i));
}

linkem::LinkEnd link_end(const Topology& topology, const Link& link, bool a,
                         const std::string& netns_prefix) {
  const Node& self = *topology.node(a ? link.a : link.b);
  const Node& peer = *topology.node(a ? link.b : link.a);
  linkem::LinkEnd end;
  end.netns = netns_prefix + self.name;
  const std::string device = fmt::format("p{}-{}", link.plane, peer.name);
  end.device = device.size() <= 15 ? device : fmt::format("p{}-n{}", link.plane, peer.number);
  // For the plane's own packets, and, in the main table, for sockets that leave the source to the kernel.
  const std::string to = underlay_address(link.plane, peer) + "/32",
                    from = underlay_address(link.plane, self);
  end.routes.push_back({to, from, plane_table(link.plane)});
  end.routes.push_back({to, from, 0});
  return end;
}

}  // namespace

std::vector<std::string> southbound_addresses(const Topology& topology, std::size_t i) {
  const Node& node = *topology.node(topology.controllers[i].node);
  std::vector<std::string> out;
  for (const int plane : node.planes)
    out.push_back(fmt::format("{}:{}", underlay_address(plane, node),
                              kSouthboundPort + rank_on_node(topology.controllers, i)));
  return out;
}

std::vector<std::string> member_addresses(const Topology& topology, std::size_t i) {
  const ControllerSpec& self = topology.controllers[i];
  std::vector<std::string> out;
  for (std::size_t j = 0; j < topology.controllers.size(); ++j) {
    const ControllerSpec& other = topology.controllers[j];
    if (other.global != self.global || other.domain != self.domain) continue;
    const auto addresses = southbound_addresses(topology, j);
    out.insert(out.end(), addresses.begin(), addresses.end());
  }
  return out;
}

std::string etcd_address(const Topology& topology, std::size_t i) {
  const Node& node = *topology.node(topology.etcd[i].node);
  return underlay_address(node.planes.back(), node);
}

std::string etcd_url(const Topology& topology, std::size_t i) {
  return fmt::format("https://{}:{}", etcd_address(topology, i), kEtcdPort);
}

std::vector<std::string> etcd_command(const Topology& topology, std::size_t i, const Files& files) {
  const auto peers_url = [&](std::size_t member) {
    return fmt::format("https://{}:{}", etcd_address(topology, member), kEtcdPeersPort);
  };
  const std::string &name = topology.etcd[i].node, ca = files.secret("etcd-ca.pem"),
                    certificate = files.secret("etcd.pem"), key = files.secret("etcd-key.pem");
  std::vector<std::string> cluster;
  for (std::size_t j = 0; j < topology.etcd.size(); ++j)
    cluster.push_back(fmt::format("{}={}", topology.etcd[j].node, peers_url(j)));
  return {"etcd", "--name", name, "--data-dir", files.state_dir("etcd-" + name), "--listen-client-urls",
          etcd_url(topology, i), "--advertise-client-urls", etcd_url(topology, i), "--listen-peer-urls",
          peers_url(i), "--initial-advertise-peer-urls", peers_url(i), "--initial-cluster",
          fmt::format("{}", fmt::join(cluster, ",")), "--cert-file", certificate, "--key-file", key,
          "--peer-cert-file", certificate, "--peer-key-file", key, "--peer-client-cert-auth",
          "--peer-trusted-ca-file", ca, "--max-request-bytes", "16777216",
          // Its own election is a part of ours: members a few milliseconds apart need not wait for a second.
          // A member that comes back from a partition does not call for another one.
          "--heartbeat-interval", "50", "--election-timeout", "500", "--pre-vote",
          // A record a push: what was overwritten is not kept.
          "--auto-compaction-mode", "revision", "--auto-compaction-retention", "10000"};
}

linkem::LinksFile links_file(const Topology& topology, const std::string& netns_prefix) {
  linkem::LinksFile file{topology.seed, {}};
  for (const auto& link : topology.links)
    file.links.push_back({link.name, link_end(topology, link, true, netns_prefix),
                          link_end(topology, link, false, netns_prefix), link.up, link.down, 1500});
  return file;
}

std::string controller_toml(const Topology& topology, std::size_t i, const Files& files) {
  const ControllerSpec& self = topology.controllers[i];
  const Node& node = *topology.node(self.node);
  std::string state = files.state_dir(self.name) + "/controller.db";
  for (std::size_t member = 0; member < topology.etcd.size(); ++member)
    state = (member == 0 ? "etcd:" : state + ",") + etcd_url(topology, member);
  // Those that stand in for each other are one controller to everybody else.
  const auto first =
      std::find_if(topology.controllers.begin(), topology.controllers.end(),
                   [&](const auto& c) { return c.global == self.global && c.domain == self.domain; });
  std::string out = fmt::format(
      "name = \"{}\"\nrole = \"{}\"\ndomain = {}\nstate = \"{}\"\nlisten = {}\n"
      "northbound = \"{}:{}\"\nadmin_token_file = \"{}\"\nsocket = \"{}\"\n",
      first->name, self.global ? "global" : "domain", self.domain, state,
      quoted(southbound_addresses(topology, i)), underlay_address(node.planes.back(), node),
      kNorthboundPort + rank_on_node(topology.controllers, i), files.secret("admin-" + self.name),
      files.socket(self.name));
  const ControllerSpec* global = global_of(topology);
  if (!self.global && global)
    out += fmt::format(
        "\n[parent]\naddresses = {}\njoin_token_file = \"{}\"\n",
        quoted(member_addresses(topology, static_cast<std::size_t>(global - topology.controllers.data()))),
        files.secret("join-" + first->name));
  if (!topology.etcd.empty())
    out += fmt::format("\n[etcd]\nuser = \"{}\"\npassword_file = \"{}\"\nca_file = \"{}\"\n", kEtcdUser,
                       files.secret("etcd-password"), files.secret("etcd-ca.pem"));
  return out;
}

std::string qanatd_toml(const Topology& topology, const Node& node, std::size_t controller,
                        const Files& files, const std::string& netns_prefix) {
  std::string out = fmt::format(
      "name = \"{}\"\nlocation = \"{}\"\nstate_dir = \"{}\"\nsocket = \"{}\"\nrelay = {}\nworkers = 1\n\n"
      "[controller]\naddresses = {}\njoin_token_file = \"{}\"\n",
      node.name, node.location, files.state_dir(node.name), files.socket(node.name), node.relay,
      quoted(member_addresses(topology, controller)), files.secret("join-" + node.name));
  for (const int plane : node.planes)
    out += fmt::format("\n[[line]]\nplane = {}\naddress = \"{}\"\nport = {}\nname = \"{}\"\n", plane,
                       underlay_address(plane, node), kUnderlayPort + plane, topology.plane(plane)->name);
  for (const auto& tenant : topology.tenants)
    if (tenant.separate &&
        std::find(tenant.members.begin(), tenant.members.end(), node.name) != tenant.members.end())
      out += fmt::format("\n[tenant.{}]\nnetns = \"{}{}-{}\"\n", tenant.vni, netns_prefix, node.name,
                         tenant.name);
  return out;
}

std::string pool_url(const Topology& topology, std::size_t i) { return "http://" + pool_host(topology, i); }

std::string pool_toml(const Topology& topology, std::size_t i, const Files& files,
                      const std::vector<std::string>& trust) {
  const PoolSpec& pool = topology.pools[i];
  const Node& node = *topology.node(pool.node);
  std::string out = fmt::format(
      "id = \"{}\"\nprovider = \"{}\"\nlocation = \"{}\"\nsite = \"{}\"\nlisten = \"{}\"\nsocket = \"{}\"\n"
      "usage_db = \"{}/usage.db\"\ncards = \"{}\"\ncount = {}\nmodels = {}\n\n"
      "[price]\ninput = {}\noutput = {}\ncard = {}\nplaceholder = {}\n\n[engine]\ntime_scale = {}\n",
      pool.id, pool.provider, node.location, node.name, pool_host(topology, i), files.socket(pool.id),
      files.state_dir(pool.id), pool.cards, pool.count, quoted(pool.models), pool.input_price,
      pool.output_price, pool.card_price, pool.placeholder_price, pool.time_scale);
  if (pool.max_num_seqs) out += fmt::format("max_num_seqs = {}\n", pool.max_num_seqs);
  if (pool.tensor_parallel) out += fmt::format("tensor_parallel = {}\n", pool.tensor_parallel);
  if (pool.leased) out += "\n[life]\nstart = \"leased\"\n";
  if (pool.artefacts)
    out += fmt::format("\n[artefacts]\nfolder = \"{}/artefacts\"\ntrust = {}\n", files.state_dir(pool.id),
                       quoted(trust));
  return out;
}

std::string gateway_toml(const Topology& topology, const GatewaySpec& gateway, const Files& files) {
  const Node& node = *topology.node(gateway.node);
  const std::string self = "gateway-" + node.name;
  std::string out = fmt::format(
      "name = \"{}\"\nsite = \"{}\"\nlocation = \"{}\"\nlisten = [\"127.0.0.1:{}\", \"{}:{}\"]\nsocket = "
      "\"{}\"\ndrain = \"1s\"\n"
      "ledger = \"{}/ledger.db\"\njournal = \"{}/journal\"\ndataplane_socket = \"{}\"\n\n"
      "[sla]\nttft_ms = {}\ntpot_ms = {}\n",
      node.name, node.name, node.location, kGatewayPort, overlay_address(node), kGatewayPort,
      files.socket(self), files.state_dir(self), files.state_dir(self), files.socket(node.name),
      gateway.ttft_ms, gateway.tpot_ms);
  for (std::size_t i = 0; i < topology.pools.size(); ++i) {
    const PoolSpec& pool = topology.pools[i];
    if (std::find(gateway.pools.begin(), gateway.pools.end(), pool.id) == gateway.pools.end()) continue;
    out += fmt::format("\n[[pool]]\nurl = \"{}\"\nlocal = {}\nnode = \"{}\"\n", pool_url(topology, i),
                       pool.node == gateway.node, pool.node);
  }
  if (gateway.artefacts) out += fmt::format("\n[artefacts]\nfolder = \"{}\"\n", files.artefacts(node.name));
  // A valve for each model that some pool leases.
  std::vector<std::string> models;
  for (const PoolSpec& pool : topology.pools)
    for (const std::string& model : pool.models)
      if (pool.leased && std::find(models.begin(), models.end(), model) == models.end())
        models.push_back(model);
  for (const std::string& model : models) {
    out +=
        fmt::format("\n[[valve]]\nmodel = \"{}\"\nmode = \"{}\"\nlocal_streams = {}\ncool_down = \"{}s\"\n",
                    model, gateway.valve, gateway.local_streams, gateway.cool_down_s);
    for (std::size_t i = 0; i < topology.pools.size(); ++i) {
      const PoolSpec& pool = topology.pools[i];
      if (!pool.leased || std::find(pool.models.begin(), pool.models.end(), model) == pool.models.end())
        continue;
      const int cards = pool.count / static_cast<int>(pool.models.size());
      out += fmt::format(
          "[[valve.placeholder]]\npool = \"{}\"\nengines = {}\nstreams = {}\n", pool_url(topology, i),
          pool.tensor_parallel ? std::max(1, cards / pool.tensor_parallel) : 1, gateway.engine_streams);
    }
  }
  return out;
}

}  // namespace qanat::lab
