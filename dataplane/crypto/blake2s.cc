#include "dataplane/crypto/blake2s.hh"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "dataplane/crypto/openssl.hh"

namespace qanat::crypto {

using openssl::Handle;
using openssl::require;

namespace {

// Fetched once: a fetch by name costs more than the hash. They live as long as the process.
EVP_MD* blake2s_md() noexcept {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
  return md;
}
EVP_MAC* mac_named(const char* name) noexcept { return EVP_MAC_fetch(nullptr, name, nullptr); }

void run_mac(EVP_MAC* mac, const OSSL_PARAM* params, Bytes key, std::initializer_list<Bytes> parts,
             MutableBytes out) noexcept {
  require(mac != nullptr, "fetch of a MAC");
  const Handle<EVP_MAC_CTX> context(EVP_MAC_CTX_new(mac));
  require(context != nullptr && EVP_MAC_init(context.get(), key.data(), key.size(), params) == 1, "MAC init");
  for (const auto part : parts)
    if (!part.empty()) require(EVP_MAC_update(context.get(), part.data(), part.size()) == 1, "MAC update");
  std::size_t size = 0;
  require(EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1 && size == out.size(),
          "MAC final");
}

}  // namespace

Digest blake2s(std::initializer_list<Bytes> parts) noexcept {
  Digest digest;
  const Handle<EVP_MD_CTX> context(EVP_MD_CTX_new());
  require(context != nullptr && EVP_DigestInit_ex2(context.get(), blake2s_md(), nullptr) == 1,
          "BLAKE2s init");
  for (const auto part : parts)
    if (!part.empty())
      require(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1, "BLAKE2s update");
  unsigned size = 0;
  require(EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1 && size == digest.size(),
          "BLAKE2s final");
  return digest;
}

void blake2s_keyed(Bytes key, std::initializer_list<Bytes> parts, MutableBytes out) noexcept {
  static EVP_MAC* const mac = mac_named("BLAKE2SMAC");
  std::size_t size = out.size();
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};
  run_mac(mac, params, key, parts, out);
}

Digest hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts) noexcept {
  static EVP_MAC* const mac = mac_named("HMAC");
  char name[] = "BLAKE2S-256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                               OSSL_PARAM_construct_end()};
  Digest digest;
  run_mac(mac, params, key, parts, digest);
  return digest;
}

template <std::size_t N>
std::array<SecretKey, N> hkdf(Bytes chaining_key, Bytes input) noexcept {
  static_assert(N >= 1 && N <= 3);
  const SecretKey temporary(hmac_blake2s(chaining_key, {input}));
  std::array<SecretKey, N> out;
  Bytes previous;
  for (std::size_t i = 0; i < N; ++i) {
    const std::uint8_t index = static_cast<std::uint8_t>(i + 1);
    out[i] = SecretKey(hmac_blake2s(temporary.view(), {previous, Bytes(&index, 1)}));
    previous = out[i].view();
  }
  return out;
}
template std::array<SecretKey, 1> hkdf<1>(Bytes, Bytes) noexcept;
template std::array<SecretKey, 2> hkdf<2>(Bytes, Bytes) noexcept;
template std::array<SecretKey, 3> hkdf<3>(Bytes, Bytes) noexcept;

}  // namespace qanat::crypto
