#include "tests/support/plain_forwarding.hh"

#include <algorithm>
#include <array>

#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

constexpr std::uint8_t kTcp = 6, kUdp = 17, kHopByHop = 0, kFragment = 44, kDestinationOptions = 60;
constexpr std::uint8_t kFin = 0x01, kSyn = 0x02, kPsh = 0x08, kAck = 0x10, kCwr = 0x80;

std::uint32_t get16(const Octets& p, std::size_t at) { return std::uint32_t{p[at]} << 8 | p[at + 1]; }
void set16(Octets& p, std::size_t at, std::uint32_t v) {
  p[at] = static_cast<std::uint8_t>(v >> 8);
  p[at + 1] = static_cast<std::uint8_t>(v);
}
void add32(Octets& p, std::size_t at, std::uint32_t n) {
  const std::uint32_t v = (get16(p, at) << 16 | get16(p, at + 2)) + n;
  set16(p, at, v >> 16);
  set16(p, at + 2, v);
}
bool v6(const Octets& p) { return p[0] >> 4 == 6; }

void fix_ipv4_header(Octets& p) {
  const std::size_t header = (p[0] & 15) * 4u;
  set16(p, 10, 0);
  set16(p, 10,
        ~PacketMaker::sum({p.begin(), p.begin() + static_cast<std::ptrdiff_t>(header)}, 0, 0) & 0xffffu);
}

// The transport checksum from nothing: pseudo-header and all.
void fix_transport(Octets& p, std::size_t start, std::size_t offset) {
  const bool udp = offset == 6;
  const Octets addresses =
      v6(p) ? Octets(p.begin() + 8, p.begin() + 40) : Octets(p.begin() + 12, p.begin() + 20);
  const auto length = static_cast<std::uint32_t>(p.size() - start);
  set16(p, start + offset, 0);
  const std::uint16_t pseudo = PacketMaker::sum(addresses, 0, (udp ? kUdp : kTcp) + length);
  std::uint32_t field = ~PacketMaker::sum(p, start, pseudo) & 0xffffu;
  if (udp && field == 0) field = 0xffff;
  set16(p, start + offset, field);
}

// Where the transport header stands; 0: this is a fragment.
std::size_t transport_of(const Octets& p, std::uint8_t& protocol) {
  if (!v6(p)) {
    protocol = p[9];
    return (get16(p, 6) & 0x3fff) != 0 ? 0 : (p[0] & 15) * 4u;
  }
  protocol = p[6];
  std::size_t at = 40;
  while (protocol == kHopByHop || protocol == kDestinationOptions) {
    protocol = p[at];
    at += 8u * (p[at + 1] + 1u);
  }
  return protocol == kFragment ? 0 : at;
}

// Eight bytes of padding options (RFC 8200 §4.2) between the IPv6 header and what follows.
void insert_extension(Octets& p, std::uint8_t type) {
  const Octets options{p[6], 0, 1, 4, 0, 0, 0, 0};
  p[6] = type;
  set16(p, 4, get16(p, 4) + 8);
  p.insert(p.begin() + 40, options.begin(), options.end());
}

// Router alert and padding (RFC 2113).
void insert_ipv4_options(Octets& p) {
  const Octets options{0x94, 4, 0, 0, 1, 1, 1, 0};
  p.insert(p.begin() + 20, options.begin(), options.end());
  p[0] = 0x47;
  set16(p, 2, get16(p, 2) + 8);
  fix_ipv4_header(p);
}

std::vector<Octets> fragments_of(const Octets& p, std::size_t piece, std::uint16_t id) {
  std::vector<Octets> out;
  const std::size_t header = v6(p) ? 40 : (p[0] & 15) * 4u;
  for (std::size_t at = header; at < p.size(); at += piece) {
    const std::size_t size = std::min(piece, p.size() - at);
    const auto field = static_cast<std::uint32_t>(at - header);  // in units of 8, shifted by 3
    const bool more = at + size < p.size();
    Octets f(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(header));
    if (v6(p)) {
      Octets extension{p[6], 0, 0, 0, 0, 0, 0, 0};
      set16(extension, 2, field | (more ? 1u : 0u));
      set16(extension, 6, id);
      f[6] = kFragment;
      f.insert(f.end(), extension.begin(), extension.end());
      set16(f, 4, static_cast<std::uint32_t>(8 + size));
    } else {
      set16(f, 2, static_cast<std::uint32_t>(header + size));
      set16(f, 4, id);
      set16(f, 6, field / 8 | (more ? 0x2000u : 0u));
      fix_ipv4_header(f);
    }
    f.insert(f.end(), p.begin() + static_cast<std::ptrdiff_t>(at),
             p.begin() + static_cast<std::ptrdiff_t>(at + size));
    out.push_back(std::move(f));
  }
  return out;
}

}  // namespace

