// Tokenizer "qanat-bytes-1": how pools count tokens of text. Byte-level, no vocabulary, the same on every machine.
// Cut from the left; each token is the longest of
//   (a) an optional single space (0x20), then 1 to 6 ASCII letters or digits;
//   (b) one UTF-8 character outside ASCII, or one stray byte that begins none;
//   (c) any other single byte: punctuation, a space that no word follows, a control character.
// English text comes out at about four bytes a token, Chinese at one character a token, as with real vocabularies.
// A chat prompt costs, beyond its contents, kTokensPerMessage for each message and kTokensPerReply once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qanat::pool {

inline constexpr std::uint32_t kTokensPerMessage = 4;
inline constexpr std::uint32_t kTokensPerReply = 3;

// Bytes of the first token of `text`; 0 only for empty text.
std::size_t token_length(std::string_view text);
std::uint64_t count_tokens(std::string_view text);

// A stream of words that is `tokens` tokens long by construction, each " word" one token (the first without a space).
// The same seed gives the same words on every machine.
class WordStream {
 public:
  explicit WordStream(std::uint64_t seed) : state_(seed) {}
  std::string_view next();  // one token; valid for the life of the program

 private:
  std::uint64_t state_;
  bool first_ = true;
};
std::string words(std::uint64_t seed, std::uint64_t tokens);

// SplitMix64: the seeded draw behind texts and lengths. Advances `state`.
std::uint64_t draw(std::uint64_t& state);

}  // namespace qanat::pool
