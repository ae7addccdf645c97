// NoiseIk: the IKpsk2 pattern of the Noise framework (revision 34 §7.5, §9.4), as a pure machine.
// handshake.hh puts it into datagrams; protocol name and prologue are parameters so that published vectors
// run through the same code.
//
//     <- s
//     -> e, es, s, ss        payload 1
//     <- e, ee, se, psk      payload 2
#pragma once

#include <optional>
#include <string_view>

#include "dataplane/crypto/chacha20_poly1305.hh"
#include "dataplane/crypto/keys.hh"

namespace qanat::crypto {

inline constexpr std::string_view kNoiseProtocolName = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

// Noise §5.2: the running transcript hash and chaining key.
class NoiseSymmetricState {
 public:
  NoiseSymmetricState(std::string_view protocol_name, Bytes prologue) noexcept;
  void mix_hash(Bytes data) noexcept;
  void mix_key(Bytes input) noexcept;
  void mix_key_and_hash(Bytes input) noexcept;
  void encrypt_and_hash(Bytes plain, MutableBytes out) noexcept;   // out: plain + 16
  bool decrypt_and_hash(Bytes sealed, MutableBytes out) noexcept;  // out: sealed − 16
  const Digest& hash() const noexcept { return hash_; }
  const SecretKey& chaining_key() const noexcept { return chaining_key_; }

 private:
  SecretKey chaining_key_;
  SecretKey key_;
  std::uint64_t nonce_ = 0;
  Digest hash_{};
};

// What both ends hold in the end (Noise §5.2 Split): the initiator sends with `first`, the responder with
// `second`.
struct NoiseSplit {
  SecretKey first;
  SecretKey second;
  Digest handshake_hash{};
};

class NoiseIkInitiator {
 public:
  NoiseIkInitiator(Bytes prologue, const KeyPair& self, const PublicKey& responder) noexcept;

  // Message 1: `ephemeral_out` 32 bytes, `static_out` 48, `payload_out` payload + 16. False when the
  // responder's key is a low-order point. Call once.
  bool write_first(const KeyPair& ephemeral, Bytes payload, MutableBytes ephemeral_out,
                   MutableBytes static_out, MutableBytes payload_out) noexcept;
  // Message 2. Leaves this object as it was when it does not open, so that a forged response costs nothing.
  std::optional<NoiseSplit> read_second(Bytes ephemeral, Bytes sealed_payload, const SecretKey& psk,
                                        MutableBytes payload_out) const noexcept;

 private:
  NoiseSymmetricState state_;
  KeyPair self_;
  KeyPair ephemeral_;
  PublicKey responder_;
};

class NoiseIkResponder {
 public:
  NoiseIkResponder(Bytes prologue, const KeyPair& self) noexcept;

  // Message 1: the initiator's static key, and its payload in `payload_out`. Call once; nothing when it does
  // not open.
  std::optional<PublicKey> read_first(Bytes ephemeral, Bytes sealed_static, Bytes sealed_payload,
                                      MutableBytes payload_out) noexcept;
  // Message 2: `ephemeral_out` 32 bytes, `payload_out` payload + 16.
  std::optional<NoiseSplit> write_second(const KeyPair& ephemeral, const SecretKey& psk, Bytes payload,
                                         MutableBytes ephemeral_out, MutableBytes payload_out) noexcept;

 private:
  NoiseSymmetricState state_;
  KeyPair self_;
  PublicKey remote_ephemeral_;
  PublicKey remote_static_;
};

}  // namespace qanat::crypto
