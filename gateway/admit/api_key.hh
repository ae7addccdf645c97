// ApiKey: a tenant's secret, "sk-qanat-" and 32 random bytes in base64url.
// Only its SHA-256 is kept: with 256 random bits there is nothing to stretch or to salt.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qanat::admit {

using KeyHash = std::array<std::uint8_t, 32>;

struct ApiKey {
  static constexpr std::string_view kPrefix = "sk-qanat-";
  static constexpr std::size_t kLength = 9 + 43;
  std::string text;  // shown once
  std::string id;    // "key-" and 12 hex digits of the hash: names it in lists and on bills
  KeyHash hash{};
};

ApiKey make_api_key(std::span<const std::uint8_t, 32> random);
// Nothing if the text has not a key's form.
std::optional<KeyHash> hash_of(std::string_view text);
// The key in an "authorization" header: "Bearer …", the scheme in any case.
std::optional<std::string_view> bearer(std::string_view authorization);

}  // namespace qanat::admit
