#include "tools/lab/bring_up.hh"
#include "gateway/meter/signing_key.hh"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.hh"
#include "base/http_client.hh"
#include "tools/lab/clocks.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/daemon_config.hh"
#include "tools/lab/etcd_keys.hh"
#include "tools/lab/local_address.hh"
#include "tools/lab/random_token.hh"
#include "tools/linkem/netlink.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

using nlohmann::json;

// How long each step may take on two busy cores before it counts as failed.
constexpr int kStartMs = 10'000;    // a daemon's socket answers
constexpr int kConnectMs = 20'000;  // a box is enrolled and holds its configuration
constexpr int kPathsMs = 30'000;    // boxes have measured each other and found paths

constexpr const char* kEtcd = "/usr/bin/etcd";

class BringUp {
 public:
  BringUp(const Topology& topology, const BringUpOptions& options) : topology_(topology), options_(options) {
    state_.name = options.name.empty() ? topology.name : options.name;
    state_.bin = options.bin;
    state_.owner_pid = getpid();
    state_.owner_started = start_time(getpid());
    state_.attached = options.attached;
    files_.folder = state_.folder();
    prefix_ = fmt::format("ql{}-", getpid());
  }

  LabState run() {
    check_machine();
    make_folder();
    make_underlay();
    if (!options_.underlay_only) {
      start_etcd();
      start_controllers();
      start_boxes();
      put_tenants();
      start_pools();
      start_gateways();
    }
    state_.ready = true;
    save(state_);
    return state_;
  }

 private:
  void say(const std::string& line) const {
    if (options_.progress) options_.progress(line);
  }

  void check_machine() const {
    if (geteuid() != 0) throw LabError("a lab needs root (network namespaces and TUN devices)");
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
      throw LabError("a lab needs /dev/net/tun, and it is not there");
    if (std::filesystem::exists(files_.folder))
      throw LabError(
          fmt::format("there is a lab '{}' already; `qanat lab down --lab {}` ends it, `qanat lab gc` clears "
                      "up one that crashed, --name gives this one another name",
                      state_.name, state_.name));
    std::vector<std::string> programs = {"linkem"};
    if (!options_.underlay_only) {
      if (!topology_.controllers.empty()) programs.insert(programs.end(), {"qanat-controller", "qanatd"});
      if (!topology_.pools.empty()) programs.push_back("qanat-pool");
      if (!topology_.gateways.empty()) programs.push_back("qanat-gateway");
    }
    if (!options_.underlay_only && !topology_.etcd.empty() && access(kEtcd, X_OK) != 0)
      throw LabError("this lab needs etcd: apt install etcd-server");
    for (const auto& program : programs)
      if (access((options_.bin + "/" + program).c_str(), X_OK) != 0)
        throw LabError(fmt::format("{} is not in {} (--bin DIR names the folder)", program, options_.bin));
  }

  void make_folder() {
    namespace fs = std::filesystem;
    for (const char* part : {"log", "state", "secret"}) fs::create_directories(files_.folder + "/" + part);
    fs::permissions(files_.folder, fs::perms::owner_all);
    for (const Node& node : topology_.nodes) {
      NodeState entry{node.name,
                      prefix_ + node.name,
                      node.box ? files_.socket(node.name) : "",
                      node.box ? overlay_address(node) : "",
                      {}};
      for (const int plane : node.planes) entry.underlay.push_back(underlay_address(plane, node));
      state_.nodes.push_back(std::move(entry));
    }
    for (const auto& tenant : topology_.tenants)
      for (const auto& member : tenant.members)
        state_.hosts.push_back({tenant.name, member,
                                prefix_ + member + (tenant.separate ? "-" + tenant.name : ""),
                                overlay_address(*topology_.node(member)), tenant.separate});
    save(state_);
    base::write_file(state_.topology_file(), to_toml(topology_));
  }

  // Starts a daemon whose configuration is written; the state file knows it before anybody waits for it.
  void start_daemon(const std::string& name, const std::string& node, std::vector<std::string> command) {
    Process process;
    process.name = name;
    process.netns = node.empty() ? "" : prefix_ + node;
    process.command = std::move(command);
    if (!process.command[0].starts_with('/')) process.command[0] = options_.bin + "/" + process.command[0];
    process.log = files_.log(name);
    if (options_.clocks && name != "linkem")
      process.environment = clock_environment(files_.folder, options_.bin, name);
    start(process);
    state_.processes.push_back(std::move(process));
    save(state_);
  }

