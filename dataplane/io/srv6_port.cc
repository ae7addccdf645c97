#include "dataplane/io/srv6_port.hh"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/segmenter.hh"
#include "dataplane/srv6/headend.hh"

namespace qanat::io {
namespace {

using packet::DropReason;
using Action = srv6::Disposition::Action;

// A packet, room for two encapsulations before it, and a virtio header between: TUN reads land at kPacketAt.
constexpr std::size_t kPacketAt = srv6::kHeadroomBytes + kVnetHeaderBytes;
using Buffer = std::array<std::uint8_t, kPacketAt + Srv6Port::kMaxMtu>;

}  // namespace

Srv6Port::Srv6Port(std::shared_ptr<const srv6::Tables> tables, std::vector<std::shared_ptr<TunDevice>> links)
    : tables_(std::move(tables)), links_(std::move(links)), counters_(*tables_) {}

bool Srv6Port::write(std::size_t link, packet::Bytes packet) const {
  std::array<std::uint8_t, kVnetHeaderBytes> plain{};
  const std::array<iovec, 2> parts{iovec{plain.data(), plain.size()},
                                   iovec{const_cast<std::uint8_t*>(packet.data()), packet.size()}};
  return links_[link]->write(0, parts);
}

void Srv6Port::receive(std::size_t link, const Srv6Tenants& tenants, base::Time now) {
  Buffer buffer;
  for (unsigned n = 0; n < kPacketsPerTurn; ++n) {
    const std::size_t size =
        links_[link]->read(0, packet::MutableBytes(buffer).subspan(kPacketAt - kVnetHeaderBytes));
    if (size <= kVnetHeaderBytes) return;
    srv6::Frame frame(buffer, kPacketAt, size - kVnetHeaderBytes);
    const auto d = srv6::at_endpoint(*tables_, frame);
    counters_.count(d, size - kVnetHeaderBytes);
    switch (d.action) {
      case Action::Drop: {
        tenants.drops->count(d.reason);
        std::array<std::uint8_t, srv6::kIcmpErrorBytes> error;
        if (d.error && icmp_.allows(now)) {
          const std::size_t bytes =
              srv6::make_icmp_error(tables_->address(), frame.packet(), *d.error, error);
          if (bytes != 0) write(link, packet::Bytes(error).first(bytes));
        }
        break;
      }
      case Action::Reply:
        if (!icmp_.allows(now)) break;
        if (!write(link, frame.packet())) tenants.drops->count(DropReason::TunFailed);
        break;
      case Action::Forward: {
        // End.X and policies name a link; End goes back to the routes of the one it came by.
        const bool named =
            d.policy != srv6::Tables::kNone || tables_->sids()[d.sid].behaviour == srv6::Behaviour::EndX;
        if (!write(named ? d.link : link, frame.packet())) tenants.drops->count(DropReason::TunFailed);
        break;
      }
      case Action::Table:
      case Action::CrossConnect: to_tenant(d, frame, tenants); break;
    }
  }
}

void Srv6Port::to_tenant(const srv6::Disposition& d, srv6::Frame& frame, const Srv6Tenants& tenants) {
  const auto drop = [&](DropReason reason) { tenants.drops->count(reason); };
  const auto view = packet::IpView::parse(frame.packet());
  if (!view) return drop(view.error());
  if (tenants.snapshot == nullptr) return drop(DropReason::VniUnknown);
  const ids::NodeId self = tenants.snapshot->self();
  const fib::Tenant* tenant = tenants.snapshot->tenant(d.vni);
  if (tenant == nullptr) return drop(DropReason::VniUnknown);
  if (tenant->member(self) == nullptr) return drop(DropReason::NotMember);
  // What lies behind this edge speaks for this box's prefixes and for nobody else's.
  if (tenant->owner(view->source) != self) return drop(DropReason::InnerSource);
  frame.truncate(view->total_bytes);
  frame.push(kVnetHeaderBytes);
  std::fill_n(frame.packet().begin(), kVnetHeaderBytes, std::uint8_t{0});
  if (d.action == Action::Table) {
    const auto owner = tenant->owner(view->destination);
    if (!owner) return drop(DropReason::InnerDestination);
    if (*owner != self) return tenants.overlay(d.vni, frame.packet(), d.tier);
    if (steer(d.vni, frame.packet(), false, tenants)) return;
  }
  if (!tenants.write(d.vni, frame.packet())) drop(DropReason::TunFailed);
}

bool Srv6Port::steer(ids::Vni vni, packet::MutableBytes frame, bool from_tun, const Srv6Tenants& tenants) {
  if (frame.size() < packet::VirtioHeader::kBytes) return false;
  const auto virtio = packet::VirtioHeader::parse(frame);
  const auto body = frame.subspan(packet::VirtioHeader::kBytes);
  const auto view = packet::IpView::parse(body, virtio.gso() != packet::GsoType::None);
  if (!view) return false;
  const std::uint32_t policy = tables_->steer(vni, view->destination);
  if (policy == srv6::Tables::kNone) return false;
  const auto drop = [&](DropReason reason) {
    tenants.drops->count(reason);
    return true;
  };
  if (from_tun) {
    const fib::Tenant* tenant = tenants.snapshot == nullptr ? nullptr : tenants.snapshot->tenant(vni);
    if (tenant == nullptr) return drop(DropReason::VniUnknown);
    if (tenant->owner(view->source) != tenants.snapshot->self()) return drop(DropReason::InnerSource);
  }
  const std::size_t room = tables_->mtu() - srv6::policy_overhead(tables_->policies()[policy]);
  const auto segmenter = packet::Segmenter::make(virtio, body, room);
  if (!segmenter) return drop(segmenter.error());
  Buffer buffer;
  for (std::size_t i = 0; i < segmenter->count(); ++i) {
    const auto payload = segmenter->payload(i);
    const std::size_t header = segmenter->header_bytes();
    const std::size_t size = header + payload.size();
    segmenter->write_header(i, buffer.data() + kPacketAt);
    std::memcpy(buffer.data() + kPacketAt + header, payload.data(), payload.size());
    const auto packet = packet::MutableBytes(buffer).subspan(kPacketAt, size);
    // Nobody behind here knows of checksums left for later.
    if (segmenter->checksum_partial())
      if (const auto own = packet::IpView::parse(packet)) packet::complete_checksum(*own, packet);
    srv6::Frame out(buffer, kPacketAt, size);
    const auto d = srv6::at_headend(*tables_, policy, out);
    counters_.count(d, size);
    if (d.action != Action::Forward) {
      tenants.drops->count(d.reason);
    } else if (!write(d.link, out.packet())) {
      tenants.drops->count(DropReason::TunFailed);
    }
  }
  return true;
}

}  // namespace qanat::io
