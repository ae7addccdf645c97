#include "dataplane/packet/coalescer.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::packet {
namespace {

// TCP header offsets and flags (RFC 9293 §3.1).
constexpr std::size_t kSequence = 4;
constexpr std::size_t kAck = 8;
constexpr std::size_t kFlags = 13;
constexpr std::size_t kWindow = 14;
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kPsh = 0x08;
constexpr std::uint8_t kUrg = 0x20;
constexpr std::uint8_t kCwr = 0x80;
constexpr std::uint8_t kEndsRun =
    kFin | kSyn | kRst | kPsh | kUrg;                     // nothing may follow these in a super-packet
constexpr std::uint8_t kNeverJoins = kSyn | kRst | kUrg;  // and these may not even be joined to a run

}  // namespace

// A pushed packet.
struct Coalescer::Entry {
  MutableBytes packet;
  IpView view;
  std::uint32_t hash;
  std::uint32_t next;  // index + 1 of the next packet of its chain, 0 none
  std::uint16_t header_bytes;
  std::uint16_t payload_bytes;
  bool partial;
  bool joinable;
};

// Packets that become one super-packet.
struct Coalescer::Chain {
  std::uint32_t first;
  std::uint32_t last;
  std::uint32_t count;
  std::uint32_t bytes;     // of the super-packet
  std::uint32_t next_seq;  // TCP
  std::uint16_t next_id;   // IPv4
  std::uint16_t gso_size;  // payload of the first
  bool fixed_id;           // DF packets that all carry the same id
  bool closed;
};

Coalescer::Coalescer(Options options) : options_(options), slots_(kSlots, 0) {
  entries_.reserve(256);
  chains_.reserve(256);
  supers_.reserve(256);
  pieces_.reserve(512);
}
Coalescer::~Coalescer() = default;

std::size_t Coalescer::packets() const noexcept { return entries_.size(); }

// Kernel GRO's conditions for the first packet of a run and for all that follow: inet_gro_receive,
// ipv6_gro_receive, tcp_gro_receive, udp_gro_receive.
bool Coalescer::joins(const Chain& chain, const Entry& entry) const noexcept {
  const Entry& head = entries_[chain.first];
  if (chain.closed || chain.count >= kMaxSegmentsPerSuper ||
      chain.bytes + entry.payload_bytes > kMaxSuperBytes)
    return false;
  if (head.header_bytes != entry.header_bytes || entry.payload_bytes > chain.gso_size) return false;
  const std::uint8_t* a = head.packet.data();
  const std::uint8_t* b = entry.packet.data();
  const bool v4 = head.view.family == IpFamily::V4;
  if (v4) {
    if (a[1] != b[1] || a[8] != b[8] || load_be16(a + 6) != load_be16(b + 6)) return false;  // TOS, TTL, DF
    const std::uint16_t id = load_be16(b + 4);
    const bool dont_fragment = (b[6] & 0x40) != 0;
    const bool same = id == load_be16(a + 4);
    const bool increments = id == chain.next_id;
    if (chain.count == 1 ? !(increments || (dont_fragment && same)) : chain.fixed_id ? !same : !increments)
      return false;
  } else {
    if (std::memcmp(a, b, 4) != 0 || a[7] != b[7]) return false;  // traffic class, flow label; hop limit
  }
  const std::uint8_t* ta = a + head.view.transport_offset;
  const std::uint8_t* tb = b + entry.view.transport_offset;
  if (head.view.protocol == kProtocolUdp) return true;
  if (load_be32(tb + kSequence) != chain.next_seq || std::memcmp(ta + kAck, tb + kAck, 4) != 0) return false;
  if ((tb[kFlags] & (kNeverJoins | kCwr)) != 0) return false;
  // FIN and PSH may differ: the run takes the last packet's. CWR stands on the first only.
  const std::uint8_t may_differ = kFin | kPsh | kCwr;
  if (((ta[kFlags] ^ tb[kFlags]) & ~may_differ) != 0 || (ta[kFlags - 1] != tb[kFlags - 1])) return false;
  const std::size_t options = entry.header_bytes - entry.view.transport_offset - 20;
  return std::memcmp(ta + kWindow, tb + kWindow, 2) == 0 && std::memcmp(ta + 20, tb + 20, options) == 0;
}

