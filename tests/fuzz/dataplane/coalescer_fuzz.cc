// Any sequence of a tenant's packets, coalesced: taking the super-packets apart again by the simplest means (the
// reference below, which is what a kernel does with a virtio header) gives every flow its own packets back, in order and
// byte for byte. The input is a script: each step makes a packet of one of four flows and bends a few of its fields.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <vector>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"
#include "dataplane/packet/coalescer.hh"

using namespace qanat::packet;
using Octets = std::vector<std::uint8_t>;

static void require(bool truth) {
  if (!truth) std::abort();
}

// One packet: IPv4 or IPv6, TCP or UDP. `step` bends it.
static Octets make(std::uint8_t flow, std::uint32_t sequence, const std::uint8_t* step, bool partial) {
  const bool v6 = (flow & 1) != 0, udp = (flow & 2) != 0;
  const std::size_t ip = v6 ? 40 : 20;
  const std::size_t options = !udp && (step[1] & 0x10) != 0 ? 12 : 0;
  const std::size_t transport = udp ? 8 : 20 + options;
  const std::size_t payload = (step[1] & 0x20) != 0 ? step[2] : 200;
  Octets p(ip + transport + payload, static_cast<std::uint8_t>(sequence * 31 + 7));
  std::fill_n(p.begin(), ip + transport, std::uint8_t{0});
  const std::uint8_t traffic_class = (step[1] & 0x40) != 0 ? step[2] : 0;
  if (v6) {
    p[0] = static_cast<std::uint8_t>(0x60 | traffic_class >> 4);
    p[1] = static_cast<std::uint8_t>(traffic_class << 4);
    store_be16(&p[4], static_cast<std::uint16_t>(transport + payload));
    p[6] = udp ? kProtocolUdp : kProtocolTcp;
    p[7] = (step[3] & 1) != 0 ? 63 : 64;
    p[8] = p[24] = 0xfd;
    p[23] = 1, p[39] = 2;
  } else {
    p[0] = 0x45;
    p[1] = traffic_class;
    store_be16(&p[2], static_cast<std::uint16_t>(p.size()));
    store_be16(&p[4], (step[3] & 2) != 0 ? step[4] : static_cast<std::uint16_t>(sequence));
    p[6] = (step[3] & 4) != 0 ? 0 : 0x40;
    p[8] = (step[3] & 1) != 0 ? 63 : 64;
    p[9] = udp ? kProtocolUdp : kProtocolTcp;
    p[12] = p[16] = 100;
    p[15] = 1, p[19] = 2;
    store_be16(&p[10], ipv4_header_checksum(Bytes(p).first(20)));
  }
  std::uint8_t* const t = &p[ip];
  store_be16(t, 4000);
  store_be16(t + 2, 9000);
  if (udp) {
    store_be16(t + 4, static_cast<std::uint16_t>(8 + payload));
  } else {
    store_be32(t + 4, sequence * 200 + ((step[3] & 8) != 0 ? step[4] : 0));
    store_be32(t + 8, 77 + ((step[3] & 16) != 0 ? step[4] : 0));
    t[12] = static_cast<std::uint8_t>(transport / 4 << 4);
    t[13] = (step[3] & 32) != 0 ? step[4] : 0x10;
    store_be16(t + 14, (step[3] & 64) != 0 ? step[4] : 512);
    if (options != 0) t[20] = t[21] = 1, t[22] = 8, t[23] = 10, t[31] = step[5];
  }
  const auto view = IpView::parse(p);
  if (!view) return {};
  const std::size_t field = ip + checksum_field_offset(view->protocol);
  store_be16(&p[field], partial_checksum(*view, view->transport_bytes()));
  if (!partial) complete_checksum(*view, p);
  if (!partial && (step[3] & 128) != 0) p[field] ^= 1;  // a corrupt packet stays itself
  return p;
}

