#include "tools/sim/world_builder.hh"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

namespace qanat::sim {
namespace {

constexpr std::uint16_t kPort = 7700;

packet::IpAddress address_of(const std::string& text) {
  const auto address = packet::parse_ip_address(text);
  if (!address) throw std::invalid_argument("the topology gives no address: '" + text + "'");
  return *address;
}

class Builder {
 public:
  Builder(const lab::Topology& topology, const SimOptions& options)
      : topology_(topology), options_(options) {}

  World run() && {
    world_.seed = options_.seed;
    world_.start = kStart;
    world_.stray_every = options_.stray_every;
    number_nodes();
    divide();
    make_wires();
    make_controllers();
    make_boxes();
    enrol();
    plan();
    world_.reported.resize(world_.place.size());
    return std::move(world_);
  }

 private:
  std::uint32_t node(const std::string& name) const { return node_.at(name); }

  void number_nodes() {
    for (const lab::Node& n : topology_.nodes) {
      const auto number = static_cast<std::uint32_t>(node_.size());
      node_[n.name] = number;
      world_.names.push_back(n.name);
      world_.place.push_back(number);
      world_.overlay.push_back(address_of(lab::overlay_address(n)));
      for (const int plane : n.planes)
        world_.node_by_address[address_of(lab::underlay_address(plane, n)).high >> 32] = number;
    }
    world_.boxes.resize(topology_.nodes.size());
  }

  // A shard for each domain, since most of what happens stays within one; domains too near to each other share one. How
  // far shards run ahead of each other is bounded by the shortest link between them; its jitter keeps a quarter of its
  // delay.
  void divide() {
    std::map<int, int> joined;  // domain → the least of those that share its shard
    for (const lab::ControllerSpec& c : topology_.controllers)
      if (!c.global) joined[c.domain] = c.domain;
    if (joined.empty()) joined[0] = 0;  // make_boxes() says what is missing
    const bool large = topology_.nodes.size() >= options_.shards_from_nodes;
    base::Duration least = base::Duration::max();
    const auto place = [&](int domain) {
      const auto at = joined.find(domain);
      return !large || at == joined.end() ? joined.begin()->second : at->second;
    };
    for (const bool joining : {true, false})
      for (const lab::Link& link : topology_.links) {
        const int a = place(domain_of(link.a)), b = place(domain_of(link.b));
        if (a == b) continue;
        const base::Duration delay = std::min(link.up.delay, link.down.delay);
        if (!joining) least = std::min(least, delay);
        if (joining && delay * 3 / 4 < kLeastAhead)
          for (auto& [domain, shared] : joined)
            if (shared == std::max(a, b)) shared = std::min(a, b);
      }
    std::map<int, std::uint32_t> number;
    for (const auto& [domain, shared] : joined)
      number.emplace(place(domain), static_cast<std::uint32_t>(number.size()));
    world_.shards = static_cast<std::uint32_t>(number.size());
    if (world_.shards > 1) world_.ahead = least * 3 / 4;
    for (const lab::Node& n : topology_.nodes) world_.shard_of.push_back(number.at(place(n.domain)));
    for (const lab::ControllerSpec& c : topology_.controllers)
      world_.shard_of.push_back(world_.shard_of[node(c.node)]);
  }
  int domain_of(const std::string& name) const { return topology_.nodes[node(name)].domain; }

  void make_wires() {
    world_.wires.reserve(topology_.links.size() * 2);
    const auto add = [&](std::uint32_t from, std::uint32_t to, std::uint8_t plane, const linkem::Spec& spec) {
      world_.wire_index[World::key(from, to, plane)] = static_cast<std::uint32_t>(world_.wires.size());
      const bool within = world_.shard_of[from] == world_.shard_of[to];
      world_.wires.emplace_back(from, to, plane, spec, within ? base::Duration{} : world_.ahead);
    };
    for (const lab::Link& link : topology_.links) {
      const auto plane = static_cast<std::uint8_t>(link.plane);
      add(node(link.a), node(link.b), plane, link.up);
      add(node(link.b), node(link.a), plane, link.down);
    }
  }

