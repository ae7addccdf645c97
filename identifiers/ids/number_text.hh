// Reading and writing the numbers inside identifiers: decimal, no sign, no leading zero, bounded.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qanat::ids {

// 0 … max; nullopt for anything else than its one canonical spelling.
inline std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max) {
  if (text.empty() || text.size() > 10 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

}  // namespace qanat::ids
