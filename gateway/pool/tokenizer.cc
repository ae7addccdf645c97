#include "gateway/pool/tokenizer.hh"

#include <array>

namespace qanat::pool {
namespace {

constexpr std::size_t kWordBytes = 6;

bool is_word_byte(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Length of the UTF-8 character that `text` begins with; 1 for a byte that begins none.
std::size_t character_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead >= 0xf0 && lead < 0xf8 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
  if (lead >= 0xf8 || length > text.size()) return 1;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 1;
  return length;
}

// Each entry is one token: a space and at most six letters. Words of water, stone and weather.
constexpr std::array<std::string_view, 128> kWords{
    " water", " stone",  " well",   " shaft",  " tunnel", " deep",   " far",    " cool",   " carry", " under",
    " the",   " ground", " and",    " a",      " of",     " to",     " in",     " from",   " with",  " at",
    " is",    " it",     " flows",  " slow",   " quick",  " bright", " dark",   " clay",   " sand",  " silt",
    " rock",  " hill",   " slope",  " valley", " plain",  " field",  " garden", " house",  " gate",  " tap",
    " open",  " close",  " turn",   " path",   " line",   " branch", " spring", " source", " mouth", " river",
    " rain",  " snow",   " cloud",  " wind",   " sun",    " moon",   " star",   " night",  " day",   " dawn",
    " dusk",  " winter", " summer", " year",   " hour",   " old",    " new",    " long",   " short", " high",
    " low",   " wide",   " narrow", " clear",  " still",  " loud",   " soft",   " hard",   " dry",   " wet",
    " cold",  " warm",   " dig",    " build",  " keep",   " mend",   " share",  " give",   " take",  " bring",
    " send",  " call",   " name",   " count",  " weigh",  " level",  " grade",  " fall",   " rise",  " drop",
    " fill",  " drain",  " lift",   " pull",   " push",   " hold",   " wait",   " people", " town",  " farm",
    " tree",  " fig",    " date",   " grain",  " bread",  " salt",   " iron",   " rope",   " lamp",  " oil",
    " hand",  " foot",   " eye",    " ear",    " voice",  " song",   " word",   " map"};

}  // namespace

std::size_t token_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first >= 0x80) return character_length(text);
  const std::size_t start = first == ' ' ? 1 : 0;
  std::size_t end = start;
  while (end < text.size() && end - start < kWordBytes && is_word_byte(static_cast<unsigned char>(text[end])))
    ++end;
  return end > start ? end : 1;
}

std::uint64_t count_tokens(std::string_view text) {
  std::uint64_t count = 0;
  while (!text.empty()) {
    text.remove_prefix(token_length(text));
    ++count;
  }
  return count;
}

std::uint64_t draw(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::string_view WordStream::next() {
  std::string_view word = kWords[draw(state_) % kWords.size()];
  if (first_) word.remove_prefix(1);
  first_ = false;
  return word;
}

std::string words(std::uint64_t seed, std::uint64_t tokens) {
  WordStream stream(seed);
  std::string text;
  for (std::uint64_t i = 0; i < tokens; ++i) text += stream.next();
  return text;
}

}  // namespace qanat::pool
