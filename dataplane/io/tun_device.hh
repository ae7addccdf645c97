// TunDevice: a tenant's network device. The kernel hands us super-packets of up to 64 KiB with a virtio header that
// says how to cut them, and takes such super-packets back, so one system call moves some forty packets.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/fd.hh"

namespace qanat::io {

// The 10-byte legacy header in front of every packet, little-endian by TUNSETVNETLE.
inline constexpr std::size_t kVnetHeaderBytes = 10;
// The largest super-packet with its header.
inline constexpr std::size_t kTunReadBytes = 65535 + kVnetHeaderBytes;
// What a device may be called at most: IFNAMSIZ − 1.
inline constexpr std::size_t kMaxDeviceName = 15;

struct TunOptions {
  std::string name;         // "qt100"; must fit IFNAMSIZ
  std::string netns;        // as NetnsScope takes it
  unsigned queues = 1;      // one per worker (IFF_MULTI_QUEUE)
  bool tcp_offload = true;  // TUN_F_TSO4/6: super-packets of TCP
  bool udp_offload = true;  // TUN_F_USO4/6 (Linux 6.2): super-packets of UDP
  bool kept = false;        // by the service manager, for the next process
  bool urgent = true;  // `critical` gets a second queue per worker, where the kernel takes steering programs
};

// One queue is read and written by one thread; different queues by different threads. All calls are non-blocking.
class TunDevice {
 public:
  // Creates the device (down, without addresses), or takes over the one that the service manager kept for us, and probes
  // its offloads. Throws std::system_error.
  explicit TunDevice(TunOptions options);
  // The device shall go with its last descriptor: the service manager need not keep it for the next process.
  void forget() const;

  const std::string& name() const { return options_.name; }
  const std::string& netns() const { return options_.netns; }
  unsigned queues() const { return options_.queues; }
  int fd(unsigned queue) const { return queues_[queue].get(); }
  // Whether `critical` waits in queues of its own: urgent(q) is the one beside q. Read like any other; never needed to write.
  bool has_urgent() const { return queues_.size() > options_.queues; }
  unsigned urgent(unsigned queue) const { return options_.queues + queue; }

  // Reads one super-packet with its virtio header into `buffer` (kTunReadBytes at least). Returns the bytes read with
  // the header, 0 when there is nothing to read now.
  std::size_t read(unsigned queue, std::span<std::uint8_t> buffer) const;
  // Writes one super-packet; parts[0] is its virtio header. False when the kernel would not take it: errno says why
  // (EAGAIN, ENOBUFS: busy; EINVAL: it did not like the header), and the packet is lost.
  bool write(unsigned queue, std::span<const iovec> parts) const;

  // Whether a flow's packets come up at queue `bucket mod queues`. False where the kernel takes no steering program: its
  // own choice follows the flow's last written queue, and the rest is handed over between workers.
  bool steered() const { return steered_; }

  // What the kernel agreed to, and a run-time switch; false when the kernel refused.
  bool tcp_offload() const { return tcp_offload_; }
  bool udp_offload() const { return udp_offload_; }
  bool set_offloads(bool tcp, bool udp);

 private:
  bool attach_steering(bool urgent);

  TunOptions options_;
  std::vector<Fd> queues_;  // one a worker, then the urgent ones
  bool tcp_offload_ = false;
  bool udp_offload_ = false;
  bool steered_ = false;
};

}  // namespace qanat::io
