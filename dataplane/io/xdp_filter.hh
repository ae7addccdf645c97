// The XDP program of a line: relayed datagrams go to an AF_XDP socket (xdp_socket.hh), everything else to the kernel.
// Written instruction by instruction, so that no compiler for BPF is needed where Qanat is built.
#pragma once

#include <cstddef>
#include <string>

#include "dataplane/io/fd.hh"
#include "dataplane/packet/ip_address.hh"

namespace qanat::io {

// Longer frames (what GRO put together, jumbos) don't fit an AF_XDP socket's buffer and go to the kernel.
inline constexpr std::size_t kXdpFrameBytes = 3'500;

// Attached while it lives. Taken: Ethernet, IPv4 without options or IPv6 without extension headers, unfragmented UDP to
// `local`, datagrams of type 5 with a flow's bucket, not `critical`'s (control and `critical` have queues of their own).
class XdpFilter {
 public:
  // In the driver where it can, else in the kernel's generic path. Throws std::system_error naming the attempt and device.
  XdpFilter(const std::string& device, unsigned index, const packet::UdpAddress& local);

  bool native() const { return native_; }
  // From now on the queue's datagrams go to `socket`.
  void serve(unsigned queue, int socket);
  // Runs the program, in the kernel, on frames made up here: whether it takes what it should and nothing else.
  bool works() const;

 private:
  std::string device_;
  packet::UdpAddress local_;
  Fd sockets_;  // the map: receive queue → socket
  Fd program_;
  Fd link_;
  bool native_ = false;
};

}  // namespace qanat::io
