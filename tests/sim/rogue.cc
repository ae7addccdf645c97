#include "tests/sim/rogue.hh"

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/list_token.hh"
#include "dataplane/packet/inner_header.hh"

namespace qanat::test {

Rogue::Rogue(Network& net, const Overlay& overlay, std::uint32_t self)
    : net_(net), overlay_(overlay), self_(self) {
  // A forwarder that knows nobody keeps the node's lines on the map and says nothing.
  net_.start(self, [self](SnapshotParts& parts) {
    std::erase_if(parts.peers, [self](const fib::Peer& p) { return p.id.value != self; });
    parts.policies.clear();
    parts.tenants.clear();
  });
  net_.tap = [this](Crossing& c) {
    if (seen && !seen(c)) return false;
    for (const auto& line : overlay_.node(self_).lines)
      if (c.to == line.address) {
        if (packet::classify(c.bytes).has_value() && c.bytes[0] == 2) response_ = c.bytes;
        return false;
      }
    return true;
  };
}

bool Rogue::connect(std::uint32_t peer, std::uint8_t plane) {
  const auto& self = overlay_.node(self_).keys;
  const auto& theirs = overlay_.node(peer).keys.public_key;
  std::array<std::uint8_t, 32> random{};
  random[0] = static_cast<std::uint8_t>(++stamp_);
  random[1] = static_cast<std::uint8_t>(self_);
  const auto ephemeral = crypto::KeyPair::from_secret(crypto::SecretKey(random));
  const std::uint32_t index = 0x52000000u + static_cast<std::uint32_t>(stamp_);
  const crypto::HandshakeInitiator initiator(self, theirs, ephemeral, {1, stamp_}, crypto::Suite::Aes256Gcm,
                                             index);
  Octets init(initiator.datagram().begin(), initiator.datagram().end());
  crypto::MacMaker(theirs).sign(init, net_.now());
  response_.clear();
  send(peer, init, plane);
  net_.run_for(std::chrono::milliseconds{50});
  if (response_.empty()) return false;
  const auto secrets = initiator.on_response(response_, overlay_.psk());
  if (!secrets) return false;
  keys_[peer] = std::make_unique<crypto::SessionKeys>(*secrets, net_.now());
  return true;
}

Octets Rogue::sealed(std::uint32_t endpoint, std::uint32_t vni, const Octets& packet) {
  packet::InnerHeader inner;
  inner.vni = ids::Vni{vni};
  std::array<std::uint8_t, packet::InnerHeader::kBytes> head{};
  inner.serialize(head);
  const std::array<packet::Bytes, 2> pieces{packet::Bytes(head), packet::Bytes(packet)};
  Octets out(packet::kSealedOverheadBytes + packet.size());
  auto& keys = this->keys(endpoint);
  keys.seal(0, keys.send_space(ids::PathId{1}), pieces, out);
  return out;
}

packet::RouteHeader Rogue::list(const std::vector<ids::Sid>& segments, std::uint32_t headend) const {
  packet::RouteHeader route;
  route.count = static_cast<std::uint8_t>(segments.size());
  std::copy(segments.begin(), segments.end(), route.segments.begin());
  route.headend = ids::NodeId{headend};
  route.expiry_unix_s = 2'000'000'000;
  route.token_epoch = 1;
  authorise(route);
  return route;
}

void Rogue::authorise(packet::RouteHeader& route) const {
  for (std::size_t i = 0; i + 1 < route.count; ++i)
    route.tokens[i] = crypto::mint_token(overlay_.node(route.segments[i].node().value).relay_key,
                                         crypto::TokenInput::of(route, i));
}

Octets Rogue::routed(std::uint32_t neighbour, const packet::RouteHeader& route, const Octets& inner) {
  Octets out(packet::routed_overhead_bytes(route.count));
  out.insert(out.end(), inner.begin(), inner.end());
  keys(neighbour).seal_link(0, route, out);
  return out;
}

void Rogue::send(std::uint32_t to, const Octets& datagram, std::uint8_t plane) {
  send_from(Overlay::line_address(self_, plane), to, datagram, plane);
}

void Rogue::send_from(const packet::UdpAddress& from, std::uint32_t to, const Octets& datagram,
                      std::uint8_t plane) {
  net_.inject({net_.now(), from, Overlay::line_address(to, plane), datagram});
}

}  // namespace qanat::test