  void wait_for_socket(const std::string& name, const std::string& socket) {
    wait_until(name + " to answer on its socket", state_.process(name), kStartMs,
               [&] { return get(socket, "/v1/status").is_object(); });
  }

  void make_underlay() {
    say(fmt::format("underlay: {} nodes, {} links on {} planes", topology_.nodes.size(),
                    topology_.links.size(), topology_.planes.size()));
    for (const auto& node : state_.nodes) {
      linkem::create_netns(node.netns);
      const linkem::NetnsScope inside(node.netns);
      // Replies may take another line than requests, and a node never carries others' underlay packets.
      for (const char* scope : {"all", "default"})
        linkem::write_sysctl(fmt::format("net/ipv4/conf/{}/rp_filter", scope), "0");
      linkem::write_sysctl("net/ipv4/ip_forward", "0");
      // A pool answers in the tier that it was asked in: the gateway marks its connections, their answers follow.
      linkem::write_sysctl("net/ipv4/tcp_reflect_tos", "1");
      linkem::Netlink netlink;
      const Node& spec = *topology_.node(node.name);
      for (const int plane : spec.planes) {
        netlink.add_address("lo", underlay_address(plane, spec) + "/32");
        netlink.confine(underlay_address(plane, spec), plane_table(plane));
      }
    }
    for (const auto& host : state_.hosts)
      if (host.separate) linkem::create_netns(host.netns);
    if (topology_.links.empty()) return;
    base::write_file(files_.config("linkem"), linkem::to_toml(links_file(topology_, prefix_)));
    state_.linkem_socket = files_.socket("linkem");
    state_.linkem_log = files_.folder + "/log/linkem.jsonl";
    start_daemon("linkem", "",
                 {"linkem", "serve", "--links", files_.config("linkem"), "--socket", state_.linkem_socket,
                  "--log", state_.linkem_log});
    wait_for_socket("linkem", state_.linkem_socket);
  }

  std::string join_token(std::size_t controller, const std::string& node, bool relay) {
    const json answer = call(leader_socket(controller), "POST", "/v1/join-tokens",
                             {{"node", node}, {"relay", relay}, {"ttl_s", 3600}});
    return answer.at("token").get<std::string>();
  }

  // Of those that stand in for controller `i`, the one that leads.
  std::string leader_socket(std::size_t i) const {
    const ControllerSpec& self = topology_.controllers[i];
    std::string found;
    wait_until("a leader of " + self.name, nullptr, kStartMs, [&] {
      for (const auto& other : topology_.controllers) {
        if (other.global != self.global || other.domain != self.domain) continue;
        const std::string socket = files_.socket(other.name);
        if (!std::filesystem::exists(socket) || get(socket, "/v1/status").value("role", "") == "standby")
          continue;
        found = socket;
        return true;
      }
      return false;
    });
    return found;
  }

  void start_etcd() {
    if (topology_.etcd.empty()) return;
    std::vector<std::string> addresses;
    for (std::size_t i = 0; i < topology_.etcd.size(); ++i) addresses.push_back(etcd_address(topology_, i));
    const EtcdKeys keys = make_etcd_keys(addresses);
    const std::string password = random_token();
    base::write_file(files_.secret("etcd-ca.pem"), keys.ca_pem);
    base::write_file(files_.secret("etcd.pem"), keys.certificate_pem);
    base::write_file(files_.secret("etcd-key.pem"), keys.key_pem);
    base::write_file(files_.secret("etcd-password"), password + "\n");
    for (std::size_t i = 0; i < topology_.etcd.size(); ++i) {
      const std::string& node = topology_.etcd[i].node;
      say(fmt::format("etcd on {}", node));
      std::filesystem::create_directories(files_.state_dir("etcd-" + node));
      auto command = etcd_command(topology_, i, files_);
      command[0] = kEtcd;
      start_daemon("etcd-" + node, node, std::move(command));
    }
    const std::string& first = topology_.etcd[0].node;
    const linkem::NetnsScope inside(prefix_ + first);
    base::HttpClientOptions options;
    options.tls = base::client_context(keys.ca_pem, std::nullopt);
    wait_until("etcd to have a leader", state_.process("etcd-" + first), kStartMs, [&] {
      const auto reply =
          base::fetch_blocking(etcd_url(topology_, 0), {.target = "/health", .headers = {}}, options);
      return reply && reply->status == 200;
    });
    guard_etcd(etcd_url(topology_, 0), keys.ca_pem, password);
  }

