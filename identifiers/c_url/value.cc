#include "identifiers/c_url/value.hh"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "identifiers/c_url/character.hh"

namespace qanat::c_url {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

struct Unit {
  std::string_view name;
  std::int64_t scale;
};
constexpr std::array<Unit, 5> kDurations{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 9> kBytes{{{"b", 1},
                                      {"kb", 1000},
                                      {"mb", 1'000'000},
                                      {"gb", 1'000'000'000},
                                      {"tb", 1'000'000'000'000},
                                      {"kib", 1LL << 10},
                                      {"mib", 1LL << 20},
                                      {"gib", 1LL << 30},
                                      {"tib", 1LL << 40}}};
constexpr std::array<Unit, 4> kRates{
    {{"bit", 1}, {"kbit", 1000}, {"mbit", 1'000'000}, {"gbit", 1'000'000'000}}};
constexpr std::array<Unit, 1> kPlain{{{"", 1}}};

std::span<const Unit> units(ValueType type) {
  switch (type) {
    case ValueType::Duration: return kDurations;
    case ValueType::Bytes: return kBytes;
    case ValueType::Rate: return kRates;
    default: return kPlain;
  }
}

}  // namespace

std::string_view number_expected(ValueType type) {
  switch (type) {
    case ValueType::Duration: return "a duration: a number with ms, s, m, h or d";
    case ValueType::Bytes: return "a size: a number with b, kb, mb, gb, tb, kib, mib, gib or tib";
    case ValueType::Rate: return "a rate: a number with bit, kbit, mbit or gbit";
    case ValueType::Instant: return "seconds since 1970-01-01, an integer";
    case ValueType::Nano: return "nano-currency, an integer";
    default: return "an integer";
  }
}

std::string_view base_unit(ValueType type) { return units(type).front().name; }

std::string NumberProblem::expected(ValueType type) const {
  switch (kind) {
    case Kind::Form: return std::string(number_expected(type));
    case Kind::Digit: return "a digit after the point";
    case Kind::Fraction: return "a number that is whole in " + std::string(base_unit(type));
    case Kind::TooLarge: return "at most " + std::to_string(kMost) + " base units";
    case Kind::Zero: return "more than zero";
  }
  return {};
}

NumberProblem parse_number(ValueType type, std::string_view text, std::int64_t& out) {
  using Kind = NumberProblem::Kind;
  std::size_t i = 0;
  std::int64_t whole = 0, fraction = 0, fraction_scale = 1;
  bool fits = true;
  const auto take = [&fits](std::int64_t& number, char c) {
    fits = fits && !__builtin_mul_overflow(number, 10, &number) &&
           !__builtin_add_overflow(number, c - '0', &number);
  };
  for (; i < text.size() && is_digit(text[i]); ++i) take(whole, text[i]);
  if (i == 0) return {Errc::BadValue, 0, Kind::Form};
  const auto all = units(type);
  if (i < text.size() && text[i] == '.' && all.size() > 1) {
    const std::size_t start = ++i;
    for (; i < text.size() && is_digit(text[i]); ++i) {
      take(fraction, text[i]);
      fits = fits && !__builtin_mul_overflow(fraction_scale, 10, &fraction_scale);
    }
    if (i == start) return {Errc::BadValue, i, Kind::Digit};
  }
  const std::string_view suffix = text.substr(i);
  const auto unit = std::find_if(all.begin(), all.end(), [&](const Unit& u) { return u.name == suffix; });
  if (unit == all.end()) return {Errc::BadValue, i, Kind::Form};
  std::int64_t scaled = 0, part = 0;
  fits = fits && !__builtin_mul_overflow(whole, unit->scale, &scaled) &&
         !__builtin_mul_overflow(fraction, unit->scale, &part);
  if (fits && fraction_scale > 1) {
    if (part % fraction_scale != 0) return {Errc::BadValue, 0, Kind::Fraction};
    fits = !__builtin_add_overflow(scaled, part / fraction_scale, &scaled);
  }
  if (!fits) return {Errc::OutOfRange, 0, Kind::TooLarge};
  if (scaled == 0 && type != ValueType::Nano) return {Errc::OutOfRange, 0, Kind::Zero};
  out = scaled;
  return {};
}

void append_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (char c : text) {
    if (is(c, kPchar)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

std::string format_value(const Key* key, const Value& value) {
  std::string text;
  for (const auto& name : value.names) {
    if (!text.empty()) text += ',';
    append_encoded(text, name);
  }
  if (!value.names.empty()) return text;
  text = std::to_string(value.number);
  if (key != nullptr) text += base_unit(key->type);
  return text;
}

}  // namespace qanat::c_url
