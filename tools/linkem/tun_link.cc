#include "tools/linkem/tun_link.hh"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "tools/linkem/netlink.hh"

namespace qanat::linkem {
namespace {

constexpr std::size_t kLargestPacket = 65'535;

Fd open_tun(const LinkEnd& end, unsigned mtu) {
  const auto fail = [&end](const std::string& attempt) {
    throw std::system_error(errno, std::generic_category(),
                            attempt + " " + end.device + (end.netns.empty() ? "" : " in " + end.netns));
  };
  const NetnsScope scope(end.netns);
  if (end.device.empty() || end.device.size() >= IFNAMSIZ) {
    errno = ENAMETOOLONG;
    fail("make interface (a name has 1 to 15 characters)");
  }
  Fd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) fail("open /dev/net/tun for");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::memcpy(request.ifr_name, end.device.data(), end.device.size());
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) fail("make interface");
  Netlink netlink;
  netlink.set_mtu(end.device, mtu);
  for (const auto& address : end.addresses) netlink.add_address(end.device, address);
  netlink.set_up(end.device);
  for (const auto& route : end.routes)
    netlink.add_route(route.destination, end.device, route.source, route.table);
  return fd;
}

}  // namespace

TunLink::TunLink(const LinkConfig& config, std::uint64_t seed, base::Time now)
    : config_(config),
      ends_{open_tun(config.a, config.mtu), open_tun(config.b, config.mtu)},
      directions_{Direction(config.up, seed, now), Direction(config.down, ~seed, now)} {}

std::size_t TunLink::read_from(std::size_t end, std::size_t most, base::Time now) {
  std::uint8_t buffer[kLargestPacket];
  std::size_t count = 0;
  for (; count < most; ++count) {
    const ssize_t size = read(ends_[end].get(), buffer, sizeof buffer);
    if (size <= 0) break;  // EAGAIN: nothing more; EIO: the device is down
    directions_[end].push({buffer, buffer + size}, now);
  }
  return count;
}

void TunLink::write_due(base::Time now) {
  for (std::size_t i = 0; i < 2; ++i)
    while (auto packet = directions_[i].pop(now))
      if (write(ends_[1 - i].get(), packet->bytes.data(), packet->bytes.size()) < 0) ++write_errors_;
}

base::Time TunLink::next_timeout() const {
  return std::min(directions_[0].next_timeout(), directions_[1].next_timeout());
}

void TunLink::configure(const Spec& up, const Spec& down, base::Time now) {
  config_.up = up;
  config_.down = down;
  directions_[0].configure(up, now);
  directions_[1].configure(down, now);
}

}  // namespace qanat::linkem
