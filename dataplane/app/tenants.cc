#include "dataplane/app/tenants.hh"

#include <exception>

namespace qanat::app {
namespace {

// A super-packet of this many full segments, sealed and routed over two relays, still fits one UDP train.
constexpr unsigned kGsoSegments = 44;

io::DeviceState wanted_state(const fib::Tenant& tenant, const fib::TenantMember& self) {
  io::DeviceState state;
  state.mtu = packet::kInnerMtu;
  state.gso_max_segments = kGsoSegments;
  for (const auto& address : self.addresses) state.addresses.push_back(to_string(address));
  for (const fib::TenantMember& member : tenant.members)
    if (member.node != self.node)
      for (const auto& prefix : member.prefixes) state.routes.push_back(to_string(prefix));
  return state;
}

}  // namespace

TenantSettings Tenants::settings(std::uint32_t vni) const {
  const auto it = settings_.find(vni);
  TenantSettings out = it == settings_.end() ? TenantSettings{} : it->second;
  if (out.device.empty()) out.device = "qt" + std::to_string(vni);
  return out;
}

std::vector<std::string> Tenants::apply(const fib::Snapshot& snapshot) {
  std::vector<std::string> problems;
  std::erase_if(devices_, [&](const auto& entry) {
    const fib::Tenant* tenant = snapshot.tenant(ids::Vni{entry.first});
    const bool gone = tenant == nullptr || tenant->member(snapshot.self()) == nullptr;
    if (gone) entry.second.tun->forget();
    return gone;
  });
  for (const fib::Tenant& tenant : snapshot.tenants()) {
    const fib::TenantMember* self = tenant.member(snapshot.self());
    if (self == nullptr) continue;
    const TenantSettings where = settings(tenant.vni.value);
    try {
      auto it = devices_.find(tenant.vni.value);
      if (it == devices_.end()) {
        io::TunOptions options;
        options.name = where.device;
        options.netns = where.netns;
        options.queues = queues_;
        options.kept = true;
        options.tcp_offload = offloads_.tun_tcp;
        options.udp_offload = offloads_.tun_udp;
        auto tun = std::make_shared<io::TunDevice>(options);
        it = devices_.emplace(tenant.vni.value, Device{std::move(tun), io::Netlink(where.netns)}).first;
      }
      io::DeviceState state = wanted_state(tenant, *self);
      if (const auto more = routes_.find(tenant.vni.value); more != routes_.end())
        state.routes.insert(state.routes.end(), more->second.begin(), more->second.end());
      for (auto& line : it->second.netlink.reconcile(where.device, state))
        problems.push_back("tenant " + tenant.name + ": " + line);
    } catch (const std::exception& e) {
      problems.push_back("tenant " + tenant.name + ": " + e.what());
    }
  }
  return problems;
}

std::vector<io::CrewTun> Tenants::tuns() const {
  std::vector<io::CrewTun> out;
  for (const auto& [vni, device] : devices_) out.push_back({ids::Vni{vni}, device.tun});
  return out;
}

}  // namespace qanat::app