  std::optional<std::size_t> controller_index(bool global, int domain) const {
    for (std::size_t i = 0; i < topology_.controllers.size(); ++i)
      if (const auto& c = topology_.controllers[i]; global ? c.global : (!c.global && c.domain == domain))
        return i;
    return {};
  }

  void start_controllers() {
    const auto global = controller_index(true, 0);
    // The global level first: domains enrol with it.
    std::vector<std::size_t> order;
    if (global) order.push_back(*global);
    for (std::size_t i = 0; i < topology_.controllers.size(); ++i)
      if (!global || i != *global) order.push_back(i);
    for (const std::size_t i : order) {
      const ControllerSpec& self = topology_.controllers[i];
      const std::string name = "controller-" + self.name;
      const Node& node = *topology_.node(self.node);
      say(fmt::format("controller {} on {}", self.name, self.node));
      std::filesystem::create_directories(files_.state_dir(self.name));
      const std::string token_file = files_.secret("admin-" + self.name);
      base::write_file(token_file, random_token() + "\n");
      const bool first = i == controller_index(self.global, self.domain);
      if (!self.global && global && first)
        base::write_file(files_.secret("join-" + self.name), join_token(*global, self.name, false) + "\n");
      const std::string config = files_.config("controller-" + self.name);
      base::write_file(config, controller_toml(topology_, i, files_));
      int rank = 0;
      for (std::size_t j = 0; j < i; ++j) rank += topology_.controllers[j].node == self.node;
      state_.controllers.push_back(
          {self.name, self.global ? "global" : "domain", self.node, files_.socket(self.name),
           fmt::format("{}:{}", underlay_address(node.planes.back(), node), kNorthboundPort + rank),
           token_file, self.domain});
      start_daemon(name, self.node, {"qanat-controller", "--config", config});
      wait_for_socket(name, files_.socket(self.name));
    }
  }

  void start_boxes() {
    if (topology_.controllers.empty()) return;
    std::vector<const Node*> boxes;
    for (const Node& node : topology_.nodes)
      if (node.box) boxes.push_back(&node);
    say(fmt::format("{} boxes enrol with their controllers", boxes.size()));
    for (const Node* node : boxes) {
      const auto controller = controller_index(node->domain == 0, node->domain);
      std::filesystem::create_directories(files_.state_dir(node->name));
      base::write_file(files_.secret("join-" + node->name),
                       join_token(*controller, node->name, node->relay) + "\n");
      const std::string config = files_.config("qanatd-" + node->name);
      base::write_file(config, qanatd_toml(topology_, *node, *controller, files_, prefix_));
      start_daemon("qanatd-" + node->name, node->name, {"qanatd", "--config", config});
    }
    for (const Node* node : boxes)
      wait_until(fmt::format("box {} to be enrolled and connected", node->name),
                 state_.process("qanatd-" + node->name), kConnectMs, [&] {
                   const json status = get(files_.socket(node->name), "/v1/status");
                   return status.contains("controller") && status["controller"].value("connected", false);
                 });
  }

