// CUrl: the name of compute, as a URL is the name of a page (DESIGN §5; RFC 3986 generic syntax). A request says which
// service, where it may run, on what and how well; an instance name says exactly one service contact instance.
//
//   c-url://[provider@]location/service[/model[@version]][?key=value[&…]]
//
// One canonical text form: lower case, sorted unique keys, sorted values, integer base units, minimal percent-encoding;
// parse(to_string(u)) = u for every u that parse returns. ABNF: c_url.abnf beside this file.
#pragma once

#include <boost/system/result.hpp>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identifiers/c_url/location.hh"

namespace qanat::c_url {

inline constexpr std::string_view kScheme = "c-url://";
inline constexpr std::size_t kMaxTextBytes = 2048;
inline constexpr std::size_t kMaxKeys = 64;
inline constexpr std::size_t kMaxModelBytes = 128;  // decoded; of a version too

enum class Errc : std::uint8_t {
  TooLong = 1,
  BadScheme,
  BadProvider,
  BadLocation,
  BadService,
  BadModel,
  BadVersion,
  BadEscape,  // % without two hexadecimal digits, or of a control character
  BadKey,
  UnknownKey,
  DuplicateKey,
  MissingValue,
  BadValue,      // not of the key's type
  OutOfRange,    // does not fit 63 bits in the base unit, or is zero where that says nothing
  TrailingText,  // a fragment, or a path part too many
};
std::string_view to_string(Errc code);

// What stopped the parser and where. `offset` counts bytes from the start of the text.
struct ParseError {
  Errc code{};
  std::size_t offset = 0;
  std::string found;     // what stands there, cut to 32 bytes; "end of text" at the end
  std::string expected;  // in words
  bool operator==(const ParseError&) const = default;
};
// "at character 27: found 'ttff', expected a registered key (did you mean ttft?)"
std::string to_string(const ParseError& error);
// The text with a caret under the offending character, on three lines, for terminals.
std::string point_at(std::string_view text, const ParseError& error);
[[noreturn]] void throw_exception_from_error(const ParseError& error, const boost::source_location& where);

// One query value in its key's base unit: `number` for durations (ms), sizes (bytes), rates (bit/s), counts, prices
// (nano-currency per token) and instants (Unix seconds); `names` for the rest, sorted and unique.
struct Value {
  std::int64_t number = 0;
  std::vector<std::string> names;
  bool operator==(const Value&) const = default;
};

struct CUrl {
  std::string provider;  // empty: anyone's
  Location location;
  std::string service;  // "infer", "finetune", …
  std::string model;    // empty: any
  std::string version;  // empty: any; only with a model
  std::map<std::string, Value, std::less<>> query;

  static boost::system::result<CUrl, ParseError> parse(std::string_view text);
  bool operator==(const CUrl&) const = default;

  // The number of a numeric key in its base unit, if stated: number("ttft") is in milliseconds.
  std::optional<std::int64_t> number(std::string_view key) const;
  // The names of a list or choice key; empty if not stated.
  const std::vector<std::string>& names(std::string_view key) const;
  // The single value of a choice, if stated: choice("tier").
  std::optional<std::string> choice(std::string_view key) const;
  // Names exactly one service contact instance: no wildcard and an `instance` key.
  bool is_instance() const;
};

// Canonical text.
std::string to_string(const CUrl& url);

}  // namespace qanat::c_url
