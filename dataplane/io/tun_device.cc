#include "dataplane/io/tun_device.hh"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/service_manager.hh"
#include "dataplane/io/netns.hh"
#include "dataplane/io/tun_steering.hh"

// Linux 6.2; Debian 12's headers are 6.1.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace qanat::io {
namespace {

Fd open_queue(const TunOptions& options) {
  Fd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) throw_errno("open", "/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) throw_errno("create TUN device", options.name);
  const int little_endian = 1;
  if (::ioctl(fd.get(), TUNSETVNETLE, &little_endian) != 0)
    throw_errno("set the virtio header's byte order of", options.name);
  return fd;
}

std::string kept_name(const std::string& device) { return "tun_" + device; }

}  // namespace

TunDevice::TunDevice(TunOptions options) : options_(std::move(options)) {
  if (options_.name.empty() || options_.name.size() >= IFNAMSIZ)
    throw_errno(EINVAL, "create TUN device (a name has 1 to 15 characters)", options_.name);
  const NetnsScope scope(options_.netns);
  // The device of a former process lives on by its first queue, with its addresses, its routes and what waits in it.
  if (options_.kept)
    if (Fd left(base::take_kept_descriptor(kept_name(options_.name))); left)
      queues_.push_back(std::move(left));
  while (queues_.size() < options_.queues) queues_.push_back(open_queue(options_));
  if (options_.kept) base::keep_descriptor(queues_.front().get(), kept_name(options_.name));
  // Newest first: without USO, then without any (then the kernel segments and completes checksums for us).
  if (!set_offloads(options_.tcp_offload, options_.udp_offload) && !set_offloads(options_.tcp_offload, false))
    set_offloads(false, false);
  if (options_.urgent) {
    // Queues that nothing leads to are worse than none: they go again where the kernel refuses.
    for (unsigned i = 0; i < options_.queues; ++i) queues_.push_back(open_queue(options_));
    steered_ = attach_steering(true);
    if (!steered_) queues_.resize(options_.queues);
  }
  if (!steered_ && options_.queues > 1) steered_ = attach_steering(false);
}

void TunDevice::forget() const { base::forget_descriptor(kept_name(options_.name)); }

bool TunDevice::attach_steering(bool urgent) {
  const Fd program = load_bucket_steering(options_.queues, urgent);
  int fd = program.get();
  return program && ::ioctl(queues_.front().get(), TUNSETSTEERINGEBPF, &fd) == 0;
}

bool TunDevice::set_offloads(bool tcp, bool udp) {
  const unsigned flags = (tcp || udp ? TUN_F_CSUM : 0u) | (tcp ? TUN_F_TSO4 | TUN_F_TSO6 : 0u) |
                         (udp ? TUN_F_USO4 | TUN_F_USO6 : 0u);
  for (const Fd& queue : queues_)
    if (::ioctl(queue.get(), TUNSETOFFLOAD, static_cast<unsigned long>(flags)) != 0) return false;
  tcp_offload_ = tcp;
  udp_offload_ = udp;
  return true;
}

// One call a packet: past the library's cancellation points, two locked instructions each.
std::size_t TunDevice::read(unsigned queue, std::span<std::uint8_t> buffer) const {
  for (;;) {
    const long n = ::syscall(SYS_read, queues_[queue].get(), buffer.data(), buffer.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    return 0;  // EAGAIN, or EIO/EBADFD while the device is down: nothing to read now
  }
}

bool TunDevice::write(unsigned queue, std::span<const iovec> parts) const {
  for (;;) {
    const long n = ::syscall(SYS_writev, queues_[queue].get(), parts.data(), parts.size());
    if (n >= 0) return true;
    if (errno != EINTR) return false;
  }
}

}  // namespace qanat::io
