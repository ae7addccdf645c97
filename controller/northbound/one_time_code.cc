#include "controller/northbound/one_time_code.hh"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "base/http_message.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

}  // namespace

std::string to_base32(std::span<const std::uint8_t> bytes) {
  std::string out;
  std::uint32_t bits = 0, held = 0;
  for (const std::uint8_t byte : bytes) {
    held = held << 8 | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += kBase32[held >> (bits - 5) & 31];
  }
  if (bits > 0) out += kBase32[held << (5 - bits) & 31];
  return out;
}

std::optional<std::string> from_base32(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0, held = 0;
  for (const char c : text) {
    if (c == ' ' || c == '=') continue;
    const auto value = kBase32.find(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    if (value == std::string_view::npos) return std::nullopt;
    held = held << 5 | static_cast<std::uint32_t>(value);
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 255);
  }
  return out;
}

std::string hotp(std::string_view secret, std::uint64_t counter) {
  std::array<unsigned char, 8> message{};
  for (std::size_t i = 0; i < message.size(); ++i)
    message[i] = static_cast<unsigned char>(counter >> (56 - 8 * i));
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  if (HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()), message.data(), message.size(),
           mac.data(), &length) == nullptr)
    return {};
  const std::size_t at = mac[length - 1] & 15u;  // dynamic truncation
  const std::uint32_t number = (mac[at] & 127u) << 24 | mac[at + 1] << 16 | mac[at + 2] << 8 | mac[at + 3];
  return fmt::format("{:06}", number % 1'000'000);
}

std::optional<std::uint64_t> accepted_step(std::string_view secret, std::string_view code,
                                           base::UnixSeconds now, std::uint64_t used) {
  if (code.size() != 6) return std::nullopt;
  const std::uint64_t step = now / kCodeStep_s;
  std::optional<std::uint64_t> found;
  for (std::uint64_t s = step - std::min(step, kCodeDrift); s <= step + kCodeDrift; ++s) {
    const std::string right = hotp(secret, s);
    if (right.size() == code.size() && CRYPTO_memcmp(right.data(), code.data(), code.size()) == 0 &&
        s > used && !found)
      found = s;
  }
  return found;
}

std::string otpauth_uri(std::string_view issuer, std::string_view account, std::string_view secret) {
  const auto bytes = std::span(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size());
  const std::string by = base::percent_encode(issuer);
  return fmt::format("otpauth://totp/{}:{}?secret={}&issuer={}&algorithm=SHA1&digits=6&period={}", by,
                     base::percent_encode(account), to_base32(bytes), by, kCodeStep_s);
}

}  // namespace qanat::northbound
