#include "dataplane/crypto/noise_ik.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/crypto/blake2s.hh"

namespace qanat::crypto {
namespace {

Bytes bytes_of(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Noise §12.3: 32 zero bits, then the counter, little-endian.
Nonce12 noise_nonce(std::uint64_t n) noexcept {
  Nonce12 nonce{};
  std::memcpy(nonce.data() + 4, &n, 8);
  return nonce;
}

}  // namespace

NoiseSymmetricState::NoiseSymmetricState(std::string_view protocol_name, Bytes prologue) noexcept {
  if (protocol_name.size() <= hash_.size())
    std::copy(protocol_name.begin(), protocol_name.end(), hash_.begin());
  else
    hash_ = blake2s({bytes_of(protocol_name)});
  chaining_key_ = SecretKey(hash_);
  mix_hash(prologue);
}

void NoiseSymmetricState::mix_hash(Bytes data) noexcept { hash_ = blake2s({hash_, data}); }

void NoiseSymmetricState::mix_key(Bytes input) noexcept {
  const auto out = hkdf<2>(chaining_key_.view(), input);
  chaining_key_ = out[0];
  key_ = out[1];
  nonce_ = 0;
}

void NoiseSymmetricState::mix_key_and_hash(Bytes input) noexcept {
  const auto out = hkdf<3>(chaining_key_.view(), input);
  chaining_key_ = out[0];
  mix_hash(out[1].view());
  key_ = out[2];
  nonce_ = 0;
}

void NoiseSymmetricState::encrypt_and_hash(Bytes plain, MutableBytes out) noexcept {
  chacha20_poly1305_seal(key_, noise_nonce(nonce_++), hash_, plain, out);
  mix_hash(out.first(plain.size() + kAeadTagBytes));
}

bool NoiseSymmetricState::decrypt_and_hash(Bytes sealed, MutableBytes out) noexcept {
  if (!chacha20_poly1305_open(key_, noise_nonce(nonce_), hash_, sealed, out)) return false;
  ++nonce_;
  mix_hash(sealed);
  return true;
}

namespace {

NoiseSplit split(const NoiseSymmetricState& state) noexcept {
  const auto out = hkdf<2>(state.chaining_key().view(), {});
  return {out[0], out[1], state.hash()};
}

// Token "e" where a psk is used: the ephemeral goes into the key as well (Noise §9.2).
void mix_ephemeral(NoiseSymmetricState& state, const PublicKey& ephemeral) noexcept {
  state.mix_hash(ephemeral.bytes);
  state.mix_key(ephemeral.bytes);
}

bool mix_dh(NoiseSymmetricState& state, const KeyPair& own, const PublicKey& public_key) noexcept {
  const auto shared = x25519(own, public_key);
  if (!shared) return false;
  state.mix_key(shared->view());
  return true;
}

}  // namespace

NoiseIkInitiator::NoiseIkInitiator(Bytes prologue, const KeyPair& self, const PublicKey& responder) noexcept
    : state_(kNoiseProtocolName, prologue), self_(self), responder_(responder) {
  state_.mix_hash(responder_.bytes);
}

bool NoiseIkInitiator::write_first(const KeyPair& ephemeral, Bytes payload, MutableBytes ephemeral_out,
                                   MutableBytes static_out, MutableBytes payload_out) noexcept {
  ephemeral_ = ephemeral;
  std::copy(ephemeral_.public_key.bytes.begin(), ephemeral_.public_key.bytes.end(), ephemeral_out.begin());
  mix_ephemeral(state_, ephemeral_.public_key);                 // e
  if (!mix_dh(state_, ephemeral_, responder_)) return false;    // es
  state_.encrypt_and_hash(self_.public_key.bytes, static_out);  // s
  if (!mix_dh(state_, self_, responder_)) return false;         // ss
  state_.encrypt_and_hash(payload, payload_out);
  return true;
}

std::optional<NoiseSplit> NoiseIkInitiator::read_second(Bytes ephemeral, Bytes sealed_payload,
                                                        const SecretKey& psk,
                                                        MutableBytes payload_out) const noexcept {
  const auto remote = PublicKey::from_bytes(ephemeral);
  if (!remote) return std::nullopt;
  NoiseSymmetricState state = state_;
  mix_ephemeral(state, *remote);                                 // e
  if (!mix_dh(state, ephemeral_, *remote)) return std::nullopt;  // ee
  if (!mix_dh(state, self_, *remote)) return std::nullopt;       // se
  state.mix_key_and_hash(psk.view());                            // psk
  if (!state.decrypt_and_hash(sealed_payload, payload_out)) return std::nullopt;
  return split(state);
}

NoiseIkResponder::NoiseIkResponder(Bytes prologue, const KeyPair& self) noexcept
    : state_(kNoiseProtocolName, prologue), self_(self) {
  state_.mix_hash(self_.public_key.bytes);
}

std::optional<PublicKey> NoiseIkResponder::read_first(Bytes ephemeral, Bytes sealed_static,
                                                      Bytes sealed_payload,
                                                      MutableBytes payload_out) noexcept {
  const auto remote = PublicKey::from_bytes(ephemeral);
  if (!remote) return std::nullopt;
  remote_ephemeral_ = *remote;
  mix_ephemeral(state_, remote_ephemeral_);                                                // e
  if (!mix_dh(state_, self_, remote_ephemeral_)) return std::nullopt;                      // es
  if (!state_.decrypt_and_hash(sealed_static, remote_static_.bytes)) return std::nullopt;  // s
  if (!mix_dh(state_, self_, remote_static_)) return std::nullopt;                         // ss
  if (!state_.decrypt_and_hash(sealed_payload, payload_out)) return std::nullopt;
  return remote_static_;
}

std::optional<NoiseSplit> NoiseIkResponder::write_second(const KeyPair& ephemeral, const SecretKey& psk,
                                                         Bytes payload, MutableBytes ephemeral_out,
                                                         MutableBytes payload_out) noexcept {
  std::copy(ephemeral.public_key.bytes.begin(), ephemeral.public_key.bytes.end(), ephemeral_out.begin());
  mix_ephemeral(state_, ephemeral.public_key);                             // e
  if (!mix_dh(state_, ephemeral, remote_ephemeral_)) return std::nullopt;  // ee
  if (!mix_dh(state_, ephemeral, remote_static_)) return std::nullopt;     // se
  state_.mix_key_and_hash(psk.view());                                     // psk
  state_.encrypt_and_hash(payload, payload_out);
  return split(state_);
}

}  // namespace qanat::crypto
