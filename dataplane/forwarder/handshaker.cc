#include "dataplane/forwarder/handshaker.hh"

#include <algorithm>
#include <cstring>
#include <utility>

namespace qanat::forwarder {

using packet::DropReason;

Handshaker::Handshaker(Identity identity, RandomSource random)
    : identity_(std::move(identity)),
      random_(std::move(random)),
      current_(std::make_unique<Mine>(identity_.keys)) {}

void Handshaker::rotate(const crypto::KeyPair& next) {
  if (next.public_key == identity_.keys.public_key) return;
  previous_ = std::move(current_);
  identity_.keys = next;
  current_ = std::make_unique<Mine>(next);
}

crypto::Suite Handshaker::preferred() const {
  if (identity_.suite) return *identity_.suite;
  return crypto::aes_is_fast() ? crypto::Suite::Aes256Gcm : crypto::Suite::ChaCha20Poly1305;
}

Handshaker::Mine* Handshaker::addressed(packet::Bytes datagram, const packet::UdpAddress& from,
                                        crypto::MacVerdict& verdict, base::Time now) {
  for (Mine* mine : {current_.get(), previous_.get()}) {
    if (mine == nullptr) continue;
    if (mine->checker.due(now)) mine->checker.rotate(random_key(), now);
    verdict = mine->checker.check(datagram, from);
    if (verdict != crypto::MacVerdict::Invalid) return mine;
  }
  return nullptr;
}

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
  // A peer that has not heard of our new key yet answers to the old one.
  const bool old = previous_ != nullptr && peer.attempt % 2 == 1;
  peer.initiator.emplace(old ? previous_->keys : identity_.keys, peer.public_key,
                         crypto::KeyPair::from_secret(random_key()), stamp, preferred(), local_index);
  crypto::InitDatagram datagram = peer.initiator->datagram();
  peer.macs.sign(datagram, now);
  const auto jitter = crypto::kHandshakeJitter * (random_u32() & 0xffff) / 0x10000;
  peer.session.on_handshake_sent(now, jitter);
  ++peer.attempt;
  return datagram;
}

std::array<std::uint8_t, 24> Handshaker::next_nonce() {
  if (nonces_ == 0) random_({nonce_.data(), 16});
  auto out = nonce_;
  ++nonces_;
  std::memcpy(out.data() + 16, &nonces_, sizeof nonces_);
  return out;
}

bool Handshaker::cookie_due(const InitiationSource& from, base::Time now) {
  if (from.known || !drained_ || now - *drained_ < kBehind) return true;
  next_cookie_ = std::max(next_cookie_, now - kBehind);
  if (next_cookie_ >= now) return false;
  next_cookie_ += base::Duration{std::chrono::seconds{1}} / kStrangerCookies;
  return true;
}

bool Handshaker::affordable(const InitiationSource& from, base::Time now) {
  if (!limiter_.allow(from.address.address, now)) return false;
  if (from.relayed || from.known) return true;
  if (now - unknown_window_ >= std::chrono::seconds{1}) {
    unknown_window_ = now;
    unknown_count_ = 0;
  }
  return ++unknown_count_ <= kUnknownPerSecond;
}

Handshaker::Outcome Handshaker::on_initiation(packet::Bytes datagram, const InitiationSource& from,
                                              const AllocateIndex& allocate, const crypto::SecretKey& psk,
                                              const FindPeer& find, base::Time now) {
  // Cheapest first: what asks for a cookie that is not due, a keyed hash, a table, and only then X25519.
  const bool asks = !crypto::shows_cookie(datagram);
  if (asks && !from.relayed && now < loaded_until_ && !cookie_due(from, now))
    return DropReason::HandshakeRate;
  crypto::MacVerdict verdict{};
  const Mine* mine = addressed(datagram, from.address, verdict, now);
  if (mine == nullptr) return DropReason::HandshakeMac;
  const bool loaded = !from.relayed && under_load(now);
  if (loaded && verdict != crypto::MacVerdict::Mac1AndMac2) {
    if (!asks && !cookie_due(from, now)) return DropReason::HandshakeRate;
    return mine->checker.reply(datagram, from.address, next_nonce());
  }
  if (!affordable(from, now)) return DropReason::HandshakeRate;
  auto responder = crypto::HandshakeResponder::on_initiation(mine->keys, datagram);
  if (!responder) return responder.error();
  PeerState* peer = find(responder->initiator());
  if (peer == nullptr) return DropReason::HandshakeUnknownPeer;
  if (peer->greatest && responder->stamp() <= *peer->greatest) return DropReason::HandshakeReplayed;
  // AES only where both do it fast.
  const crypto::Suite suite =
      responder->proposed() == crypto::Suite::Aes256Gcm ? preferred() : crypto::Suite::ChaCha20Poly1305;
  const std::uint32_t local_index = allocate();
  if (local_index == 0) return DropReason::HandshakeRate;
  Answer answer;
  answer.local_index = local_index;
  auto secrets = responder->respond(crypto::KeyPair::from_secret(random_key()), psk, suite, local_index,
                                    answer.datagram);
  if (!secrets) {
    answer.refused = secrets.error();
    return answer;
  }
  peer->greatest = responder->stamp();
  peer->macs.sign(answer.datagram, now);
  answer.peer = peer;
  answer.secrets = *secrets;
  return answer;
}

packet::OrDrop<crypto::SessionSecrets> Handshaker::on_response(PeerState& peer, packet::Bytes datagram,
                                                               const packet::UdpAddress& from,
                                                               std::span<const crypto::SecretKey> psks,
                                                               base::Time now) {
  crypto::MacVerdict verdict{};
  if (addressed(datagram, from, verdict, now) == nullptr) return DropReason::HandshakeMac;
  if (!peer.initiator) return DropReason::HandshakeUnexpected;
  packet::OrDrop<crypto::SessionSecrets> secrets = DropReason::HandshakeDecrypt;
  for (const crypto::SecretKey& psk : psks) {
    secrets = peer.initiator->on_response(datagram, psk);
    if (secrets || secrets.error() != DropReason::HandshakeDecrypt) break;
  }
  if (secrets) {
    peer.initiator.reset();
    peer.attempt = 0;
  }
  return secrets;
}

packet::OrDrop<bool> Handshaker::on_cookie(PeerState& peer, packet::Bytes datagram, base::Time now) {
  if (const auto kept = peer.macs.on_cookie(datagram, now); !kept) return kept.error();
  if (now - peer.cookie_answered < std::chrono::seconds{1}) return false;
  peer.cookie_answered = now;
  if (peer.attempt != 0) --peer.attempt;  // a cookie is good for the address that it was asked from
  peer.session.retry_now();
  return true;
}

}  // namespace qanat::forwarder
