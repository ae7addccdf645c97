#include "dataplane/crypto/keys.hh"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include <algorithm>

#include "dataplane/crypto/agreement_memo.hh"
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

namespace {

// Made once a thread: finding the algorithm costs as much as the curve does.
EVP_PKEY_CTX* key_maker() noexcept {
  thread_local const Handle<EVP_PKEY_CTX> maker = [] {
    Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "X25519", nullptr));
    require(context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1, "X25519 context");
    return context;
  }();
  return maker.get();
}

OSSL_PARAM octets(const char* name, const std::uint8_t* data) noexcept {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(data), kKeyBytes);
}

Handle<EVP_PKEY> made(int selection, OSSL_PARAM* params) noexcept {
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_fromdata(key_maker(), &key, selection, params) == 1, "X25519 key");
  return Handle<EVP_PKEY>(key);
}

}  // namespace

KeyPair KeyPair::from_secret(const SecretKey& secret) {
  KeyPair pair{secret, {}};
  OSSL_PARAM params[] = {octets(OSSL_PKEY_PARAM_PRIV_KEY, secret.data()), OSSL_PARAM_construct_end()};
  const auto key = made(EVP_PKEY_KEYPAIR, params);
  std::size_t size = kKeyBytes;
  require(EVP_PKEY_get_raw_public_key(key.get(), pair.public_key.bytes.data(), &size) == 1,
          "X25519 public key");
  return pair;
}

std::optional<SecretKey> x25519(const KeyPair& own, const PublicKey& public_key) noexcept {
  AgreementMemo* const memo = AgreementMemo::in_use();
  if (memo != nullptr)
    if (const SecretKey* known = memo->find(own.public_key, public_key)) return *known;
  // With its public half given, the library need not compute it.
  OSSL_PARAM pair[] = {octets(OSSL_PKEY_PARAM_PRIV_KEY, own.secret.data()),
                       octets(OSSL_PKEY_PARAM_PUB_KEY, own.public_key.bytes.data()),
                       OSSL_PARAM_construct_end()};
  OSSL_PARAM other[] = {octets(OSSL_PKEY_PARAM_PUB_KEY, public_key.bytes.data()), OSSL_PARAM_construct_end()};
  const auto mine = made(EVP_PKEY_KEYPAIR, pair);
  const auto peer = made(EVP_PKEY_PUBLIC_KEY, other);
  const Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_pkey(nullptr, mine.get(), nullptr));
  require(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1, "X25519 context");
  SecretKey shared;
  std::size_t size = kKeyBytes;
  // OpenSSL refuses an all-zero result; so does a peer key that it cannot use at all.
  if (EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0) != 1 ||
      EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size != kKeyBytes)
    return std::nullopt;
  constexpr std::array<std::uint8_t, kKeyBytes> kZero{};
  if (equal_constant_time(shared.view(), kZero)) return std::nullopt;
  if (memo != nullptr) memo->keep(own.public_key, public_key, shared);
  return shared;
}

}  // namespace qanat::crypto
