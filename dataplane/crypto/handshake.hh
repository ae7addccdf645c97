// Handshakes between two boxes (wire.md §2): Noise IKpsk2 in WireGuard's datagram layout, with our own
// anti-replay stamp. Pure: bytes, randomness and state in, bytes and keys out. mac1 and mac2 are cookie.hh's.
//
//     HandshakeInit:     type 1 ‖ suite ‖ 0×2 ‖ sender index 4 ‖ ephemeral 32 ‖ static 32+16 ‖ payload 12+16
//     ‖ mac1 16 ‖ mac2 16 HandshakeResponse: type 2 ‖ suite ‖ 0×2 ‖ sender index 4 ‖ receiver index 4 ‖
//     ephemeral 32 ‖ empty 0+16 ‖ mac1 16 ‖ mac2 16
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "dataplane/crypto/keys.hh"
#include "dataplane/crypto/noise_ik.hh"
#include "dataplane/crypto/packet_cipher.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::crypto {

using InitDatagram = std::array<std::uint8_t, packet::kHandshakeInitBytes>;
using ResponseDatagram = std::array<std::uint8_t, packet::kHandshakeResponseBytes>;

// Anti-replay without a wall clock: starts of this box, persisted, then microseconds since this start,
// strictly increasing. A responder accepts only what is greater than all it has seen from that static key.
struct HandshakeStamp {
  std::uint32_t boot = 0;
  std::uint64_t counter = 0;
  constexpr auto operator<=>(const HandshakeStamp&) const noexcept = default;
};

// What a finished handshake yields at one end. Local names what we receive with, remote what the peer does.
struct SessionSecrets {
  Suite suite = Suite::Aes256Gcm;
  bool initiator = false;
  std::uint32_t local_index = 0;
  std::uint32_t remote_index = 0;
  SecretKey e2e_send;
  SecretKey e2e_receive;
  SecretKey link_send;
  SecretKey link_receive;
};
// wire.md §2: HKDF(T, label ‖ suite byte). T1 is the initiator's sending side.
SessionSecrets derive_session(const NoiseSplit& split, Suite suite, bool initiator, std::uint32_t local_index,
                              std::uint32_t remote_index) noexcept;

class HandshakeInitiator {
 public:
  // `ephemeral` comes from 32 fresh random bytes; `local_index` is not in use here.
  HandshakeInitiator(const KeyPair& self, const PublicKey& responder, const KeyPair& ephemeral,
                     const HandshakeStamp& stamp, Suite proposed, std::uint32_t local_index) noexcept;

  // The initiation, macs zero. Resend by making a new initiator, never by repeating these bytes.
  const InitDatagram& datagram() const noexcept { return datagram_; }
  std::uint32_t local_index() const noexcept { return local_index_; }
  const PublicKey& responder() const noexcept { return responder_; }

  // HandshakeMalformed, HandshakeUnexpected (another index), HandshakeDecrypt: the initiator stays usable, a
  // true response may still come.
  packet::OrDrop<SessionSecrets> on_response(Bytes datagram, const SecretKey& psk) const noexcept;

 private:
  NoiseIkInitiator noise_;
  PublicKey responder_;
  InitDatagram datagram_{};
  std::uint32_t local_index_;
};

// An initiation that opened: who it is from, and what is needed to answer.
class HandshakeResponder {
 public:
  // HandshakeMalformed, HandshakeDecrypt. The caller then looks the key up (HandshakeUnknownPeer) and
  // compares the stamp (HandshakeReplayed) before it answers.
  static packet::OrDrop<HandshakeResponder> on_initiation(const KeyPair& self, Bytes datagram) noexcept;

  const PublicKey& initiator() const noexcept { return initiator_; }
  const HandshakeStamp& stamp() const noexcept { return stamp_; }
  std::uint32_t remote_index() const noexcept { return remote_index_; }
  Suite proposed() const noexcept { return proposed_; }

  // Writes the response (macs zero) and returns the keys. HandshakeDecrypt: the initiator's points are
  // degenerate.
  packet::OrDrop<SessionSecrets> respond(const KeyPair& ephemeral, const SecretKey& psk, Suite suite,
                                         std::uint32_t local_index, ResponseDatagram& out) noexcept;

 private:
  explicit HandshakeResponder(NoiseIkResponder noise) noexcept : noise_(std::move(noise)) {}
  NoiseIkResponder noise_;
  PublicKey initiator_;
  HandshakeStamp stamp_;
  std::uint32_t remote_index_ = 0;
  Suite proposed_ = Suite::Aes256Gcm;
};

// Indices of a handshake datagram that classify() passed.
std::uint32_t sender_index(Bytes init_or_response) noexcept;
std::uint32_t receiver_index(Bytes response_or_cookie) noexcept;

}  // namespace qanat::crypto
