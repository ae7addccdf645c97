// Digest: a SHA-256, and its text.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::audit {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
};

Digest sha256(std::string_view bytes);
std::string to_string(const Digest& digest);  // 64 hexadecimal digits, lower case
std::optional<Digest> parse_digest(std::string_view text) noexcept;

}  // namespace qanat::audit
