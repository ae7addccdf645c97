#include "gateway/admit/api_key.hh"

#include <openssl/sha.h>

#include "base/hex.hh"
#include "base/http_message.hh"

namespace qanat::admit {
namespace {

KeyHash sha256(std::string_view text) {
  KeyHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
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
