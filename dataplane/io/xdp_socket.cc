#include "dataplane/io/xdp_socket.hh"

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.hh"
#include "dataplane/io/netlink.hh"
#include "dataplane/io/xdp_filter.hh"
#include "dataplane/packet/byte_order.hh"
#include "dataplane/packet/checksum.hh"

namespace qanat::io {
namespace {

using forwarder::Datagrams;
using packet::IpFamily;

// One area of frames: the first half is the kernel's to fill, the second ours to send from.
constexpr std::uint32_t kFrame = 4096;
constexpr std::uint32_t kFrames = 4096;
constexpr std::uint32_t kRing = kFrames / 2;
constexpr std::size_t kEthernet = 14;
constexpr std::uint8_t kTtl = 64;
constexpr base::Duration kHopFresh = std::chrono::seconds{1};
constexpr base::Duration kHopMissing = std::chrono::milliseconds{100};

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

struct Device {
  std::string name;
  unsigned index = 0;
  std::array<std::uint8_t, 6> address{};
};

Device device_of(const packet::IpAddress& local) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) throw_errno("list", "network devices");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, &::freeifaddrs);
  const auto matches = [&](const sockaddr* a) {
    if (a == nullptr) return false;
    if (a->sa_family == AF_INET && local.family == IpFamily::V4)
      return local == packet::IpAddress::from_bytes(IpFamily::V4,
                                                    reinterpret_cast<const std::uint8_t*>(
                                                        &reinterpret_cast<const sockaddr_in*>(a)->sin_addr));
    if (a->sa_family == AF_INET6 && local.family == IpFamily::V6)
      return local == packet::IpAddress::from_bytes(
                          IpFamily::V6, reinterpret_cast<const std::uint8_t*>(
                                            &reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr));
    return false;
  };
  Device out;
  for (const ifaddrs* i = list; i != nullptr && out.name.empty(); i = i->ifa_next)
    if (matches(i->ifa_addr)) out.name = i->ifa_name;
  if (out.name.empty()) throw_errno(EADDRNOTAVAIL, "find the device that has", to_string(local));
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next)
    if (out.name == i->ifa_name && i->ifa_addr != nullptr && i->ifa_addr->sa_family == AF_PACKET)
      std::copy_n(reinterpret_cast<const sockaddr_ll*>(i->ifa_addr)->sll_addr, 6, out.address.begin());
  out.index = ::if_nametoindex(out.name.c_str());
  return out;
}

}  // namespace

struct XdpSocket::Impl {
  struct Hop {
    std::optional<std::array<std::uint8_t, 6>> address;
    base::Time until{};
  };

  packet::UdpAddress local;
  std::uint8_t line;
  Device device;
  XdpFilter filter;
  Netlink netlink;  // of this namespace
  std::uint8_t* area = nullptr;
  xsk_umem* umem = nullptr;
  xsk_socket* socket = nullptr;
  xsk_ring_prod fill{}, tx{};
  xsk_ring_cons completed{}, rx{};
  std::vector<std::uint64_t> free_frames;  // to send from
  std::vector<std::uint64_t> lent;         // received, until the next receive()
  std::vector<Datagrams> trains;
  std::unordered_map<packet::IpAddress, Hop> hops;
  XdpCounters counters;

  Impl(const packet::UdpAddress& at, std::uint8_t number)
      : local(at), line(number), device(device_of(at.address)), filter(device.name, device.index, at) {
    try {
      open();
    } catch (...) {
      close();
      throw;
    }
  }
  ~Impl() { close(); }

