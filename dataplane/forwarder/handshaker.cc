#include "dataplane/forwarder/handshaker.hh"

#include <algorithm>
#include <utility>

namespace qanat::forwarder {

using packet::DropReason;

Handshaker::Handshaker(Identity identity, RandomSource random)
    : identity_(std::move(identity)), random_(std::move(random)), checker_(identity_.keys.public_key) {}

crypto::SecretKey Handshaker::random_key() {
  crypto::SecretKey key;
  random_({key.data(), crypto::kKeyBytes});
  return key;
}

std::uint32_t Handshaker::random_u32() {
  std::array<std::uint8_t, 4> bytes{};
  random_(bytes);
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

void Handshaker::keep_cookie_secret(base::Time now) {
  if (checker_.due(now)) checker_.rotate(random_key(), now);
}

bool Handshaker::under_load(base::Time now) {
  if (now - load_window_ >= std::chrono::seconds{1}) {
    load_window_ = now;
    load_count_ = 0;
  }
  if (++load_count_ > kLoadPerSecond) loaded_until_ = now + std::chrono::seconds{1};
  return now < loaded_until_;
}

crypto::InitDatagram Handshaker::start(PeerState& peer, std::uint32_t local_index, base::Time now) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  last_stamp_ = std::max(last_stamp_ + 1, static_cast<std::uint64_t>(us));
  const crypto::HandshakeStamp stamp{identity_.boot, last_stamp_};
  const auto suite = crypto::aes_is_fast() ? crypto::Suite::Aes256Gcm : crypto::Suite::ChaCha20Poly1305;
  peer.initiator.emplace(identity_.keys, peer.public_key, crypto::KeyPair::from_secret(random_key()), stamp,
                         suite, local_index);
  crypto::InitDatagram datagram = peer.initiator->datagram();
  peer.macs.sign(datagram, now);
  const auto jitter = crypto::kHandshakeJitter * (random_u32() & 0xffff) / 0x10000;
  peer.session.on_handshake_sent(now, jitter);
  ++peer.attempt;
  return datagram;
}

Handshaker::Outcome Handshaker::on_initiation(packet::Bytes datagram, const packet::UdpAddress& from,
                                              std::uint32_t local_index, const crypto::SecretKey& psk,
                                              const FindPeer& find, base::Time now) {
  // Cheapest first: a keyed hash, a table, and only then X25519.
  keep_cookie_secret(now);
  const crypto::MacVerdict verdict = checker_.check(datagram, from);
  if (verdict == crypto::MacVerdict::Invalid) return DropReason::HandshakeMac;
  const bool loaded = under_load(now);
  if (loaded && verdict != crypto::MacVerdict::Mac1AndMac2) {
    std::array<std::uint8_t, 24> nonce{};
    random_(nonce);
    return checker_.reply(datagram, from, nonce);
  }
  if (!limiter_.allow(from.address, now)) return DropReason::HandshakeRate;
  auto responder = crypto::HandshakeResponder::on_initiation(identity_.keys, datagram);
  if (!responder) return responder.error();
  PeerState* peer = find(responder->initiator());
  if (peer == nullptr) return DropReason::HandshakeUnknownPeer;
  if (peer->greatest && responder->stamp() <= *peer->greatest) return DropReason::HandshakeReplayed;
  const crypto::Suite suite = responder->proposed() == crypto::Suite::Aes256Gcm && crypto::aes_is_fast()
                                  ? crypto::Suite::Aes256Gcm
                                  : crypto::Suite::ChaCha20Poly1305;
  Answer answer;
  auto secrets = responder->respond(crypto::KeyPair::from_secret(random_key()), psk, suite, local_index,
                                    answer.datagram);
  if (!secrets) return secrets.error();
  peer->greatest = responder->stamp();
  peer->macs.sign(answer.datagram, now);
  answer.peer = peer;
  answer.secrets = *secrets;
  return answer;
}

packet::OrDrop<crypto::SessionSecrets> Handshaker::on_response(PeerState& peer, packet::Bytes datagram,
                                                               const packet::UdpAddress& from,
                                                               const crypto::SecretKey& psk, base::Time now) {
  keep_cookie_secret(now);
  if (checker_.check(datagram, from) == crypto::MacVerdict::Invalid) return DropReason::HandshakeMac;
  if (!peer.initiator) return DropReason::HandshakeUnexpected;
  auto secrets = peer.initiator->on_response(datagram, psk);
  if (secrets) {
    peer.initiator.reset();
    peer.attempt = 0;
  }
  return secrets;
}

}  // namespace qanat::forwarder
