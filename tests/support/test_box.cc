#include "tests/support/test_box.hh"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "dataplane/io/netlink.hh"
#include "dataplane/io/netns.hh"

namespace qanat::test {

TestBox::TestBox(const Overlay& overlay, std::uint32_t node, const std::string& netns, unsigned workers,
                 const std::map<std::uint32_t, std::string>& tenants, bool af_xdp,
                 std::function<void(const forwarder::Event&)> on_event) {
  const auto snapshot = overlay.snapshot(node);
  std::vector<io::CrewTun> tuns;
  auto options = overlay.options(node);
  for (const fib::Tenant& tenant : snapshot->tenants()) {
    const fib::TenantMember* self = tenant.member(ids::NodeId{node});
    if (self == nullptr) continue;
    io::TunOptions tun;
    tun.name = "qt" + std::to_string(tenant.vni.value);
    const auto elsewhere = tenants.find(tenant.vni.value);
    tun.netns = elsewhere != tenants.end() ? elsewhere->second : netns;
    tun.queues = workers;
    auto device = std::make_shared<io::TunDevice>(tun);
    options.coalesce.udp = device->udp_offload();
    io::DeviceState state;
    state.gso_max_segments = 44;
    for (const auto& a : self->addresses) state.addresses.push_back(to_string(a));
    for (const auto& m : tenant.members)
      if (m.node.value != node)
        for (const auto& p : m.prefixes) state.routes.push_back(to_string(p));
    for (const auto& refused : io::Netlink(tun.netns).reconcile(tun.name, state)) ADD_FAILURE() << refused;
    tuns.push_back({tenant.vni, device});
  }
  const io::NetnsScope scope(netns);
  io::CrewOptions crew;
  crew.workers = workers;
  crew.af_xdp.assign(options.lines.size(), af_xdp);
  crew_ = std::make_unique<io::Crew>(std::move(options), crew,
                                     [this, on_event = std::move(on_event)](const forwarder::Event& e) {
                                       if (e.kind == forwarder::Event::Kind::PathSwitched) ++switches_;
                                       if (on_event) on_event(e);
                                     });
  crew_->set_tuns(tuns);
  crew_->post([snapshot](forwarder::Forwarder& f, base::Time now) { f.set_snapshot(snapshot, now); });
  crew_->start();
}

TestBox::~TestBox() { crew_->stop(); }

forwarder::Status TestBox::status() { return crew_->status(std::chrono::seconds{5}); }

bool TestBox::wait_for_path(std::uint32_t node, int seconds) {
  for (int i = 0; i < seconds * 20; ++i) {
    for (const auto& p : status().paths)
      if (p.endpoint.value == node && p.active && p.state == path::State::Alive) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  return false;
}

std::string TestBox::drops_text() const {
  std::string out;
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    if (const auto n = drops(reason); n != 0)
      out += std::string(packet::to_string(reason)) + '=' + std::to_string(n) + ' ';
  }
  return out;
}

}  // namespace qanat::test
