// A worker's way to and from the SRv6 edge, off the path of everybody who has none.
#include <algorithm>

#include "dataplane/io/worker.hh"

namespace qanat::io {

const Srv6Tenants& Worker::srv6_tenants(base::Time now) {
  srv6_now_ = now;
  srv6_tenants_.snapshot = forwarder_.snapshot().get();
  if (srv6_tenants_.drops == nullptr) {
    srv6_tenants_.drops = &forwarder_.drops();
    srv6_tenants_.write = [this](ids::Vni vni, packet::Bytes frame) {
      const iovec part{const_cast<std::uint8_t*>(frame.data()), frame.size()};
      return write_tun(vni, {&part, 1});
    };
    srv6_tenants_.overlay = [this](ids::Vni vni, packet::MutableBytes frame, std::optional<ids::Tier> tier) {
      forwarder_.on_tun_packet(vni, frame, srv6_now_, tier);
    };
  }
  return srv6_tenants_;
}

void Worker::read_srv6(std::size_t link, base::Time now) {
  srv6_->receive(link, srv6_tenants(now), now);
  send();
}

bool Worker::steer_frame(ids::Vni vni, packet::MutableBytes frame) {
  return srv6_->steers(vni) && srv6_->steer(vni, frame, true, srv6_tenants(srv6_now_));
}

bool Worker::steer_delivery(const forwarder::TunWrite& write) {
  if (!srv6_->steers(write.vni)) return false;
  srv6_frame_.resize(kVnetHeaderBytes);
  write.packet.virtio.serialize(srv6_frame_);
  for (const packet::Bytes& piece : write.packet.pieces)
    srv6_frame_.insert(srv6_frame_.end(), piece.begin(), piece.end());
  return srv6_->steer(write.vni, srv6_frame_, false, srv6_tenants(srv6_now_));
}

}  // namespace qanat::io
