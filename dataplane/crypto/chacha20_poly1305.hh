// ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), one message at a time:
// for handshakes and cookies. Packets go through PacketCipher.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/crypto/keys.hh"

namespace qanat::crypto {

inline constexpr std::size_t kAeadTagBytes = 16;
using Nonce12 = std::array<std::uint8_t, 12>;
using Nonce24 = std::array<std::uint8_t, 24>;

// `out` holds plain.size() + 16 bytes, or sealed.size() − 16. False from open: not authentic (`out` is
// wiped).
void chacha20_poly1305_seal(const SecretKey& key, const Nonce12& nonce, Bytes aad, Bytes plain,
                            MutableBytes out) noexcept;
bool chacha20_poly1305_open(const SecretKey& key, const Nonce12& nonce, Bytes aad, Bytes sealed,
                            MutableBytes out) noexcept;

void xchacha20_poly1305_seal(const SecretKey& key, const Nonce24& nonce, Bytes aad, Bytes plain,
                             MutableBytes out) noexcept;
bool xchacha20_poly1305_open(const SecretKey& key, const Nonce24& nonce, Bytes aad, Bytes sealed,
                             MutableBytes out) noexcept;
// The subkey of XChaCha20.
SecretKey hchacha20(const SecretKey& key, Bytes nonce16) noexcept;

}  // namespace qanat::crypto