  void put_tenants() {
    if (topology_.tenants.empty() || topology_.controllers.empty()) return;
    const auto global = controller_index(true, 0);
    const std::string socket = leader_socket(global.value_or(0));
    for (const auto& tenant : topology_.tenants) {
      json members = json::array();
      for (const auto& member : tenant.members) {
        const Node& node = *topology_.node(member);
        members.push_back({{"node", member},
                           {"addresses", {overlay_address(node) + "/32", overlay_address6(node) + "/128"}},
                           {"prefixes", json::array()}});
      }
      say(fmt::format("tenant {} (VNI {}) on {} boxes", tenant.name, tenant.vni, tenant.members.size()));
      // A domain may still be on its way to the global level: its nodes are unknown there until then.
      wait_until(fmt::format("tenant {} to be accepted", tenant.name), nullptr, kConnectMs, [&] {
        call(socket, "PUT", "/v1/tenants/" + tenant.name, {{"vni", tenant.vni}, {"members", members}});
        return true;
      });
      for (const auto& member : tenant.members)
        wait_until(fmt::format("tenant {}'s address on {}", tenant.name, member),
                   state_.process("qanatd-" + member), kConnectMs, [&] {
                     return has_local_address(state_.netns_of(member + "/" + tenant.name),
                                              overlay_address(*topology_.node(member)));
                   });
      for (const auto& from : tenant.members)
        for (const auto& to : tenant.members)
          if (from != to) wait_for_path(from, to);
    }
    say("every member of every tenant has a live path to every other");
  }

  void wait_for_path(const std::string& from, const std::string& to) {
    wait_until(fmt::format("a path from {} to {}", from, to), state_.process("qanatd-" + from), kPathsMs,
               [&] {
                 const json paths = get(files_.socket(from), "/v1/paths?to=" + to);
                 return std::any_of(paths.begin(), paths.end(), [](const json& p) {
                   return p.value("active", false) && p.value("alive", false);
                 });
               });
  }

  // The public keys of the gateways that keep artefacts; each finds its key there when it starts.
  std::vector<std::string> trusted() const {
    std::vector<std::string> keys;
    for (const auto& gateway : topology_.gateways) {
      if (!gateway.artefacts) continue;
      const std::string folder = files_.artefacts(gateway.node);
      std::filesystem::create_directories(folder);
      keys.push_back(meter::SigningKey::load_or_create(folder + "/key.pem").public_key());
    }
    return keys;
  }

  void start_pools() {
    for (std::size_t i = 0; i < topology_.pools.size(); ++i) {
      const PoolSpec& pool = topology_.pools[i];
      say(fmt::format("pool {}: {}×{} on {}", pool.id, pool.count, pool.cards, pool.node));
      std::filesystem::create_directories(files_.state_dir(pool.id));
      const std::string config = files_.config("pool-" + pool.id);
      base::write_file(config, pool_toml(topology_, i, files_, trusted()));
      const bool local = std::any_of(topology_.gateways.begin(), topology_.gateways.end(),
                                     [&](const auto& g) { return g.node == pool.node; });
      state_.pools.push_back({pool.id, pool.node, pool_url(topology_, i), files_.socket(pool.id), local});
      start_daemon("pool-" + pool.id, pool.node, {"qanat-pool", "--config", config});
    }
    for (const auto& pool : topology_.pools) wait_for_socket("pool-" + pool.id, files_.socket(pool.id));
  }

  void start_gateways() {
    for (const auto& gateway : topology_.gateways) {
      const std::string name = "gateway-" + gateway.node;
      say(fmt::format("gateway on {}", gateway.node));
      std::filesystem::create_directories(files_.state_dir(name));
      const std::string config = files_.config(name);
      base::write_file(config, gateway_toml(topology_, gateway, files_));
      start_daemon(name, gateway.node, {"qanat-gateway", "--config", config});
      wait_for_socket(name, files_.socket(name));
      const std::string tenant = topology_.tenants.empty() ? "lab" : topology_.tenants.front().name;
      const json key = call(files_.socket(name), "POST", "/v1/keys",
                            {{"tenant", tenant}, {"project", "default"}, {"name", "lab"}});
      state_.gateways.push_back({gateway.node, prefix_ + gateway.node, files_.socket(name),
                                 fmt::format("http://127.0.0.1:{}", kGatewayPort),
                                 key.at("key").get<std::string>(), tenant});
      save(state_);
    }
  }

  const Topology& topology_;
  const BringUpOptions& options_;
  Files files_;
  std::string prefix_;
  LabState state_;
};

}  // namespace

LabState bring_up(const Topology& topology, const BringUpOptions& options) {
  return BringUp(topology, options).run();
}

}  // namespace qanat::lab
