#include "tools/linkem/tun_end.hh"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "tools/linkem/netlink.hh"

// Linux 6.2; Debian 12's headers are 6.1.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace qanat::linkem {
namespace {

// What most packets fit: a read fills this much of a small frame and the rest of a large one.
constexpr std::size_t kSmall = 2048;

Fd open_tun(const LinkEnd& end) {
  const auto fail = [&end](const std::string& attempt) {
    throw std::system_error(errno, std::generic_category(),
                            attempt + " " + end.device + (end.netns.empty() ? "" : " in " + end.netns));
  };
  if (end.device.empty() || end.device.size() >= IFNAMSIZ) {
    errno = ENAMETOOLONG;
    fail("make interface (a name has 1 to 15 characters)");
  }
  Fd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) fail("open /dev/net/tun for");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  std::memcpy(request.ifr_name, end.device.data(), end.device.size());
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) fail("make interface");
  const int little_endian = 1;
  if (ioctl(fd.get(), TUNSETVNETLE, &little_endian) != 0) fail("set the byte order of");
  return fd;
}

const char* ask_offloads(int fd) {
  constexpr unsigned long kTso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (ioctl(fd, TUNSETOFFLOAD, kTso | TUN_F_USO4 | TUN_F_USO6) == 0) return "tso+uso";
  if (ioctl(fd, TUNSETOFFLOAD, kTso) == 0) return "tso";
  ioctl(fd, TUNSETOFFLOAD, 0ul);
  return "none";
}

}  // namespace

TunEnd::TunEnd(const LinkEnd& end, unsigned mtu, bool offload) {
  const NetnsScope scope(end.netns);
  fd_ = open_tun(end);
  if (offload) offloads_ = ask_offloads(fd_.get());
  Netlink netlink;
  netlink.set_mtu(end.device, mtu);
  for (const auto& address : end.addresses) netlink.add_address(end.device, address);
  netlink.set_up(end.device);
  for (const auto& route : end.routes)
    netlink.add_route(route.destination, end.device, route.source, route.table);
}

FrameRef TunEnd::read(FramePool& pool) {
  if (!small_) small_ = pool.take(kSmall);
  if (!large_) large_ = pool.take(FramePool::kLargest);
  std::uint8_t header[packet::VirtioHeader::kBytes];
  const iovec parts[] = {{header, sizeof header},
                         {small_->data(), kSmall},
                         {large_->data() + kSmall, FramePool::kLargest - kSmall}};
  const ssize_t size = readv(fd_.get(), parts, 3);
  // EAGAIN: nothing more; EIO: the device is down.
  if (size <= static_cast<ssize_t>(sizeof header)) return {};
  const std::size_t bytes = static_cast<std::size_t>(size) - sizeof header;
  if (bytes > kSmall) std::memcpy(large_->data(), small_->data(), kSmall);
  FrameRef frame = std::move(bytes > kSmall ? large_ : small_);
  frame->virtio = packet::VirtioHeader::parse(header);
  frame->bytes = static_cast<std::uint32_t>(bytes);
  find_segments(*frame);
  return frame;
}

bool TunEnd::write(const Packet& packet) {
  Rendered image;
  render(packet, image);
  std::uint8_t header[packet::VirtioHeader::kBytes];
  image.virtio.serialize(header);
  const iovec parts[] = {{header, sizeof header},
                         {image.header.data(), image.header_bytes},
                         {const_cast<std::uint8_t*>(image.rest.data()), image.rest.size()}};
  return writev(fd_.get(), parts, 3) >= 0;
}

}  // namespace qanat::linkem