std::vector<Octets> plainly(const packet::VirtioHeader& virtio, const Octets& given) {
  const std::size_t start = virtio.checksum_start;
  if (virtio.gso() == packet::GsoType::None) {
    Octets p = given;
    if (virtio.needs_checksum()) fix_transport(p, start, virtio.checksum_offset);
    return {p};
  }
  const bool udp = virtio.checksum_offset == 6;
  const std::size_t header = start + (udp ? 8 : (given[start + 12] >> 4) * 4u);
  std::vector<Octets> out;
  for (std::size_t at = header; at < given.size(); at += virtio.gso_size) {
    const std::size_t size = std::min<std::size_t>(virtio.gso_size, given.size() - at);
    Octets p(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(header));
    p.insert(p.end(), given.begin() + static_cast<std::ptrdiff_t>(at),
             given.begin() + static_cast<std::ptrdiff_t>(at + size));
    if (v6(p)) {
      set16(p, 4, static_cast<std::uint32_t>(p.size() - 40));
    } else {
      set16(p, 2, static_cast<std::uint32_t>(p.size()));
      set16(p, 4, get16(given, 4) + static_cast<std::uint32_t>(out.size()));
      fix_ipv4_header(p);
    }
    if (udp) {
      set16(p, start + 4, static_cast<std::uint32_t>(8 + size));
    } else {
      add32(p, start + 4, static_cast<std::uint32_t>(at - header));
      if (at + size != given.size()) p[start + 13] &= static_cast<std::uint8_t>(~(kFin | kPsh));
      if (!out.empty()) p[start + 13] &= static_cast<std::uint8_t>(~kCwr);
    }
    fix_transport(p, start, virtio.checksum_offset);
    out.push_back(std::move(p));
  }
  return out;
}

void add_plainly(Flows& flows, const packet::VirtioHeader& virtio, const Octets& given) {
  for (Octets& p : plainly(virtio, given)) {
    std::uint8_t protocol = 0;
    const std::size_t transport = transport_of(p, protocol);
    // Order is kept within a class of traffic: another may take another path.
    const unsigned dscp = (v6(p) ? get16(p, 0) >> 4 & 0xff : p[1]) >> 2;
    std::string flow = (v6(p) ? "v6/" : "v4/") + std::to_string(protocol) + "/dscp " + std::to_string(dscp);
    if (transport != 0) {
      flow += "/" + std::to_string(get16(p, transport)) + "/" + std::to_string(get16(p, transport + 2));
    } else {
      flow += "/fragment " + std::to_string(v6(p) ? get16(p, 46) : get16(p, 4));
    }
    if (!v6(p) && (p[6] & 0x40) != 0) {
      set16(p, 4, 0);
      fix_ipv4_header(p);
    }
    flows[flow].push_back(std::move(p));
  }
}

std::string difference(const Flows& wanted, const Flows& got) {
  for (const auto& [flow, packets] : wanted) {
    const auto at = got.find(flow);
    if (at == got.end()) return flow + ": nothing came";
    for (std::size_t i = 0; i < packets.size(); ++i) {
      const std::string which = flow + ", packet " + std::to_string(i);
      if (i >= at->second.size()) return which + " of " + std::to_string(packets.size()) + " did not come";
      const Octets &a = packets[i], &b = at->second[i];
      if (a == b) continue;
      const auto byte = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
      return which + ": " + std::to_string(b.size()) + " bytes for " + std::to_string(a.size()) +
             ", other at byte " + std::to_string(byte);
    }
    if (at->second.size() > packets.size()) return flow + ": more came than were sent";
  }
  for (const auto& [flow, packets] : got)
    if (!wanted.contains(flow)) return flow + " was never sent";
  return {};
}

