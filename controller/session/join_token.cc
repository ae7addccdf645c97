#include "controller/session/join_token.hh"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/hex.hh"

namespace qanat::session {

std::string to_string(const JoinTokenText& token) {
  const std::span secret(reinterpret_cast<const std::uint8_t*>(token.secret.data()), token.secret.size());
  return "q1." + base::to_base64url(secret) + "." + base::to_base64url(token.ca);
}

std::optional<JoinTokenText> parse_join_token(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return std::nullopt;
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  if (!text.starts_with("q1.")) return std::nullopt;
  text.remove_prefix(3);
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto secret = base::from_base64(text.substr(0, dot));
  const auto ca = base::from_base64(text.substr(dot + 1));
  JoinTokenText token;
  if (!secret || !ca || secret->size() < 16 || secret->size() > 64 || ca->size() != token.ca.size())
    return std::nullopt;
  token.secret.assign(secret->begin(), secret->end());
  std::copy(ca->begin(), ca->end(), token.ca.begin());
  return token;
}

std::string hash_of(std::string_view secret) {
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  EVP_Digest(secret.data(), secret.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {digest.begin(), digest.end()};
}

}  // namespace qanat::session
