#include "dataplane/io/udp_socket.hh"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "identifiers/ids/tier.hh"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace qanat::io {
namespace {

using forwarder::Datagrams;
using packet::IpFamily;

constexpr std::size_t kMessageBytes = 65'536;
constexpr std::size_t kControlBytes = 128;
constexpr std::size_t kHotBytes = 256 * 1024;  // received at once: opened and delivered while they are in L2
constexpr std::size_t kLeastBatch = 4;

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

socklen_t to_sockaddr(const packet::UdpAddress& from, sockaddr_storage& out) {
  if (from.address.family == IpFamily::V4) {
    auto& a = reinterpret_cast<sockaddr_in&>(out);
    a.sin_family = AF_INET;
    a.sin_port = htons(from.port);
    from.address.to_bytes(reinterpret_cast<std::uint8_t*>(&a.sin_addr));
    return sizeof(sockaddr_in);
  }
  auto& a = reinterpret_cast<sockaddr_in6&>(out);
  a = {};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(from.port);
  from.address.to_bytes(reinterpret_cast<std::uint8_t*>(&a.sin6_addr));
  return sizeof(sockaddr_in6);
}

packet::UdpAddress from_sockaddr(const sockaddr_storage& in) {
  packet::UdpAddress out;
  if (in.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(in);
    out.address =
        packet::IpAddress::from_bytes(IpFamily::V4, reinterpret_cast<const std::uint8_t*>(&a.sin_addr));
    out.port = ntohs(a.sin_port);
  } else {
    const auto& a = reinterpret_cast<const sockaddr_in6&>(in);
    out.address =
        packet::IpAddress::from_bytes(IpFamily::V6, reinterpret_cast<const std::uint8_t*>(&a.sin6_addr));
    out.port = ntohs(a.sin6_port);
  }
  return out;
}

void set_option(int fd, int level, int name, int value, const char* what, const packet::UdpAddress& address) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0)
    throw_errno(std::string("set ") + what + " on", to_string(address));
}

template <class T>
void add_control(msghdr& message, std::size_t& used, int level, int type, T value) {
  auto* c = reinterpret_cast<cmsghdr*>(static_cast<std::uint8_t*>(message.msg_control) + used);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(c), &value, sizeof value);
  used += CMSG_SPACE(sizeof value);
}

}  // namespace

