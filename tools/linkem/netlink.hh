// Netlink: interfaces, addresses and routes of the namespace that the calling thread was in when it was made.
// A thin face of libnl-route with only what links and labs need; every failure names attempt and object.
#pragma once

#include <string>

struct nl_sock;

namespace qanat::linkem {

class Netlink {
 public:
  Netlink();
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  // All throw std::system_error.
  void set_up(const std::string& device);
  void set_mtu(const std::string& device, unsigned mtu);
  // "10.1.0.1/32" or "fd00::1/64"; one that is there already is left alone.
  void add_address(const std::string& device, const std::string& address);
  // destination "10.1.0.2/32", or "default"; source "" leaves the choice to the kernel; table 0 is the main one.
  void add_route(const std::string& destination, const std::string& device, const std::string& source,
                 unsigned table = 0);
  // Packets from the IPv4 address `source` use `table` only: what it has no route to is unreachable for them.
  void confine(const std::string& source, unsigned table);
  bool has_device(const std::string& device);

 private:
  int index_of(const std::string& device);
  nl_sock* socket_;
};

}  // namespace qanat::linkem
