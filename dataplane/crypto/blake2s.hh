// BLAKE2s (RFC 7693), its keyed form, HMAC and HKDF over it: every hash that a handshake and a token need.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "dataplane/crypto/keys.hh"

namespace qanat::crypto {

// BLAKE2s-256 over the concatenation of `parts`.
Digest blake2s(std::initializer_list<Bytes> parts) noexcept;
// Keyed BLAKE2s, key 1 … 32 bytes, out 1 … 32 bytes (the output length is part of the hash).
void blake2s_keyed(Bytes key, std::initializer_list<Bytes> parts, MutableBytes out) noexcept;
// HMAC-BLAKE2s (RFC 2104; block 64).
Digest hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts) noexcept;
// Noise's HKDF (Noise §4.3): the first N outputs, N 1 … 3.
template <std::size_t N>
std::array<SecretKey, N> hkdf(Bytes chaining_key, Bytes input) noexcept;

extern template std::array<SecretKey, 1> hkdf<1>(Bytes, Bytes) noexcept;
extern template std::array<SecretKey, 2> hkdf<2>(Bytes, Bytes) noexcept;
extern template std::array<SecretKey, 3> hkdf<3>(Bytes, Bytes) noexcept;

}  // namespace qanat::crypto