// Receive and send arrays, made once.
struct UdpSocket::Buffers {
  explicit Buffers(bool receiving) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      if (receiving) bytes[i] = std::make_unique_for_overwrite<std::uint8_t[]>(kMessageBytes);
      in_vectors[i] = {bytes[i].get(), kMessageBytes};
      in[i].msg_hdr.msg_iov = &in_vectors[i];
      in[i].msg_hdr.msg_iovlen = 1;
      in[i].msg_hdr.msg_name = &in_names[i];
      in[i].msg_hdr.msg_control = in_control[i].data();
      out[i].msg_hdr.msg_iov = &out_vectors[i];
      out[i].msg_hdr.msg_iovlen = 1;
      out[i].msg_hdr.msg_name = &out_names[i];
      out[i].msg_hdr.msg_control = out_control[i].data();
    }
  }
  std::array<std::unique_ptr<std::uint8_t[]>, kBatch> bytes;
  std::array<mmsghdr, kBatch> in{};
  std::array<iovec, kBatch> in_vectors{};
  std::array<sockaddr_storage, kBatch> in_names{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, kControlBytes>, kBatch> in_control{};
  std::array<Datagrams, kBatch> trains{};
  std::array<mmsghdr, kBatch> out{};
  std::array<iovec, kBatch> out_vectors{};
  std::array<sockaddr_storage, kBatch> out_names{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, kControlBytes>, kBatch> out_control{};
  std::uint32_t overflow = 0;    // the kernel's running count
  std::size_t written = kBatch;  // of `in`, by the last call: their lengths want setting again
};

UdpSocket::UdpSocket(const UdpOptions& options)
    : options_(options),
      buffers_(std::make_unique<Buffers>(options.receive)),
      counters_(std::make_unique<UdpCounters>()) {
  const bool v4 = options.local.address.family == IpFamily::V4;
  const auto& local = options.local;
  fd_.reset(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) throw_errno("open a UDP socket for", to_string(local));
  if (options.shared) set_option(fd(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", local);
  if (!v4) set_option(fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY", local);
  for (const auto& [force, plain] :
       {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}})
    if (::setsockopt(fd(), SOL_SOCKET, force, &options.buffer_bytes, sizeof options.buffer_bytes) != 0)
      ::setsockopt(fd(), SOL_SOCKET, plain, &options.buffer_bytes, sizeof options.buffer_bytes);
  set_option(fd(), SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL", local);
  if (v4) {
    set_option(fd(), IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS", local);
    set_option(fd(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER", local);
  } else {
    set_option(fd(), IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS", local);
    set_option(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER", local);
  }
  set_gather(options.gather);
  if (options.urgent) {
    const int highest = 6;  // without CAP_NET_ADMIN; TC_PRIO_INTERACTIVE: pfifo_fast's and fq's first band
    set_option(fd(), SOL_SOCKET, SO_PRIORITY, highest, "SO_PRIORITY", local);
  }
  if (!options.receive) {
    sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog filter{1, &nothing};
    if (::setsockopt(fd(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
      throw_errno("close the receiving side of", to_string(local));
  }
  sockaddr_storage name{};
  const socklen_t length = to_sockaddr(local, name);
  if (::bind(fd(), reinterpret_cast<sockaddr*>(&name), length) != 0)
    throw_errno("bind UDP", to_string(local));
  if (local.port == 0) {
    socklen_t size = sizeof name;
    ::getsockname(fd(), reinterpret_cast<sockaddr*>(&name), &size);
    options_.local.port = from_sockaddr(name).port;
  }
}

UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
UdpSocket::~UdpSocket() = default;

void UdpSocket::set_gather(bool on) {
  const int value = on ? 1 : 0;
  options_.gather = ::setsockopt(fd(), SOL_UDP, UDP_GRO, &value, sizeof value) == 0 && on;
}

void UdpSocket::steer(unsigned workers) {
  // The program sees the UDP payload: byte 0 is the type, byte 1 the bucket (wire.md §1); the IP header before it is
  // there by SKF_NET_OFF, its traffic class in the first two bytes.
  constexpr auto kIp = static_cast<std::uint32_t>(SKF_NET_OFF);
  const bool v4 = options_.local.address.family == IpFamily::V4;
  const std::uint32_t shift = v4 ? 2 : 6;
  constexpr std::uint32_t kCritical = ids::dscp(ids::Tier::Critical);
  std::array<sock_filter, 17> program{{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 13),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, packet::kControlBucket, 11, 0),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kIp),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, shift),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3f),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCritical, 2, 0),
      BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_RET | BPF_A, 0),
      BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, workers + 1),
      BPF_STMT(BPF_RET | BPF_A, 0),
      BPF_STMT(BPF_RET | BPF_K, workers),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0)
    throw_errno("attach the steering program to", to_string(options_.local));
}

std::span<const Datagrams> UdpSocket::receive() {
  auto& b = *buffers_;
  // What the kernel wrote over last time: of a quiet socket one message, not sixty-four cold ones.
  for (auto& m : std::span(b.in).first(b.written)) {
    m.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    m.msg_hdr.msg_controllen = kControlBytes;
  }
  const int n = ::recvmmsg(fd(), b.in.data(), static_cast<unsigned>(batch_), MSG_DONTWAIT, nullptr);
  more_ = n == static_cast<int>(batch_);
  b.written = n > 0 ? static_cast<std::size_t>(n) : 0;
  if (n <= 0) return {};
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    auto& message = b.in[i];
    auto& train = b.trains[i];
    train.bytes = {b.bytes[i].get(), message.msg_len};
    train.segment_bytes = message.msg_len;
    train.remote = from_sockaddr(b.in_names[i]);
    train.line = options_.line;
    train.traffic_class = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message.msg_hdr); c != nullptr; c = CMSG_NXTHDR(&message.msg_hdr, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size = 0;
        std::memcpy(&size, CMSG_DATA(c), sizeof size);
        if (size > 0) train.segment_bytes = static_cast<std::size_t>(size);
      } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        train.traffic_class = *CMSG_DATA(c);
      } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        train.traffic_class = *CMSG_DATA(c);
      } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
        std::uint32_t total = 0;
        std::memcpy(&total, CMSG_DATA(c), sizeof total);
        bump(counters_->receive_overflow, total - b.overflow);
        b.overflow = total;
      }
    }
    datagrams += train.count();
    bytes += message.msg_len;
  }
  batch_ = std::clamp(kHotBytes * static_cast<std::size_t>(n) / std::max<std::size_t>(bytes, 1), kLeastBatch,
                      kBatch);
  bump(counters_->received_messages, static_cast<std::uint64_t>(n));
  bump(counters_->received_datagrams, datagrams);
  bump(counters_->received_bytes, bytes);
  return {b.trains.data(), static_cast<std::size_t>(n)};
}

bool UdpSocket::wait_writable() const {
  pollfd p{fd_.get(), POLLOUT, 0};
  return ::poll(&p, 1, 1) > 0;
}

