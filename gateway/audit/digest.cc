#include "gateway/audit/digest.hh"

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "base/openssl_handle.hh"

namespace qanat::audit {

// SHA256() looks for its implementation each time, behind a lock, which takes longer than the hash of a line.
Digest sha256(std::string_view bytes) {
  thread_local const std::unique_ptr<EVP_MD, base::OpensslDeleter<EVP_MD_free>> algorithm(
      EVP_MD_fetch(nullptr, "SHA256", nullptr));
  thread_local const std::unique_ptr<EVP_MD_CTX, base::OpensslDeleter<EVP_MD_CTX_free>> state(
      EVP_MD_CTX_new());
  Digest digest;
  if (EVP_DigestInit_ex(state.get(), algorithm.get(), nullptr) != 1 ||
      EVP_DigestUpdate(state.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(state.get(), digest.bytes.data(), nullptr) != 1)
    throw std::runtime_error("hash an audit leaf: OpenSSL has no SHA-256");
  return digest;
}

std::string to_string(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(64, '0');
  char* at = text.data();
  for (const std::uint8_t byte : digest.bytes) {
    *at++ = kDigits[byte >> 4];
    *at++ = kDigits[byte & 15];
  }
  return text;
}

std::optional<Digest> parse_digest(std::string_view text) noexcept {
  if (text.size() != 64) return std::nullopt;
  const auto value = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  Digest digest;
  for (std::size_t i = 0; i < 32; ++i) {
    const int high = value(text[2 * i]), low = value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return digest;
}

}  // namespace qanat::audit
