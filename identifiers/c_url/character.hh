// Character classes of the grammar (c_url.abnf), as one table: a byte costs a load.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qanat::c_url {

enum CharacterClass : std::uint8_t {
  kPchar = 1,      // stands for itself
  kNameEdge = 2,   // ld: at both ends of a name
  kNameInner = 4,  // ld, '-', '_', '.'
  kLabel = 8,      // ld, '-'
};

struct CharacterTable {
  std::array<std::uint8_t, 256> classes{};
  std::array<char, 256> lower{};
  constexpr CharacterTable() {
    for (int c = 0; c < 256; ++c) {
      const bool upper = c >= 'A' && c <= 'Z';
      const bool ld = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      const auto byte = static_cast<char>(c);
      lower[static_cast<std::size_t>(c)] = upper ? static_cast<char>(c - 'A' + 'a') : byte;
      std::uint8_t& all = classes[static_cast<std::size_t>(c)];
      if (ld) all |= kPchar | kNameEdge | kNameInner | kLabel;
      if (std::string_view("-._~!$'()*+;:").find(byte) != std::string_view::npos) all |= kPchar;
      if (c == '-' || c == '_' || c == '.') all |= kNameInner;
      if (c == '-') all |= kLabel;
    }
  }
};
inline constexpr CharacterTable kCharacters;

constexpr bool is(char c, CharacterClass wanted) {
  return (kCharacters.classes[static_cast<unsigned char>(c)] & wanted) != 0;
}
constexpr char lower(char c) { return kCharacters.lower[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace qanat::c_url
