// Neighbour: the other end of a session with a forwarder under test, made by hand, so that it can send what a forwarder
// never would: it holds real keys, and writes any route header it likes.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/crypto/session_keys.hh"
#include "dataplane/forwarder/forwarder.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

using Octets = std::vector<std::uint8_t>;

class Neighbour {
 public:
  // Acts as `self` on its first line towards the forwarder of node `other`.
  Neighbour(const Overlay& overlay, std::uint32_t self, std::uint32_t other)
      : overlay_(overlay), self_(self), other_(other), from(overlay.node(self).lines.front().address) {}

  // Gives one datagram to the forwarder, as if from this neighbour; returns what it put out.
  std::vector<Octets> give(forwarder::Forwarder& f, Octets bytes, base::Time now) const {
    return give(f, bytes, from, now);
  }
  static std::vector<Octets> give(forwarder::Forwarder& f, Octets bytes, const packet::UdpAddress& from,
                                  base::Time now) {
    // The forwarder's output may point into what it was given: keep the last few.
    static std::deque<Octets> kept;
    if (kept.size() == 16) kept.pop_front();
    kept.push_back(std::move(bytes));
    forwarder::Datagrams train;
    train.bytes = kept.back();
    train.segment_bytes = kept.back().size();
    train.remote = from;
    f.on_datagrams({&train, 1}, now);
    std::vector<Octets> out;
    for (const auto& t : f.transmit())
      for (std::size_t at = 0; at < t.bytes.size(); at += t.segment_bytes) {
        const auto d = t.bytes.subspan(at, std::min(t.segment_bytes, t.bytes.size() - at));
        out.emplace_back(d.begin(), d.end());
      }
    f.transmitted();
    return out;
  }

  // A handshake, and a keepalive so that both ends use the keys.
  bool meet(forwarder::Forwarder& f, base::Time now, std::uint64_t stamp = 1) {
    const crypto::PublicKey& theirs = overlay_.node(other_).keys.public_key;
    std::array<std::uint8_t, 32> seed{};
    seed[0] = static_cast<std::uint8_t>(self_);
    seed[1] = static_cast<std::uint8_t>(stamp);
    const crypto::HandshakeInitiator initiator(overlay_.node(self_).keys, theirs,
                                               crypto::KeyPair::from_secret(crypto::SecretKey(seed)),
                                               {1, stamp}, crypto::Suite::Aes256Gcm, 0x7700 + self_);
    auto datagram = initiator.datagram();
    crypto::MacMaker(theirs).sign(datagram, now);
    for (const Octets& answer : give(f, {datagram.begin(), datagram.end()}, now)) {
      if (answer.empty() || answer[0] != 2) continue;
      const auto secrets = initiator.on_response(answer, overlay_.psk());
      if (!secrets) return false;
      keys = std::make_unique<crypto::SessionKeys>(*secrets, now);
      packet::InnerHeader inner;
      inner.kind = packet::InnerKind::Keepalive;
      give(f, sealed(inner, {}), now);
      return true;
    }
    return false;
  }

  // A type 4 datagram to the forwarder itself.
  Octets sealed(const packet::InnerHeader& inner, packet::Bytes body, std::uint8_t bucket = 3) {
    std::array<std::uint8_t, packet::InnerHeader::kBytes> head{};
    inner.serialize(head);
    const std::array<packet::Bytes, 2> pieces{packet::Bytes{head}, body};
    Octets out(packet::kMinSealedBytes + body.size());
    keys->seal(bucket, keys->send_space(ids::PathId{1}), pieces, out);
    return out;
  }

  // A type 5 datagram around `inner`.
  Octets routed(const packet::RouteHeader& route, const Octets& inner, std::uint8_t bucket = 3) {
    Octets out(packet::routed_overhead_bytes(route.count));
    out.insert(out.end(), inner.begin(), inner.end());
    keys->seal_link(bucket, route, out);
    return out;
  }

 private:
  const Overlay& overlay_;
  std::uint32_t self_;
  std::uint32_t other_;

 public:
  packet::UdpAddress from;
  std::unique_ptr<crypto::SessionKeys> keys;
};

}  // namespace qanat::test