  void open() {
    constexpr std::size_t kBytes = std::size_t{kFrame} * kFrames;
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_errno("map 16 MiB of frames for", device.name);
    area = static_cast<std::uint8_t*>(memory);
    xsk_umem_config frames{};
    frames.fill_size = frames.comp_size = kRing;
    frames.frame_size = kFrame;
    if (const int e = ::xsk_umem__create(&umem, area, kBytes, &fill, &completed, &frames); e != 0)
      throw_errno(-e, "register AF_XDP frames for", device.name);
    xsk_socket_config config{};
    config.rx_size = config.tx_size = kRing;
    config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
    config.bind_flags = XDP_USE_NEED_WAKEUP;
    if (const int e = ::xsk_socket__create(&socket, device.name.c_str(), 0, umem, &rx, &tx, &config); e != 0)
      throw_errno(-e, "bind an AF_XDP socket to", device.name);
    std::uint32_t at = 0;
    ::xsk_ring_prod__reserve(&fill, kRing, &at);
    for (std::uint32_t i = 0; i < kRing; ++i)
      *::xsk_ring_prod__fill_addr(&fill, at + i) = std::uint64_t{i} * kFrame;
    ::xsk_ring_prod__submit(&fill, kRing);
    for (std::uint32_t i = kRing; i < kFrames; ++i) free_frames.push_back(std::uint64_t{i} * kFrame);
    filter.serve(0, ::xsk_socket__fd(socket));
    if (!filter.works()) throw_errno(EPROTO, "trust the XDP program's self-test on", device.name);
  }
  void close() {
    if (socket != nullptr) ::xsk_socket__delete(socket);
    if (umem != nullptr) ::xsk_umem__delete(umem);
    if (area != nullptr) ::munmap(area, std::size_t{kFrame} * kFrames);
    socket = nullptr;
    umem = nullptr;
    area = nullptr;
  }

  // Ethernet, IP, UDP of one received frame; nothing: not what the filter promised.
  std::optional<Datagrams> parse(packet::MutableBytes frame) const {
    const bool v4 = local.address.family == IpFamily::V4;
    const std::size_t udp = kEthernet + (v4 ? 20 : 40);
    if (frame.size() < udp + 8) return std::nullopt;
    const std::uint8_t* ip = frame.data() + kEthernet;
    const std::size_t size = packet::load_be16(&frame[udp + 4]);
    if (size < 8 || udp + size > frame.size()) return std::nullopt;
    Datagrams out;
    out.bytes = frame.subspan(udp + 8, size - 8);
    out.segment_bytes = out.bytes.size();
    out.remote = {packet::IpAddress::from_bytes(local.address.family, ip + (v4 ? 12 : 8)),
                  packet::load_be16(&frame[udp])};
    out.line = line;
    out.traffic_class = v4 ? ip[1] : static_cast<std::uint8_t>(packet::load_be16(ip) >> 4);
    if (out.bytes.empty()) return std::nullopt;
    return out;
  }

  void give_back() {
    std::uint32_t at = 0;
    const auto n = static_cast<std::uint32_t>(lent.size());
    if (n == 0 || ::xsk_ring_prod__reserve(&fill, n, &at) != n) return;
    for (std::uint32_t i = 0; i < n; ++i)
      *::xsk_ring_prod__fill_addr(&fill, at + i) = lent[i] & ~std::uint64_t{kFrame - 1};
    ::xsk_ring_prod__submit(&fill, n);
    lent.clear();
  }

  void reclaim() {
    std::uint32_t at = 0;
    const std::uint32_t n = ::xsk_ring_cons__peek(&completed, kRing, &at);
    for (std::uint32_t i = 0; i < n; ++i)
      free_frames.push_back(*::xsk_ring_cons__comp_addr(&completed, at + i));
    ::xsk_ring_cons__release(&completed, n);
  }

