// Srv6Port: where real SRv6 packets come in and go out: one TUN a link, the kernel's routes on its other side, the srv6
// room's behaviours between them and the tenants. Everything here is packet by packet: an edge, not a trunk.
//
//   kernel ─ locator route ─> link TUN ─> at_endpoint ─┬ Table ───────> a policy, another member (overlay), or our TUN
//                                                      ├ CrossConnect ─> the tenant's TUN
//                                                      ├ Forward ──────> link TUN ─> kernel
//                                                      └ Reply, errors ─> link TUN ─> kernel
//   tenant TUN, or the overlay ─> steer() ─> at_headend ─> link TUN ─> kernel
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/time.hh"
#include "dataplane/fib/snapshot.hh"
#include "dataplane/io/tun_device.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/srv6/counters.hh"
#include "dataplane/srv6/icmp.hh"

namespace qanat::io {

// What a tenant's packet needs from the worker that handles it.
struct Srv6Tenants {
  const fib::Snapshot* snapshot = nullptr;  // null before the first configuration
  packet::DropCounters* drops = nullptr;
  // Writes a frame (virtio header first) to the tenant's TUN; false when there is none or it would not take it.
  std::function<bool(ids::Vni, packet::Bytes frame)> write;
  // Sends a frame (virtio header first) through the overlay.
  std::function<void(ids::Vni, packet::MutableBytes frame, std::optional<ids::Tier>)> overlay;
};

class Srv6Port {
 public:
  static constexpr std::size_t kMaxMtu = 9000;
  static constexpr unsigned kPacketsPerTurn = 64;

  // links[i] is link i of the tables.
  Srv6Port(std::shared_ptr<const srv6::Tables> tables, std::vector<std::shared_ptr<TunDevice>> links);

  const srv6::Tables& tables() const { return *tables_; }
  const srv6::EdgeCounters& counters() const { return counters_; }
  std::size_t links() const { return links_.size(); }
  int fd(std::size_t link) const { return links_[link]->fd(0); }

  // The lead's thread only: what has come to a link, kPacketsPerTurn at most.
  void receive(std::size_t link, const Srv6Tenants& tenants, base::Time now);

  // Any worker's thread. A tenant's frame as its TUN gave it or would get it, virtio header first; `from_tun`: its source
  // is still to be checked. True when a policy took it (or dropped it, counted); false: it goes its ordinary way.
  bool steers(ids::Vni vni) const { return tables_->steers(vni); }
  bool steer(ids::Vni vni, packet::MutableBytes frame, bool from_tun, const Srv6Tenants& tenants);

 private:
  void to_tenant(const srv6::Disposition& d, srv6::Frame& frame, const Srv6Tenants& tenants);
  bool write(std::size_t link, packet::Bytes packet) const;

  std::shared_ptr<const srv6::Tables> tables_;
  std::vector<std::shared_ptr<TunDevice>> links_;
  srv6::EdgeCounters counters_;
  srv6::IcmpLimiter icmp_;
};

}  // namespace qanat::io