std::vector<Given> TenantTraffic::draw() {
  const std::uint32_t kind = drawn_++ % 12;
  const bool six = below(2) != 0;
  PacketMaker p;
  p.source = six ? ends_.source6 : ends_.source4;
  p.destination = six ? ends_.destination6 : ends_.destination4;
  p.traffic_class = static_cast<std::uint8_t>(below(256));  // every DSCP, every ECN mark
  p.hop_limit = static_cast<std::uint8_t>(2 + below(250));
  p.id = static_cast<std::uint16_t>(random_());
  p.dont_fragment = below(2) != 0;
  p.source_port = static_cast<std::uint16_t>(20'000 + below(40));
  p.destination_port = static_cast<std::uint16_t>(9000 + kind);
  p.sequence = drawn_ * 100'000;
  p.protocol = below(2) != 0 ? kTcp : kUdp;
  p.payload = some_bytes(below(1000), drawn_);
  packet::VirtioHeader virtio;
  std::string what;
  // The checksum field's place; after headers are complete.
  const auto needs_checksum = [&](std::size_t start) {
    virtio.flags = packet::VirtioHeader::kNeedsChecksum;
    virtio.checksum_start = static_cast<std::uint16_t>(start);
    virtio.checksum_offset = p.protocol == kTcp ? 16 : 6;
  };
  const Octets timestamps{
      1, 1, 8, 10, 0, 0, static_cast<std::uint8_t>(drawn_ >> 8), static_cast<std::uint8_t>(drawn_),
      0, 0, 0, 9};
  Octets packet;
  switch (kind) {
    case 0:
      what = "64 bytes of UDP";
      p.protocol = kUdp;
      p.payload.resize(64 - p.header_bytes());
      break;
    case 1:
      what = "larger than the path";
      p.dont_fragment = false;
      p.source = ends_.source4, p.destination = ends_.destination4;
      p.protocol = kUdp;
      p.payload = some_bytes(wide_ - 28, drawn_);
      break;
    case 2:
      what = "extension headers or options";
      packet = p.make();
      if (!p.v4()) {
        insert_extension(packet, kDestinationOptions);
        insert_extension(packet, kHopByHop);
      } else {
        insert_ipv4_options(packet);
      }
      break;
    case 3: {
      what = "fragments";
      p.protocol = kUdp;
      p.payload = some_bytes(1500 + below(1000), drawn_);
      std::vector<Given> out;
      for (Octets& piece : fragments_of(p.make(), 8 * (20 + below(100)), p.id))
        out.push_back({virtio, piece, what});
      return out;
    }
    case 4:
      what = "TCP options";
      p.protocol = kTcp;
      p.options = timestamps;
      p.flags = kAck | (below(2) != 0 ? kPsh : 0);
      break;
    case 5:
      what = "a corrupt checksum";
      p.checksum = PacketMaker::Checksum::Wrong;
      break;
    case 6:
      what = "a partial checksum";
      p.checksum = PacketMaker::Checksum::Partial;
      needs_checksum(p.ip_bytes());
      break;
    case 7:
    case 8:
      what = kind == 7 ? "a TCP super-packet" : "a TCP super-packet behind extension headers";
      p.protocol = kTcp;
      p.checksum = PacketMaker::Checksum::Partial;
      if (below(2) != 0) p.options = timestamps;
      p.flags = static_cast<std::uint8_t>(kAck | (below(2) != 0 ? kPsh : 0) | (below(4) == 0 ? kFin : 0) |
                                          (below(4) == 0 ? kCwr : 0));
      p.payload = some_bytes(2000 + below(30'000), drawn_);
      virtio.gso_type = static_cast<std::uint8_t>(p.v4() ? packet::GsoType::Tcp4 : packet::GsoType::Tcp6);
      if ((p.flags & kCwr) != 0) virtio.gso_type |= packet::VirtioHeader::kGsoEcn;
      virtio.gso_size = static_cast<std::uint16_t>(500 + below(600));
      packet = p.make();
      needs_checksum(p.ip_bytes());
      virtio.header_bytes = static_cast<std::uint16_t>(p.header_bytes());
      if (kind == 8) {
        p.v4() ? insert_ipv4_options(packet) : insert_extension(packet, kDestinationOptions);
        virtio.checksum_start += 8;
        virtio.header_bytes += 8;
      }
      break;
    case 9:
      what = "a UDP super-packet";
      p.protocol = kUdp;
      p.checksum = PacketMaker::Checksum::Partial;
      p.payload = some_bytes(2000 + below(20'000), drawn_);
      virtio.gso_type = static_cast<std::uint8_t>(packet::GsoType::UdpL4);
      virtio.gso_size = static_cast<std::uint16_t>(400 + below(700));
      needs_checksum(p.ip_bytes());
      virtio.header_bytes = static_cast<std::uint16_t>(p.header_bytes());
      break;
    case 10:
      what = "UDP without a checksum";
      p.source = ends_.source4, p.destination = ends_.destination4;
      p.protocol = kUdp;
      packet = p.make();
      set16(packet, 26, 0);
      break;
    default:
      what = "a SYN, a RST, an empty segment";
      p.protocol = kTcp;
      p.payload.clear();
      p.flags = std::array<std::uint8_t, 3>{kSyn, 0x04, kAck}[below(3)];
      if (p.flags == kSyn) p.options = {2, 4, 0x03, 0xe8, 1, 1, 4, 2};  // MSS 1000: below any clamp
  }
  if (packet.empty()) packet = p.make();
  return {{virtio, std::move(packet), what + (p.v4() ? ", IPv4" : ", IPv6")}};
}

}  // namespace qanat::test
