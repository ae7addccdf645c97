// Netlink: brings a device up and makes its addresses and routes what the configuration says, over libnl-route.
// Reconciling rather than adding: it compares with what the kernel has, so a restarted daemon converges.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::io {

// What one device should look like. Prefixes are "100.96.1.1/32" or "fd71::1:1/128".
struct DeviceState {
  unsigned mtu = 1340;
  unsigned queue_length = 4000;   // packets; what is dropped inside the kernel we never see
  unsigned gso_max_segments = 0;  // 0: the kernel's own limit
  std::vector<std::string> addresses;
  std::vector<std::string> routes;  // through this device
};

// Who takes a packet off our hands on the wire.
struct NextHop {
  int device = 0;                              // interface index
  std::array<std::uint8_t, 6> link_address{};  // Ethernet
};

// One netlink socket, which stays in the namespace it was opened in. Control thread only; blocks for a round trip.
// Errors are std::system_error naming the attempt and the object.
class Netlink {
 public:
  explicit Netlink(std::string_view netns = {});
  ~Netlink();
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;

  // Up, with exactly these addresses (IPv6 link-local ones are left alone) and exactly these of our routes.
  // Returns one line for each thing that the kernel refused (an IPv6 address where IPv6 is off, say); the rest is done.
  std::vector<std::string> reconcile(std::string_view device, const DeviceState& wanted);

  // The MTU of the device that a packet to `address` would leave by; 0 if there is no route.
  unsigned route_mtu(std::string_view address) const;

  // Where a packet to `address` goes next, as far as the kernel knows now; nothing: no route, or it has not met that
  // neighbour lately.
  std::optional<NextHop> next_hop(std::string_view address) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::io
