// Rogue: an enrolled node that does as it pleases. It holds its own true keys and nothing else: it shakes hands like any
// box, then seals whatever it likes. What others then accept from it is what the two authorities are for (DESIGN §3).
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "dataplane/crypto/session_keys.hh"
#include "tests/sim/network.hh"

namespace qanat::test {

class Rogue {
 public:
  // Takes the node's place in `net`: what is sent to its lines comes here. `net.tap` is taken; put a tap of your own into
  // `seen`.
  Rogue(Network& net, const Overlay& overlay, std::uint32_t self);

  // Shakes hands with `peer` over a plane; false when nobody answered.
  bool connect(std::uint32_t peer, std::uint8_t plane = 1);
  crypto::SessionKeys& keys(std::uint32_t peer) { return *keys_.at(peer); }

  // A type 4 datagram for `endpoint` (connected) around a tenant's packet.
  Octets sealed(std::uint32_t endpoint, std::uint32_t vni, const Octets& packet);
  // A list of its own with true tokens (`overlay` knows the relays' keys; the rogue could have been given them).
  packet::RouteHeader list(const std::vector<ids::Sid>& segments, std::uint32_t headend) const;
  // The relays' tokens over `route` as it now stands.
  void authorise(packet::RouteHeader& route) const;
  // A type 5 datagram, link-sealed for `neighbour` (connected).
  Octets routed(std::uint32_t neighbour, const packet::RouteHeader& route, const Octets& inner);

  void send(std::uint32_t to, const Octets& datagram, std::uint8_t plane = 1);
  void send_from(const packet::UdpAddress& from, std::uint32_t to, const Octets& datagram,
                 std::uint8_t plane = 1);

  std::function<bool(Crossing&)> seen;

 private:
  Network& net_;
  const Overlay& overlay_;
  std::uint32_t self_;
  std::uint64_t stamp_ = 0;
  std::map<std::uint32_t, std::unique_ptr<crypto::SessionKeys>> keys_;
  Octets response_;
};

}  // namespace qanat::test
