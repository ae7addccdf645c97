// Typed query values: text to base units and back, in exact integer arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/key.hh"

namespace qanat::c_url {

// What is wrong with a number, and at which of its bytes; `code` empty: nothing.
struct NumberProblem {
  enum class Kind : std::uint8_t { Form, Digit, Fraction, TooLarge, Zero };
  std::optional<Errc> code;
  std::size_t at = 0;
  Kind kind = Kind::Form;
  std::string expected(ValueType type) const;
};
// number = digits [ "." digits ] unit, whole in the base unit; `text` is lower case and not empty.
NumberProblem parse_number(ValueType type, std::string_view text, std::int64_t& out);
// "a duration: a number with ms, s, m, h or d".
std::string_view number_expected(ValueType type);
// "ms", "b", "bit", or nothing.
std::string_view base_unit(ValueType type);

// Canonical text, percent-encoded.
std::string format_value(const Key* key, const Value& value);
// Encodes all but the ABNF's pchar, upper-case hexadecimal (RFC 3986 §6.2.2.1).
void append_encoded(std::string& out, std::string_view text);

}  // namespace qanat::c_url