// A super-packet cut as a kernel would: headers copied, lengths, ids, sequence and checksums set; nothing clever.
static std::vector<Octets> reference_split(const VirtioHeader& virtio, const Octets& super) {
  if (virtio.gso() == GsoType::None) return {super};
  const bool v6 = super[0] >> 4 == 6;
  const std::size_t ip = virtio.checksum_start;
  const bool udp = virtio.checksum_offset == 6;
  const std::size_t header = ip + (udp ? 8 : (super[ip + 12] >> 4) * 4u);
  std::vector<Octets> out;
  for (std::size_t at = header; at < super.size(); at += virtio.gso_size) {
    const std::size_t size = std::min<std::size_t>(virtio.gso_size, super.size() - at);
    const bool last = at + size == super.size();
    Octets p(super.begin(), super.begin() + static_cast<std::ptrdiff_t>(header));
    p.insert(p.end(), super.begin() + static_cast<std::ptrdiff_t>(at),
             super.begin() + static_cast<std::ptrdiff_t>(at + size));
    if (v6) {
      store_be16(&p[4], static_cast<std::uint16_t>(p.size() - 40));
    } else {
      store_be16(&p[2], static_cast<std::uint16_t>(p.size()));
      store_be16(&p[4], static_cast<std::uint16_t>(load_be16(&super[4]) + out.size()));
      store_be16(&p[10], ipv4_header_checksum(Bytes(p).first(ip)));
    }
    if (udp) {
      store_be16(&p[ip + 4], static_cast<std::uint16_t>(8 + size));
    } else {
      store_be32(&p[ip + 4], load_be32(&super[ip + 4]) + static_cast<std::uint32_t>(at - header));
      if (!last) p[ip + 13] &= static_cast<std::uint8_t>(~0x09);
      if (!out.empty()) p[ip + 13] &= 0x7f;
    }
    out.push_back(std::move(p));
  }
  return out;
}

// What a receiver would be given in the end: every checksum complete. IPv4 ids of packets that may not be fragmented
// mean nothing (RFC 6864 §4.1).
static Octets settled(Octets p, bool partial) {
  const auto view = IpView::parse(p);
  require(view.has_value());
  if (partial) {
    store_be16(&p[view->transport_offset + checksum_field_offset(view->protocol)],
               partial_checksum(*view, view->transport_bytes()));
    require(complete_checksum(*view, p));
  }
  if (view->family == IpFamily::V4 && (p[6] & 0x40) != 0) {
    store_be16(&p[4], 0);
    store_be16(&p[10], 0);
  }
  return p;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kStep = 6;
  if (size < 1) return 0;
  Coalescer coalescer({.tcp = (data[0] & 1) != 0, .udp = (data[0] & 2) != 0});
  std::vector<Octets> packets;
  packets.reserve(64);
  std::map<std::uint8_t, std::vector<Octets>> wanted, got;
  std::uint32_t next[4] = {};
  IpView last;
  for (std::size_t at = 1; at + kStep <= size && packets.size() < 64; at += kStep) {
    const std::uint8_t flow = data[at] & 3;
    const bool partial = (data[at] & 4) != 0;
    Octets p = make(flow, next[flow]++, data + at, partial);
    const auto view = IpView::parse(p);
    if (p.empty() || !view) continue;
    // As deliveries do it: a neighbour of the same flow is not parsed again.
    const bool follows = !packets.empty() && last.follow(packets.back(), p);
    if (follows) require(last == *view);
    last = *view;
    wanted[flow].push_back(settled(p, partial));
    packets.push_back(std::move(p));
    coalescer.push(packets.back(), last, partial, follows);
  }
  std::size_t segments = 0;
  for (const SuperPacket& super : coalescer.flush()) {
    Octets whole;
    for (const auto piece : super.pieces) whole.insert(whole.end(), piece.begin(), piece.end());
    require(whole.size() == super.bytes && super.bytes <= Coalescer::kMaxSuperBytes);
    const auto parts = reference_split(super.virtio, whole);
    require(parts.size() == super.segments);
    segments += parts.size();
    for (const Octets& part : parts) {
      const auto view = IpView::parse(part);
      require(view.has_value() && view->total_bytes == part.size());
      const auto flow = static_cast<std::uint8_t>((view->family == IpFamily::V6 ? 1 : 0) |
                                                  (view->protocol == kProtocolUdp ? 2 : 0));
      got[flow].push_back(settled(part, super.virtio.needs_checksum()));
    }
  }
  require(segments == packets.size());
  require(wanted == got);
  return 0;
}