  void make_controllers() {
    for (const lab::ControllerSpec& spec : topology_.controllers) {
      ControllerIdentity identity;
      identity.entity = static_cast<Entity>(world_.boxes.size() + world_.controllers.size());
      identity.name = spec.name;
      identity.global = spec.global;
      identity.domain = static_cast<std::uint32_t>(spec.domain);
      identity.node = node(spec.node);
      identity.probe_plan.set_active_interval_ms(options_.active_interval_ms);
      identity.probe_plan.set_mesh_interval_ms(options_.mesh_interval_ms);
      identity.probe_plan.set_report_interval_ms(options_.report_interval_ms);
      identity.mesh_probes_per_s = options_.mesh_probes_per_s;
      identity.relay_probes_per_s = options_.relay_probes_per_s;
      world_.names.push_back(spec.name);
      world_.place.push_back(identity.node);
      if (spec.global) global_ = identity.entity;
      if (!spec.global) domain_[spec.domain] = identity.entity;
      world_.controllers.push_back(
          std::make_unique<Controller>(std::move(identity), options_.seed, kUnixStart, kStart));
    }
    if (domain_.empty())
      throw std::invalid_argument("the topology has no [[controller]] with role = \"domain\"");
  }

  Controller& controller(Entity entity) { return *world_.controllers[entity - world_.boxes.size()]; }

  void make_boxes() {
    for (const lab::Node& n : topology_.nodes) {
      if (!n.box) continue;
      const auto at = domain_.find(n.domain);
      if (at == domain_.end())
        throw std::invalid_argument("node " + n.name + " is of domain " + std::to_string(n.domain) +
                                    ", which has no [[controller]]");
      BoxIdentity identity;
      identity.number = node(n.name);
      identity.name = n.name;
      identity.location = n.location.empty() ? "sim" : n.location;
      identity.controller = at->second;
      for (const int plane : n.planes)
        identity.lines.push_back({ids::PlaneId{static_cast<std::uint8_t>(plane)},
                                  {address_of(lab::underlay_address(plane, n)), kPort}});
      Random random(options_.seed, Stream::Domain, identity.number);
      crypto::SecretKey secret;
      random.fill({secret.data(), crypto::kKeyBytes});
      identity.keys = crypto::KeyPair::from_secret(secret);
      proto::v1::Hello hello;
      hello.set_location(identity.location);
      for (const auto& line : identity.lines) {
        auto& out = *hello.add_lines();
        out.set_plane(line.plane.value);
        out.set_address(to_string(line.address.address));
        out.set_port(line.address.port);
      }
      identity.enrolment = controller(at->second).enrol_box(n.name, identity.keys.public_key, n.relay, hello);
      controller(at->second).name_member(identity.enrolment.node, identity.number);
      world_.boxes[identity.number] =
          std::make_unique<Box>(std::move(identity), options_.seed, wall_clock_of(node(n.name)), kStart);
    }
  }

  base::UnixSeconds wall_clock_of(std::uint32_t box) const {
    const auto most = static_cast<std::uint64_t>(options_.clocks_off.count());
    return kUnixStart - most + Random(options_.seed, Stream::Clocks, box).below(2 * most + 1);
  }

  // A tenant within one domain is that domain's; one that spans several is the global level's.
  void enrol() {
    if (global_)
      for (const auto& [number, entity] : domain_) controller(*global_).enrol_domain(controller(entity));
    for (const lab::TenantSpec& tenant : topology_.tenants) {
      session::TenantView view{.name = tenant.name, .vni = tenant.vni, .members = {}};
      std::map<int, int> domains;
      for (const std::string& member : tenant.members) {
        const lab::Node& n = topology_.nodes[node(member)];
        ++domains[n.domain];
        view.members.push_back({member, {lab::overlay_address(n) + "/32"}, {}});
      }
      if (domains.size() > 1 && !global_)
        throw std::invalid_argument("tenant " + tenant.name +
                                    " spans domains: that needs a [[controller]] with role = \"global\"");
      controller(domains.size() > 1 ? *global_ : domain_.at(domains.begin()->first)).put_tenant(view);
    }
  }

  void plan() {
    std::vector<TenantPlan> tenants;
    for (const lab::TenantSpec& tenant : topology_.tenants) {
      TenantPlan plan{tenant.vni, {}};
      for (const std::string& member : tenant.members) plan.members.push_back(node(member));
      tenants.push_back(std::move(plan));
    }
    // Boxes have to come up and find each other first.
    const base::Time begin = kStart + std::min<base::Duration>(options_.length / 3, std::chrono::seconds(20));
    world_.legs = plan_flows(tenants, options_.flows, options_.seed, begin, kStart + options_.length);
    world_.packet_interval = base::Duration(std::chrono::seconds(1)) / std::max(1u, options_.packets_per_s);
    world_.packet_bytes = options_.packet_bytes;
  }

  const lab::Topology& topology_;
  const SimOptions& options_;
  World world_;
  std::map<std::string, std::uint32_t> node_;
  std::map<int, Entity> domain_;
  std::optional<Entity> global_;
};

}  // namespace

World build_world(const lab::Topology& topology, const SimOptions& options) {
  return Builder(topology, options).run();
}

}  // namespace qanat::sim
