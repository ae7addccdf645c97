// TunEnd: one end of a link: a TUN device in some namespace, that hands over super-packets and takes them back.
// The device lives exactly as long as the object.
#pragma once

#include <string>
#include <vector>

#include "tools/linkem/netns.hh"
#include "tools/linkem/packet.hh"

namespace qanat::linkem {

struct LinkRoute {
  std::string destination;  // "10.1.0.4/32" or "default"
  std::string source;       // "" : the kernel's choice
  unsigned table = 0;       // 0: the main one
};

// netns "" is linkem's own namespace.
struct LinkEnd {
  std::string netns;
  std::string device;                  // at most 15 characters
  std::vector<std::string> addresses;  // with prefix length, on the device
  std::vector<LinkRoute> routes;       // through the device
};

class TunEnd {
 public:
  // Opens the device, sets addresses and routes, brings it up, and asks for as much offload as the kernel has:
  // checksums, TSO for IPv4 and IPv6, and USO (Linux 6.2). Throws std::system_error.
  TunEnd(const LinkEnd& end, unsigned mtu, bool offload);

  int fd() const { return fd_.get(); }
  const char* offloads() const { return offloads_; }  // "tso+uso", "tso" or "none"

  // One packet or super-packet, its segments found; empty when there is none.
  FrameRef read(FramePool& pool);
  // False when the device did not take it.
  bool write(const Packet& packet);

 private:
  Fd fd_;
  const char* offloads_ = "none";
  FrameRef small_, large_;  // what the next read fills
};

}  // namespace qanat::linkem
