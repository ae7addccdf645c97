#include "tests/support/rogue.hh"

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/list_token.hh"
#include "dataplane/packet/inner_header.hh"

namespace qanat::test {

bool Rogue::connect(std::uint32_t peer, std::uint8_t plane) {
  return shake_hands(peer, [&](const Octets& initiation) { send(peer, initiation, plane); });
}

bool Rogue::connect_through(const packet::RouteHeader& route) {
  const std::uint32_t relay = route.segments[0].node().value;
  return shake_hands(route.list().back().node().value,
                     [&](const Octets& initiation) { send(relay, routed(relay, route, initiation)); });
}

bool Rogue::shake_hands(std::uint32_t peer, const std::function<void(const Octets&)>& send_initiation) {
  const auto& theirs = overlay_.node(peer).keys.public_key;
  std::array<std::uint8_t, 32> random{};
  random[0] = static_cast<std::uint8_t>(++stamp_);
  random[1] = static_cast<std::uint8_t>(self_);
  const auto ephemeral = crypto::KeyPair::from_secret(crypto::SecretKey(random));
  const std::uint32_t index = 0x52000000u + static_cast<std::uint32_t>(stamp_);
  const crypto::HandshakeInitiator initiator(overlay_.node(self_).keys, theirs, ephemeral, {1, stamp_},
                                             crypto::Suite::Aes256Gcm, index);
  Octets init(initiator.datagram().begin(), initiator.datagram().end());
  crypto::MacMaker(theirs).sign(init, wire_.now());
  send_initiation(init);
  for (int i = 0; i < 3; ++i) {
    const auto response = await_response();
    if (response.empty()) return false;
    if (const auto secrets = initiator.on_response(response, overlay_.psk())) {
      keys_[peer] = std::make_unique<crypto::SessionKeys>(*secrets, wire_.now());
      return true;
    }
  }
  return false;
}

// The next handshake response, bare or inside a list that ends here; others' probes pass meanwhile.
Rogue::Octets Rogue::await_response() {
  const base::Time give_up = wire_.now() + std::chrono::milliseconds{500};
  while (wire_.now() < give_up) {
    Octets datagram = wire_.await();
    if (datagram.empty()) return {};
    const auto type = packet::classify(datagram);
    if (!type) continue;
    if (*type == packet::DatagramType::HandshakeResponse) return datagram;
    if (*type != packet::DatagramType::Routed) continue;
    const auto header = *packet::LinkHeader::parse(datagram);
    const auto inner = static_cast<std::ptrdiff_t>(header.inner_offset());
    if (datagram[header.inner_offset()] != static_cast<std::uint8_t>(packet::DatagramType::HandshakeResponse))
      continue;
    for (auto& [relay, keys] : keys_)
      if (keys->local_index() == header.receiver && keys->open_link(header, datagram))
        return {datagram.begin() + inner, datagram.end()};
  }
  return {};
}

Rogue::Octets Rogue::sealed(std::uint32_t endpoint, std::uint32_t vni, const Octets& packet) {
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

Rogue::Octets Rogue::control(std::uint32_t endpoint, packet::InnerKind kind, const Octets& body) {
  packet::InnerHeader inner;
  inner.kind = kind;
  inner.tier = ids::Tier::Critical;
  std::array<std::uint8_t, packet::InnerHeader::kBytes> head{};
  inner.serialize(head);
  const std::array<packet::Bytes, 2> pieces{packet::Bytes(head), packet::Bytes(body)};
  Octets out(packet::kSealedOverheadBytes + body.size());
  auto& keys = this->keys(endpoint);
  keys.seal(packet::kControlBucket, keys.send_space(ids::PathId{1}, 15), pieces, out);
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

Rogue::Octets Rogue::routed(std::uint32_t neighbour, const packet::RouteHeader& route, const Octets& inner,
                            std::uint8_t bucket) {
  Octets out(packet::routed_overhead_bytes(route.count));
  out.insert(out.end(), inner.begin(), inner.end());
  keys(neighbour).seal_link(bucket, route, out);
  return out;
}

void Rogue::send(std::uint32_t to, const Octets& datagram, std::uint8_t plane) {
  send_from(Overlay::line_address(self_, plane), to, datagram, plane);
}

void Rogue::send_from(const packet::UdpAddress& from, std::uint32_t to, const Octets& datagram,
                      std::uint8_t plane) {
  wire_.send(from, Overlay::line_address(to, plane), datagram);
}

}  // namespace qanat::test
