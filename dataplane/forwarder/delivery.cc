#include "dataplane/forwarder/delivery.hh"

#include <algorithm>
#include <tuple>

namespace qanat::forwarder {

using packet::DropReason;

namespace {

constexpr std::uint8_t kEcnMask = 3;
constexpr std::uint8_t kCongestionExperienced = 3;

// RFC 6040 §4.2 for an outer CE: an ECN-capable inner packet is marked, another is dropped. False: drop.
bool carry_congestion(packet::MutableBytes packet, packet::IpView& view) {
  if (view.ecn() == kCongestionExperienced) return true;
  if (view.ecn() == 0) return false;
  if (view.family == packet::IpFamily::V4) {
    // RFC 1624: the header checksum follows the one changed word.
    const auto word = [&] { return static_cast<std::uint32_t>(packet[0] << 8 | packet[1]); };
    const std::uint32_t before = word();
    packet[1] |= kCongestionExperienced;
    std::uint32_t sum =
        static_cast<std::uint32_t>(static_cast<std::uint16_t>(~(packet[10] << 8 | packet[11]))) +
        static_cast<std::uint16_t>(~before) + word();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    const auto checksum = static_cast<std::uint16_t>(~sum);
    packet[10] = static_cast<std::uint8_t>(checksum >> 8);
    packet[11] = static_cast<std::uint8_t>(checksum);
  } else {
    packet[1] |= kCongestionExperienced << 4;
  }
  view.traffic_class |= kCongestionExperienced;
  return true;
}

}  // namespace

void Delivery::set_snapshot(fib::SnapshotPtr snapshot, FlowTable* flows) {
  flows_ = flows;
  snapshot_ = std::move(snapshot);
  last_.valid = false;
  std::erase_if(coalescers_, [&](const auto& c) { return snapshot_->tenant(ids::Vni{c.first}) == nullptr; });
}

bool Delivery::allowed(ids::NodeId from, ids::Vni vni, const packet::IpView& view, packet::Bytes packet) {
  if (last_.valid && last_.from == from && last_.vni == vni && last_.source == view.source &&
      last_.destination == view.destination)
    return true;
  const auto refuse = [&](DropReason reason) {
    drops_.count(reason);
    return false;
  };
  const fib::Tenant* tenant = snapshot_->tenant(vni);
  if (tenant == nullptr) return refuse(DropReason::VniUnknown);
  if (tenant->member(from) == nullptr || tenant->member(snapshot_->self()) == nullptr)
    return refuse(DropReason::NotMember);
  if (tenant->owner(view.source) != from) return refuse(DropReason::InnerSource);
  if (tenant->owner(view.destination) != snapshot_->self()) return refuse(DropReason::InnerDestination);
  if (const fib::Acl* acl = tenant->acl())
    return flows_->admits(vni, *acl, from, snapshot_->self(), view, packet) || refuse(DropReason::AclDenied);
  last_ = {from, vni, view.source, view.destination, true};
  return true;
}

void Delivery::accept(ids::NodeId from, const packet::InnerHeader& header, packet::MutableBytes packet,
                      std::uint32_t space, std::uint64_t counter, std::uint8_t outer_ecn) {
  packet::IpView view;
  bool follows = false;
  if (!entries_.empty() && entries_.back().vni == header.vni.value) {
    view = entries_.back().view;
    follows = view.follow(entries_.back().bytes, packet);
  }
  if (!follows) {
    const auto parsed = packet::IpView::parse(packet);
    if (!parsed) return drops_.count(parsed.error());
    view = *parsed;
  }
  if (!allowed(from, header.vni, view, packet)) return;
  if ((outer_ecn & kEcnMask) == kCongestionExperienced && !carry_congestion(packet, view))
    return drops_.count(DropReason::Shed);
  counters_.add(Counter::InnerPacketsReceived);
  counters_.add(Counter::InnerBytesReceived, view.total_bytes);
  if (!entries_.empty()) {
    const Entry& last = entries_.back();
    if (std::tie(last.vni, last.space, last.counter) >= std::tie(header.vni.value, space, counter))
      in_order_ = false;
  }
  entries_.push_back({header.vni.value, space, counter, packet.first(view.total_bytes), view,
                      header.checksum_partial, follows});
}

void Delivery::accept_own(ids::Vni vni, packet::MutableBytes packet) {
  const auto view = packet::IpView::parse(packet);
  if (!view) return;
  entries_.push_back({vni.value, ~std::uint32_t{0}, 0, packet, *view, false, false});
  in_order_ = false;
}

std::span<const TunWrite> Delivery::flush() {
  writes_.clear();
  if (entries_.empty()) return {};
  if (!in_order_)
    std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.vni, a.space, a.counter) < std::tie(b.vni, b.space, b.counter);
    });
  for (std::size_t i = 0; i < entries_.size();) {
    const std::uint32_t vni = entries_[i].vni;
    auto& coalescer = coalescers_.try_emplace(vni, options_).first->second;
    for (; i < entries_.size() && entries_[i].vni == vni; ++i)
      coalescer.push(entries_[i].bytes, entries_[i].view, entries_[i].partial,
                     in_order_ && entries_[i].follows);
    for (const packet::SuperPacket& super : coalescer.flush()) writes_.push_back({ids::Vni{vni}, super});
  }
  counters_.add(Counter::SuperPacketsWritten, writes_.size());
  return writes_;
}

void Delivery::clear() {
  if (entries_.empty()) return;
  entries_.clear();
  in_order_ = true;
  writes_.clear();
  for (auto& [vni, coalescer] : coalescers_) coalescer.clear();
}

}  // namespace qanat::forwarder