  // The kernel sends some thirty a call where it has to copy.
  void kick() {
    for (unsigned turns = 0; turns < kRing / 16 && ::xsk_ring_prod__needs_wakeup(&tx) != 0; ++turns)
      if (::sendto(::xsk_socket__fd(socket), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0 ||
          (errno != EAGAIN && errno != EBUSY))
        return;
  }

  const std::array<std::uint8_t, 6>* link_address(const packet::IpAddress& to, base::Time now) {
    Hop& hop = hops[to];
    if (now >= hop.until) {
      const auto next = netlink.next_hop(to_string(to));
      hop.address = next && next->device == static_cast<int>(device.index) ? std::optional(next->link_address)
                                                                           : std::nullopt;
      hop.until = now + (hop.address ? kHopFresh : kHopMissing);
    }
    return hop.address ? &*hop.address : nullptr;
  }

  // Of `frame`: what stands before the payload, and the payload; its size.
  std::size_t write(std::uint8_t* frame, const Datagrams& train,
                    const std::array<std::uint8_t, 6>& to) const {
    const bool v4 = local.address.family == IpFamily::V4;
    const std::size_t udp = kEthernet + (v4 ? 20 : 40);
    const std::size_t size = train.bytes.size();
    std::memset(frame, 0, udp + 8);
    std::copy(to.begin(), to.end(), frame);
    std::copy(device.address.begin(), device.address.end(), frame + 6);
    packet::store_be16(frame + 12, v4 ? 0x0800 : 0x86dd);
    std::uint8_t* ip = frame + kEthernet;
    if (v4) {
      ip[0] = 0x45;
      ip[1] = train.traffic_class;
      packet::store_be16(ip + 2, static_cast<std::uint16_t>(28 + size));
      ip[6] = 0x40;  // DF
      ip[8] = kTtl;
      ip[9] = packet::kProtocolUdp;
      local.address.to_bytes(ip + 12);
      train.remote.address.to_bytes(ip + 16);
      packet::store_be16(ip + 10, packet::ipv4_header_checksum({ip, 20}));
    } else {
      packet::store_be16(ip, static_cast<std::uint16_t>(0x6000 | train.traffic_class << 4));
      packet::store_be16(ip + 4, static_cast<std::uint16_t>(8 + size));
      ip[6] = packet::kProtocolUdp;
      ip[7] = kTtl;
      local.address.to_bytes(ip + 8);
      train.remote.address.to_bytes(ip + 24);
    }
    std::uint8_t* header = frame + udp;
    packet::store_be16(header, local.port);
    packet::store_be16(header + 2, train.remote.port);
    packet::store_be16(header + 4, static_cast<std::uint16_t>(8 + size));
    std::memcpy(header + 8, train.bytes.data(), size);
    if (!v4) {  // over IPv4 none is needed: the seal's tag is the stronger one (RFC 768, RFC 8200 §8.1)
      std::uint64_t sum = packet::checksum_add(0, {ip + 8, 32});
      sum += packet::kProtocolUdp + 8 + size;
      const auto checksum =
          static_cast<std::uint16_t>(~packet::checksum_fold(packet::checksum_add(sum, {header, 8 + size})));
      packet::store_be16(header + 6, checksum == 0 ? 0xffff : checksum);
    }
    return udp + 8 + size;
  }
};

XdpSocket::XdpSocket(const packet::UdpAddress& local, std::uint8_t line)
    : impl_(std::make_unique<Impl>(local, line)) {}
XdpSocket::~XdpSocket() = default;

int XdpSocket::fd() const { return ::xsk_socket__fd(impl_->socket); }
packet::UdpAddress XdpSocket::local() const { return impl_->local; }
const std::string& XdpSocket::device() const { return impl_->device.name; }
bool XdpSocket::native() const { return impl_->filter.native(); }
const XdpCounters& XdpSocket::counters() const { return impl_->counters; }

std::span<const Datagrams> XdpSocket::receive() {
  Impl& i = *impl_;
  i.give_back();
  i.trains.clear();
  std::uint32_t at = 0;
  const std::uint32_t n = ::xsk_ring_cons__peek(&i.rx, kBatch, &at);
  for (std::uint32_t k = 0; k < n; ++k) {
    const xdp_desc* d = ::xsk_ring_cons__rx_desc(&i.rx, at + k);
    i.lent.push_back(d->addr);
    if (const auto train = i.parse({i.area + d->addr, d->len})) i.trains.push_back(*train);
  }
  ::xsk_ring_cons__release(&i.rx, n);
  bump(i.counters.received, n);
  return i.trains;
}

std::size_t XdpSocket::send(std::span<const Datagrams> trains) {
  Impl& i = *impl_;
  const base::Time now = base::monotonic_now();
  const std::size_t most = kXdpFrameBytes - kEthernet - 48;
  std::size_t taken = 0;
  if (i.free_frames.size() < trains.size()) i.reclaim();
  for (const Datagrams& train : trains) {
    if (train.count() != 1 || train.bytes.size() > most || i.free_frames.empty()) break;
    const auto* to = i.link_address(train.remote.address, now);
    std::uint32_t at = 0;
    if (to == nullptr || ::xsk_ring_prod__reserve(&i.tx, 1, &at) != 1) break;
    xdp_desc* d = ::xsk_ring_prod__tx_desc(&i.tx, at);
    d->addr = i.free_frames.back();
    i.free_frames.pop_back();
    d->len = static_cast<std::uint32_t>(i.write(i.area + d->addr, train, *to));
    d->options = 0;
    ++taken;
  }
  if (taken != 0) {
    ::xsk_ring_prod__submit(&i.tx, static_cast<std::uint32_t>(taken));
    i.kick();
  }
  bump(i.counters.sent, taken);
  bump(i.counters.elsewhere, trains.size() - taken);
  return taken;
}

}  // namespace qanat::io
