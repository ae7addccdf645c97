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

// A key's block, wiped.
template <std::size_t N>
struct SecretBlock {
  std::array<std::uint8_t, N> bytes{};
  ~SecretBlock() { wipe(bytes.data(), N); }
};

// The thread's hash state, begun anew each time: a fresh one costs more than a short hash does.
class Hashing {
 public:
  Hashing() noexcept { require(EVP_DigestInit_ex2(context(), blake2s_md(), nullptr) == 1, "BLAKE2s init"); }
  void add(Bytes part) noexcept {
    if (!part.empty()) require(EVP_DigestUpdate(context(), part.data(), part.size()) == 1, "BLAKE2s update");
  }
  Digest finish() noexcept {
    Digest digest;
    unsigned size = 0;
    require(EVP_DigestFinal_ex(context(), digest.data(), &size) == 1 && size == digest.size(),
            "BLAKE2s final");
    return digest;
  }

 private:
  static EVP_MD_CTX* context() noexcept {
    thread_local const Handle<EVP_MD_CTX> state(EVP_MD_CTX_new());
    require(state != nullptr, "BLAKE2s state");
    return state.get();
  }
};

}  // namespace

Digest blake2s(std::initializer_list<Bytes> parts) noexcept {
  Hashing hash;
  for (const auto part : parts) hash.add(part);
  return hash.finish();
}

void blake2s_keyed(Bytes key, std::initializer_list<Bytes> parts, MutableBytes out) noexcept {
  static EVP_MAC* const mac = mac_named("BLAKE2SMAC");
  std::size_t size = out.size();
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};
  run_mac(mac, params, key, parts, out);
}

Digest hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts) noexcept {
  constexpr std::size_t kBlock = 64;
  SecretBlock<kBlock> pad;
  const Digest hashed = key.size() > kBlock ? blake2s({key}) : Digest{};
  if (key.size() > kBlock) key = hashed;
  for (std::size_t i = 0; i < kBlock; ++i) pad.bytes[i] = 0x36 ^ (i < key.size() ? key[i] : 0);
  Hashing inner;
  inner.add(pad.bytes);
  for (const auto part : parts) inner.add(part);
  const Digest message = inner.finish();
  for (auto& byte : pad.bytes) byte ^= 0x36 ^ 0x5c;
  return blake2s({pad.bytes, message});
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