std::size_t UdpSocket::send(std::span<const Datagrams> trains) {
  auto& b = *buffers_;
  std::size_t lost = 0;
  while (!trains.empty()) {
    // 1. Describe up to kBatch trains.
    const std::size_t n = std::min(trains.size(), kBatch);
    for (std::size_t i = 0; i < n; ++i) {
      const Datagrams& train = trains[i];
      msghdr& message = b.out[i].msg_hdr;
      b.out_vectors[i] = {train.bytes.data(), train.bytes.size()};
      message.msg_namelen = to_sockaddr(train.remote, b.out_names[i]);
      b.out_control[i].fill(0);  // stale bytes between messages cost others a wrong gso size
      std::size_t used = 0;
      if (train.remote.address.family == IpFamily::V4)
        add_control(message, used, IPPROTO_IP, IP_TOS, static_cast<int>(train.traffic_class));
      else
        add_control(message, used, IPPROTO_IPV6, IPV6_TCLASS, static_cast<int>(train.traffic_class));
      if (train.bytes.size() > train.segment_bytes)
        add_control(message, used, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(train.segment_bytes));
      message.msg_controllen = used;
    }
    // 2. Without UDP_SEGMENT, trains of several go one by one.
    if (!options_.segment && trains[0].count() > 1) {
      bump(counters_->segment_fallback);
      lost += send_singly(trains[0]);
      trains = trains.subspan(1);
      continue;
    }
    std::size_t batch = n;
    if (!options_.segment)
      batch = static_cast<std::size_t>(std::find_if(trains.begin(),
                                                    trains.begin() + static_cast<std::ptrdiff_t>(n),
                                                    [](const Datagrams& t) { return t.count() > 1; }) -
                                       trains.begin());
    // 3. Send; on an error the first train is the one refused.
    const int sent = ::sendmmsg(fd(), b.out.data(), static_cast<unsigned>(batch), MSG_DONTWAIT);
    if (sent > 0) {
      std::uint64_t datagrams = 0;
      std::uint64_t bytes = 0;
      for (const auto& t : trains.first(static_cast<std::size_t>(sent))) {
        datagrams += t.count();
        bytes += t.bytes.size();
      }
      bump(counters_->sent_messages, static_cast<std::uint64_t>(sent));
      bump(counters_->sent_datagrams, datagrams);
      bump(counters_->sent_bytes, bytes);
      trains = trains.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN && wait_writable()) continue;
    const Datagrams& refused = trains[0];
    if ((error == EIO || error == EINVAL) && refused.count() > 1) {
      bump(counters_->segment_fallback);
      const std::size_t failed = send_singly(refused);
      if (failed == 0) options_.segment = false;  // alone they pass: it is the offload that is broken
      lost += failed;
    } else {
      bump(counters_->send_failed, refused.count());
      lost += refused.count();
    }
    trains = trains.subspan(1);
  }
  return lost;
}

std::size_t UdpSocket::send_singly(const Datagrams& train) {
  sockaddr_storage name{};
  const socklen_t length = to_sockaddr(train.remote, name);
  alignas(cmsghdr) std::array<std::uint8_t, kControlBytes> control{};
  std::size_t lost = 0;
  for (std::size_t at = 0; at < train.bytes.size(); at += train.segment_bytes) {
    const std::size_t size = std::min(train.segment_bytes, train.bytes.size() - at);
    iovec vector{train.bytes.data() + at, size};
    msghdr message{};
    message.msg_name = &name;
    message.msg_namelen = length;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    std::size_t used = 0;
    if (train.remote.address.family == IpFamily::V4)
      add_control(message, used, IPPROTO_IP, IP_TOS, static_cast<int>(train.traffic_class));
    else
      add_control(message, used, IPPROTO_IPV6, IPV6_TCLASS, static_cast<int>(train.traffic_class));
    message.msg_controllen = used;
    ssize_t n = ::sendmsg(fd(), &message, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN && wait_writable()) n = ::sendmsg(fd(), &message, MSG_DONTWAIT);
    if (n < 0) {
      ++lost;
      continue;
    }
    bump(counters_->sent_messages);
    bump(counters_->sent_datagrams);
    bump(counters_->sent_bytes, size);
  }
  bump(counters_->send_failed, lost);
  return lost;
}

std::optional<bool> offloads_work(const packet::IpAddress& address) {
  UdpOptions options;
  options.local = {address, 0};
  options.buffer_bytes = 512 * 1024;
  UdpSocket receiver(options);
  UdpSocket sender(options);
  if (!receiver.gather()) return false;
  // Equal segments, as bulk traffic makes them: the kind that some kernels corrupt.
  constexpr std::size_t kSegment = 1392;
  constexpr std::size_t kCount = 40;
  std::vector<std::uint8_t> pattern(kSegment * kCount);
  for (std::size_t i = 0; i < pattern.size(); ++i)
    pattern[i] = static_cast<std::uint8_t>(i * 131 + i / kSegment);
  Datagrams train;
  train.bytes = pattern;
  train.segment_bytes = kSegment;
  train.remote = receiver.local();
  if (sender.send({&train, 1}) != 0) return sender.segment() ? std::nullopt : std::optional(false);
  if (!sender.segment()) return false;
  std::vector<std::uint8_t> got;
  pollfd p{receiver.fd(), POLLIN, 0};
  while (got.size() < pattern.size() && ::poll(&p, 1, 50) > 0)
    for (const auto& t : receiver.receive()) got.insert(got.end(), t.bytes.begin(), t.bytes.end());
  if (got.empty()) return std::nullopt;
  return got == pattern;
}

}  // namespace qanat::io
