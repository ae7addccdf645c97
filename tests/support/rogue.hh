// Rogue: an enrolled node that does as it pleases. It holds its own true keys and nothing else: it shakes hands like any
// box, then seals whatever it likes. What others then accept from it is what the two authorities are for (DESIGN §3).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/crypto/session_keys.hh"
#include "dataplane/packet/inner_header.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

// How its datagrams leave and how the others' come back: a simulated network, or sockets.
class RogueWire {
 public:
  virtual ~RogueWire() = default;
  virtual void send(const packet::UdpAddress& from, const packet::UdpAddress& to,
                    const std::vector<std::uint8_t>& datagram) = 0;
  // The next datagram to arrive at the rogue's own lines; empty when none comes for a while.
  virtual std::vector<std::uint8_t> await() = 0;
  virtual base::Time now() = 0;
};

class Rogue {
 public:
  using Octets = std::vector<std::uint8_t>;

  Rogue(RogueWire& wire, const Overlay& overlay, std::uint32_t self)
      : wire_(wire), overlay_(overlay), self_(self) {}

  // Shakes hands with `peer` over a plane; false when nobody answered.
  bool connect(std::uint32_t peer, std::uint8_t plane = 1);
  // The same inside a list that starts at a connected relay; the answer comes back inside the peer's list.
  bool connect_through(const packet::RouteHeader& route);
  crypto::SessionKeys& keys(std::uint32_t peer) { return *keys_.at(peer); }

  // A type 4 datagram for `endpoint` (connected) around a tenant's packet.
  Octets sealed(std::uint32_t endpoint, std::uint32_t vni, const Octets& packet);
  // A type 4 datagram of any other kind, on the control bucket.
  Octets control(std::uint32_t endpoint, packet::InnerKind kind, const Octets& body);
  // A list of its own with true tokens (`overlay` knows the relays' keys; a controller gave them).
  packet::RouteHeader list(const std::vector<ids::Sid>& segments, std::uint32_t headend) const;
  // The relays' tokens over `route` as it now stands.
  void authorise(packet::RouteHeader& route) const;
  // A type 5 datagram, link-sealed for `neighbour` (connected).
  Octets routed(std::uint32_t neighbour, const packet::RouteHeader& route, const Octets& inner,
                std::uint8_t bucket = 0);

  void send(std::uint32_t to, const Octets& datagram, std::uint8_t plane = 1);
  void send_from(const packet::UdpAddress& from, std::uint32_t to, const Octets& datagram,
                 std::uint8_t plane = 1);

 private:
  bool shake_hands(std::uint32_t peer, const std::function<void(const Octets&)>& send_initiation);
  Octets await_response();

  RogueWire& wire_;
  const Overlay& overlay_;
  std::uint32_t self_;
  std::uint64_t stamp_ = 0;
  std::map<std::uint32_t, std::unique_ptr<crypto::SessionKeys>> keys_;
};

}  // namespace qanat::test
