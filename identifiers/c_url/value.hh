// Typed query values: text to base units and back. Percent-decoding keeps where each byte came from, so that an error
// points at the character the caller wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/key.hh"

namespace qanat::c_url {

// A component after percent-decoding. at[i] is the offset in the whole text of decoded byte i; at[size()] its end.
struct Decoded {
  std::string text;
  std::vector<std::size_t> at;
};
// Decodes raw text that starts at `offset` of the whole; on failure returns the offset of the bad escape or character.
std::optional<std::size_t> decode(std::string_view raw, std::size_t offset, Decoded& out);
// Encodes all but the ABNF's pchar, upper-case hexadecimal (RFC 3986 §6.2.2.1).
std::string encode(std::string_view text);

std::string to_lower(std::string_view text);

struct ValueProblem {
  Errc code{};
  std::size_t offset = 0;
  std::string expected;
};
// Parses the raw value of `key` (nullptr: an "x-" key) that starts at `offset` of the whole text.
std::optional<ValueProblem> parse_value(const Key* key, std::string_view raw, std::size_t offset, Value& out);
// Canonical text, percent-encoded.
std::string format_value(const Key* key, const Value& value);

}  // namespace qanat::c_url