void Coalescer::push(MutableBytes packet, const IpView& view, bool checksum_partial, bool same_flow) {
  Entry e{};
  e.packet = packet.first(view.total_bytes);
  e.view = view;
  e.partial = checksum_partial && !view.fragment && checksum_field_offset(view.protocol) != 0;
  const bool tcp = view.protocol == kProtocolTcp && options_.tcp;
  const bool udp = view.protocol == kProtocolUdp && options_.udp;
  bool starts_run = false;
  if ((tcp || udp) && !view.fragment && !view.has_extensions) {
    const std::uint8_t* t = packet.data() + view.transport_offset;
    const std::size_t transport_header = tcp ? (t[12] >> 4) * 4u : 8u;
    e.header_bytes = static_cast<std::uint16_t>(view.transport_offset + transport_header);
    e.payload_bytes = static_cast<std::uint16_t>(view.total_bytes - e.header_bytes);
    e.joinable = e.payload_bytes > 0;
    if (udp && (load_be16(t + 4) != view.transport_bytes() || (!e.partial && load_be16(t + 6) == 0)))
      e.joinable = false;
    if (tcp && (t[kFlags] & kNeverJoins) != 0) e.joinable = false;
    if (e.joinable && !e.partial) e.joinable = transport_checksum_valid(view, e.packet);
    starts_run = e.joinable && !(tcp && (t[kFlags] & kEndsRun) != 0);
  }

  same_flow = same_flow && !entries_.empty();
  e.hash = same_flow ? entries_.back().hash : flow_hash(view);
  // The hash is symmetric; a run is not.
  std::uint32_t& slot = slots_[(e.hash ^ (view.source < view.destination ? 0x55u : 0)) % kSlots];
  const auto index = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back(e);

  if (slot != 0) {
    Chain& chain = chains_[slot - 1];
    const Entry& head = entries_[chain.first];
    same_flow = same_flow || (head.hash == e.hash && head.view.protocol == view.protocol &&
                              head.view.source == view.source && head.view.destination == view.destination &&
                              head.view.source_port == view.source_port &&
                              head.view.destination_port == view.destination_port);
    if (same_flow && e.joinable && joins(chain, e)) {
      entries_[chain.last].next = index + 1;
      if (chain.count == 1 && view.family == IpFamily::V4)
        chain.fixed_id = load_be16(e.packet.data() + 4) != chain.next_id;
      chain.last = index;
      ++chain.count;
      chain.bytes += e.payload_bytes;
      chain.next_seq += e.payload_bytes;
      if (view.family == IpFamily::V4)
        chain.next_id = static_cast<std::uint16_t>(load_be16(e.packet.data() + 4) + 1);
      if (e.payload_bytes < chain.gso_size) chain.closed = true;
      if (tcp && (e.packet[view.transport_offset + kFlags] & kEndsRun) != 0) chain.closed = true;
      return;
    }
  }
  Chain chain{};
  chain.first = chain.last = index;
  chain.count = 1;
  chain.bytes = view.total_bytes;
  chain.gso_size = e.payload_bytes;
  chain.closed = !starts_run;
  if (tcp && e.joinable)
    chain.next_seq = load_be32(e.packet.data() + view.transport_offset + kSequence) + e.payload_bytes;
  if (view.family == IpFamily::V4)
    chain.next_id = static_cast<std::uint16_t>(load_be16(e.packet.data() + 4) + 1);
  chains_.push_back(chain);
  slot = static_cast<std::uint32_t>(chains_.size());  // later packets of the flow never overtake this one
}

// Edits the head's header for the whole run and describes it to the kernel.
void Coalescer::finish(Chain& chain) {
  Entry& head = entries_[chain.first];
  std::uint8_t* ip = head.packet.data();
  std::uint8_t* transport = ip + head.view.transport_offset;
  const std::uint16_t field = checksum_field_offset(head.view.protocol);
  const bool tcp = head.view.protocol == kProtocolTcp;
  SuperPacket super;
  super.bytes = chain.bytes;
  super.segments = chain.count;
  if (chain.count > 1) {
    const std::uint32_t transport_bytes = chain.bytes - head.view.transport_offset;
    if (head.view.family == IpFamily::V4) {
      store_be16(ip + 2, static_cast<std::uint16_t>(chain.bytes));
      store_be16(ip + 10, ipv4_header_checksum(Bytes(head.packet).first(head.view.transport_offset)));
    } else {
      store_be16(ip + 4, static_cast<std::uint16_t>(chain.bytes - 40));
    }
    if (tcp) {
      const Entry& last = entries_[chain.last];
      transport[kFlags] |= last.packet[last.view.transport_offset + kFlags] & (kFin | kPsh);
    } else {
      store_be16(transport + 4, static_cast<std::uint16_t>(transport_bytes));
    }
    store_be16(transport + field, partial_checksum(head.view, transport_bytes));
    const GsoType gso = !tcp                               ? GsoType::UdpL4
                        : head.view.family == IpFamily::V4 ? GsoType::Tcp4
                                                           : GsoType::Tcp6;
    super.virtio.gso_type = static_cast<std::uint8_t>(gso);
    if (tcp && (transport[kFlags] & kCwr) != 0) super.virtio.gso_type |= VirtioHeader::kGsoEcn;
    super.virtio.gso_size = chain.gso_size;
  }
  if (chain.count > 1 || head.partial) {
    super.virtio.flags = VirtioHeader::kNeedsChecksum;
    super.virtio.header_bytes = head.header_bytes;
    super.virtio.checksum_start = head.view.transport_offset;
    super.virtio.checksum_offset = field;
  }
  const std::size_t begin = pieces_.size();
  pieces_.push_back(head.packet);
  for (std::uint32_t at = head.next; at != 0; at = entries_[at - 1].next) {
    const Entry& e = entries_[at - 1];
    pieces_.push_back(Bytes(e.packet).subspan(e.header_bytes, e.payload_bytes));
  }
  super.pieces = {pieces_.data() + begin, pieces_.size() - begin};
  supers_.push_back(super);
}

std::span<const SuperPacket> Coalescer::flush() {
  supers_.clear();
  pieces_.clear();
  pieces_.reserve(entries_.size());  // so that the spans into it stay where they are
  for (Chain& chain : chains_) finish(chain);
  chains_.clear();
  std::fill(slots_.begin(), slots_.end(), 0u);
  return supers_;
}

void Coalescer::clear() noexcept {
  entries_.clear();
  chains_.clear();
  supers_.clear();
  pieces_.clear();
  std::fill(slots_.begin(), slots_.end(), 0u);
}

}  // namespace qanat::packet
