#include "dataplane/io/capture_tap.hh"

#include <pcap/pcap.h>
#include <time.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::io {
namespace {

// draft-ietf-opsawg-pcapng, in host order, as its byte-order magic says.
constexpr std::uint32_t kSection = 0x0a0d0d0a;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kLinkTypeRaw = 101;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void pad(std::string& out) { out.append((4 - out.size() % 4) % 4, '\0'); }

void option(std::string& out, std::uint16_t code, std::string_view value) {
  put(out, code);
  put(out, static_cast<std::uint16_t>(value.size()));
  out.append(value);
  pad(out);
}

void block(std::string& out, std::uint32_t type, const std::string& body) {
  const auto length = static_cast<std::uint32_t>(body.size() + 12);
  put(out, type);
  put(out, length);
  out.append(body);
  put(out, length);
}

std::string headers(std::uint32_t snap_bytes) {
  std::string out;
  std::string section;
  put(section, std::uint32_t{0x1a2b3c4d});
  put(section, std::uint16_t{1});
  put(section, std::uint16_t{0});
  put(section, ~std::uint64_t{0});
  option(section, 4, "qanatd");
  option(section, 0, {});
  block(out, kSection, section);
  // One interface for both sides: libpcap 1.10 refuses a second of link type 101.
  std::string interface;
  put(interface, kLinkTypeRaw);
  put(interface, std::uint16_t{0});
  put(interface, snap_bytes);
  option(interface, 2, "qanat");
  option(interface, 9, std::string(1, '\x09'));  // nanoseconds
  option(interface, 0, {});
  block(out, kInterface, interface);
  return out;
}

// The headers that the kernel put before a datagram, or took off it.
void put_back(std::vector<std::uint8_t>& out, const packet::UdpAddress& from, const packet::UdpAddress& to,
              std::uint8_t traffic_class, packet::Bytes payload) {
  const bool v4 = from.address.family == packet::IpFamily::V4;
  const std::size_t ip = v4 ? 20 : 40;
  const auto udp_bytes = static_cast<std::uint16_t>(8 + payload.size());
  out.assign(ip + 8, 0);
  if (v4) {
    out[0] = 0x45;
    out[1] = traffic_class;
    packet::store_be16(&out[2], static_cast<std::uint16_t>(ip + udp_bytes));
    packet::store_be16(&out[6], 0x4000);
    out[8] = 64;
    out[9] = packet::kProtocolUdp;
    from.address.to_bytes(&out[12]);
    to.address.to_bytes(&out[16]);
    packet::store_be16(&out[10], packet::ipv4_header_checksum(packet::Bytes(out).first(20)));
  } else {
    packet::store_be32(&out[0], 0x60000000u | std::uint32_t{traffic_class} << 20);
    packet::store_be16(&out[4], udp_bytes);
    out[6] = packet::kProtocolUdp;
    out[7] = 64;
    from.address.to_bytes(&out[8]);
    to.address.to_bytes(&out[24]);
  }
  packet::store_be16(&out[ip], from.port);
  packet::store_be16(&out[ip + 2], to.port);
  packet::store_be16(&out[ip + 4], udp_bytes);
  out.insert(out.end(), payload.begin(), payload.end());
  const auto view = packet::IpView::parse(out);
  if (!view) return;
  packet::store_be16(&out[ip + 6], packet::partial_checksum(*view, udp_bytes));
  packet::complete_checksum(*view, out);
}

}  // namespace

struct CaptureTap::Filter {
  bpf_program program{};
  ~Filter() { pcap_freecode(&program); }
};

CaptureTap::CaptureTap(CaptureOptions options)
    : options_(std::move(options)), pending_(headers(options_.snap_bytes)) {
  if (options_.filter.empty()) return;
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> pcap(pcap_open_dead(DLT_RAW, 65535), pcap_close);
  auto filter = std::make_unique<Filter>();
  if (pcap_compile(pcap.get(), &filter->program, options_.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
    throw std::invalid_argument(pcap_geterr(pcap.get()));
  filter_ = std::move(filter);
}

CaptureTap::~CaptureTap() = default;

void CaptureTap::record_packet(ids::Vni vni, bool to_tenant, const packet::VirtioHeader& virtio,
                               std::span<const packet::Bytes> pieces) {
  std::vector<std::uint8_t> packet;
  for (const packet::Bytes& piece : pieces) packet.insert(packet.end(), piece.begin(), piece.end());
  if (virtio.needs_checksum()) packet::complete_checksum(virtio, packet);
  // A super-packet's own length field may be its first segment's.
  if (packet.size() > 40 && packet[0] >> 4 == 6)
    packet::store_be16(&packet[4], static_cast<std::uint16_t>(packet.size() - 40));
  record(!to_tenant, packet, "vni " + std::to_string(vni.value));
}

void CaptureTap::record_train(const packet::UdpAddress& local, const forwarder::Datagrams& train,
                              bool received) {
  std::vector<std::uint8_t> packet;
  for (std::size_t at = 0; at < train.bytes.size(); at += train.segment_bytes) {
    const auto datagram = train.bytes.subspan(at, std::min(train.segment_bytes, train.bytes.size() - at));
    put_back(packet, received ? train.remote : local, received ? local : train.remote, train.traffic_class,
             datagram);
    record(received, packet, "sealed");
  }
}

void CaptureTap::record(bool inbound, packet::Bytes packet, const std::string& comment) {
  const auto size = static_cast<std::uint32_t>(packet.size());
  if (filter_ != nullptr) {
    pcap_pkthdr header{};
    header.caplen = header.len = size;
    if (pcap_offline_filter(&filter_->program, &header, packet.data()) == 0) return;
  }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::uint64_t stamp =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  const std::uint32_t kept = std::min(size, options_.snap_bytes);
  std::string body;
  put(body, std::uint32_t{0});  // interface
  put(body, static_cast<std::uint32_t>(stamp >> 32));
  put(body, static_cast<std::uint32_t>(stamp));
  put(body, kept);
  put(body, size);
  body.append(reinterpret_cast<const char*>(packet.data()), kept);
  pad(body);
  const std::uint32_t flags = inbound ? 1 : 2;
  option(body, 2, std::string_view(reinterpret_cast<const char*>(&flags), sizeof flags));
  if (!comment.empty()) option(body, 1, comment);
  option(body, 0, {});
  const std::lock_guard guard(lock_);
  if (pending_.size() + body.size() > kMaxPending) {
    ++lost_;
    return;
  }
  block(pending_, kEnhancedPacket, body);
  ++recorded_;
}

std::string CaptureTap::take() {
  std::string out;
  const std::lock_guard guard(lock_);
  out.swap(pending_);
  return out;
}

}  // namespace qanat::io
