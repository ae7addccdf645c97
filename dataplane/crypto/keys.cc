#include "dataplane/crypto/keys.hh"

#include <openssl/crypto.h>

#include <algorithm>

#include "dataplane/crypto/openssl.hh"

namespace qanat::crypto {

using openssl::Handle;
using openssl::require;

bool equal_constant_time(Bytes a, Bytes b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe(void* data, std::size_t size) noexcept { OPENSSL_cleanse(data, size); }

std::optional<PublicKey> PublicKey::from_bytes(Bytes bytes) noexcept {
  if (bytes.size() != kKeyBytes) return std::nullopt;
  PublicKey key;
  std::copy(bytes.begin(), bytes.end(), key.bytes.begin());
  return key;
}

std::string to_string(const PublicKey& key) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const auto b : key.bytes) {
    text += kHex[b >> 4];
    text += kHex[b & 15];
  }
  return text;
}

std::optional<SecretKey> SecretKey::from_bytes(Bytes bytes) noexcept {
  if (bytes.size() != kKeyBytes) return std::nullopt;
  SecretKey key;
  std::copy(bytes.begin(), bytes.end(), key.bytes_.begin());
  return key;
}

KeyPair KeyPair::from_secret(const SecretKey& secret) {
  KeyPair pair{secret, {}};
  const Handle<EVP_PKEY> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), kKeyBytes));
  require(key != nullptr, "X25519 private key");
  std::size_t size = kKeyBytes;
  require(EVP_PKEY_get_raw_public_key(key.get(), pair.public_key.bytes.data(), &size) == 1,
          "X25519 public key");
  return pair;
}

std::optional<SecretKey> x25519(const SecretKey& secret, const PublicKey& public_key) noexcept {
  const Handle<EVP_PKEY> own(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), kKeyBytes));
  const Handle<EVP_PKEY> peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, public_key.bytes.data(), kKeyBytes));
  require(own != nullptr && peer != nullptr, "X25519 keys");
  const Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(own.get(), nullptr));
  require(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1, "X25519 context");
  SecretKey shared;
  std::size_t size = kKeyBytes;
  // OpenSSL refuses an all-zero result; so does a peer key that it cannot use at all.
  if (EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size != kKeyBytes)
    return std::nullopt;
  constexpr std::array<std::uint8_t, kKeyBytes> kZero{};
  if (equal_constant_time(shared.view(), kZero)) return std::nullopt;
  return shared;
}

}  // namespace qanat::crypto
