#include "dataplane/crypto/chacha20_poly1305.hh"

#include <algorithm>
#include <cstring>

#include "dataplane/crypto/openssl.hh"

namespace qanat::crypto {

using openssl::Handle;
using openssl::require;

namespace {

// Fetched once: a fetch by name costs more than a short seal. It lives as long as the process.
const EVP_CIPHER* cipher() noexcept {
  static const EVP_CIPHER* const fetched = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return fetched;
}

}  // namespace

void chacha20_poly1305_seal(const SecretKey& key, const Nonce12& nonce, Bytes aad, Bytes plain,
                            MutableBytes out) noexcept {
  const Handle<EVP_CIPHER_CTX> c(EVP_CIPHER_CTX_new());
  int size = 0;
  require(c != nullptr && EVP_EncryptInit_ex2(c.get(), cipher(), key.data(), nonce.data(), nullptr) == 1,
          "ChaCha20-Poly1305 init");
  if (!aad.empty())
    require(EVP_EncryptUpdate(c.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) == 1, "AAD");
  if (!plain.empty())
    require(EVP_EncryptUpdate(c.get(), out.data(), &size, plain.data(), static_cast<int>(plain.size())) == 1,
            "seal");
  std::uint8_t* tag = out.data() + plain.size();
  require(EVP_EncryptFinal_ex(c.get(), tag, &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes, tag) == 1,
          "tag");
}

bool chacha20_poly1305_open(const SecretKey& key, const Nonce12& nonce, Bytes aad, Bytes sealed,
                            MutableBytes out) noexcept {
  if (sealed.size() < kAeadTagBytes) return false;
  const Bytes text = sealed.first(sealed.size() - kAeadTagBytes);
  std::uint8_t tag[kAeadTagBytes];
  std::memcpy(tag, sealed.data() + text.size(), sizeof tag);
  const Handle<EVP_CIPHER_CTX> c(EVP_CIPHER_CTX_new());
  int size = 0;
  require(c != nullptr && EVP_DecryptInit_ex2(c.get(), cipher(), key.data(), nonce.data(), nullptr) == 1,
          "ChaCha20-Poly1305 init");
  if (!aad.empty())
    require(EVP_DecryptUpdate(c.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) == 1, "AAD");
  if (!text.empty())
    require(EVP_DecryptUpdate(c.get(), out.data(), &size, text.data(), static_cast<int>(text.size())) == 1,
            "open");
  require(EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1, "tag");
  std::uint8_t none[kAeadTagBytes];
  if (EVP_DecryptFinal_ex(c.get(), none, &size) == 1) return true;
  wipe(out.data(), text.size());
  return false;
}

SecretKey hchacha20(const SecretKey& key, Bytes nonce16) noexcept {
  // A ChaCha20 block is the permuted state plus the initial state; HChaCha20 is words 0–3 and 12–15 of the permuted
  // state alone, and the initial state of those words is known: the constants, and counter ‖ nonce.
  std::uint8_t block[64] = {};
  const Handle<EVP_CIPHER_CTX> c(EVP_CIPHER_CTX_new());
  int size = 0;
  require(c != nullptr &&
              EVP_EncryptInit_ex(c.get(), EVP_chacha20(), nullptr, key.data(), nonce16.data()) == 1 &&
              EVP_EncryptUpdate(c.get(), block, &size, block, sizeof block) == 1,
          "ChaCha20 block");
  constexpr char kConstants[] = "expand 32-byte k";
  SecretKey subkey;
  const auto subtract = [](const void* from, const void* what, std::uint8_t* out) {
    std::uint32_t a[4];
    std::uint32_t b[4];
    std::memcpy(a, from, 16);
    std::memcpy(b, what, 16);
    for (int i = 0; i < 4; ++i) a[i] -= b[i];
    std::memcpy(out, a, 16);
  };
  subtract(block, kConstants, subkey.data());
  subtract(block + 48, nonce16.data(), subkey.data() + 16);
  wipe(block, sizeof block);
  return subkey;
}

namespace {
Nonce12 short_nonce(const Nonce24& nonce) noexcept {
  Nonce12 n{};
  std::copy(nonce.begin() + 16, nonce.end(), n.begin() + 4);
  return n;
}
}  // namespace

void xchacha20_poly1305_seal(const SecretKey& key, const Nonce24& nonce, Bytes aad, Bytes plain,
                             MutableBytes out) noexcept {
  chacha20_poly1305_seal(hchacha20(key, Bytes(nonce).first(16)), short_nonce(nonce), aad, plain, out);
}

bool xchacha20_poly1305_open(const SecretKey& key, const Nonce24& nonce, Bytes aad, Bytes sealed,
                             MutableBytes out) noexcept {
  return chacha20_poly1305_open(hchacha20(key, Bytes(nonce).first(16)), short_nonce(nonce), aad, sealed, out);
}

}  // namespace qanat::crypto
