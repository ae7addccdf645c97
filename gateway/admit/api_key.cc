#include "gateway/admit/api_key.hh"

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "base/hex.hh"
#include "base/http_message.hh"
#include "base/openssl_handle.hh"

namespace qanat::admit {
namespace {

// SHA256() looks for its implementation each time, behind a lock, which takes several times as long as a key's hash.
KeyHash sha256(std::string_view text) {
  thread_local const std::unique_ptr<EVP_MD, base::OpensslDeleter<EVP_MD_free>> algorithm(
      EVP_MD_fetch(nullptr, "SHA256", nullptr));
  thread_local const std::unique_ptr<EVP_MD_CTX, base::OpensslDeleter<EVP_MD_CTX_free>> state(
      EVP_MD_CTX_new());
  KeyHash hash;
  if (EVP_DigestInit_ex(state.get(), algorithm.get(), nullptr) != 1 ||
      EVP_DigestUpdate(state.get(), text.data(), text.size()) != 1 ||
      EVP_DigestFinal_ex(state.get(), hash.data(), nullptr) != 1)
    throw std::runtime_error("hash a key: OpenSSL has no SHA-256");
  return hash;
}

}  // namespace

ApiKey make_api_key(std::span<const std::uint8_t, 32> random) {
  ApiKey key;
  key.text = std::string(ApiKey::kPrefix) + base::to_base64url(random);
  key.hash = sha256(key.text);
  key.id = "key-" + base::to_hex(std::span(key.hash).first(6));
  return key;
}

std::optional<KeyHash> hash_of(std::string_view text) {
  if (text.size() != ApiKey::kLength || !text.starts_with(ApiKey::kPrefix)) return std::nullopt;
  return sha256(text);
}

std::optional<std::string_view> bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() ||
      !base::equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme))
    return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  while (authorization.ends_with(' ')) authorization.remove_suffix(1);
  return authorization;
}

}  // namespace qanat::admit
