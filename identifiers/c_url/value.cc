#include "identifiers/c_url/value.hh"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

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

std::string_view wanted(ValueType type) {
  switch (type) {
    case ValueType::Duration: return "a duration: a number with ms, s, m, h or d";
    case ValueType::Bytes: return "a size: a number with b, kb, mb, gb, tb, kib, mib, gib or tib";
    case ValueType::Rate: return "a rate: a number with bit, kbit, mbit or gbit";
    case ValueType::Instant: return "seconds since 1970-01-01, an integer";
    case ValueType::Nano: return "nano-currency, an integer";
    default: return "an integer";
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_pchar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
         std::string_view("-._~!$'()*+;:").find(c) != std::string_view::npos;
}
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.';
}

// number = digits [ "." digits ] unit, whole in the base unit: exact integer arithmetic throughout.
std::optional<ValueProblem> parse_number(ValueType type, const Decoded& in, Value& out) {
  const std::string& text = in.text;
  std::size_t i = 0;
  std::int64_t whole = 0, fraction = 0, fraction_scale = 1;
  bool fits = true;
  auto take = [&fits](std::int64_t& number, char c) {
    fits = fits && !__builtin_mul_overflow(number, 10, &number) &&
           !__builtin_add_overflow(number, c - '0', &number);
  };
  for (; i < text.size() && is_digit(text[i]); ++i) take(whole, text[i]);
  if (i == 0) return ValueProblem{Errc::BadValue, in.at[0], std::string(wanted(type))};
  if (i < text.size() && text[i] == '.' && units(type).size() > 1) {
    std::size_t start = ++i;
    for (; i < text.size() && is_digit(text[i]); ++i) {
      take(fraction, text[i]);
      fits = fits && !__builtin_mul_overflow(fraction_scale, 10, &fraction_scale);
    }
    if (i == start) return ValueProblem{Errc::BadValue, in.at[i], "a digit after the point"};
  }
  const auto suffix = to_lower(std::string_view(text).substr(i));
  const auto all = units(type);
  const auto unit = std::find_if(all.begin(), all.end(), [&](const Unit& u) { return u.name == suffix; });
  if (unit == all.end()) return ValueProblem{Errc::BadValue, in.at[i], std::string(wanted(type))};
  std::int64_t scaled = 0, part = 0;
  fits = fits && !__builtin_mul_overflow(whole, unit->scale, &scaled) &&
         !__builtin_mul_overflow(fraction, unit->scale, &part);
  if (fits && part % fraction_scale != 0) {
    return ValueProblem{Errc::BadValue, in.at[0],
                        "a number that is whole in " + std::string(all.front().name)};
  }
  fits = fits && !__builtin_add_overflow(scaled, part / fraction_scale, &scaled);
  if (!fits)
    return ValueProblem{Errc::OutOfRange, in.at[0], "at most " + std::to_string(kMost) + " base units"};
  if (scaled == 0 && type != ValueType::Nano)
    return ValueProblem{Errc::OutOfRange, in.at[0], "more than zero"};
  out.number = scaled;
  return std::nullopt;
}

std::optional<ValueProblem> parse_name(const Key& key, const Decoded& in, Value& out) {
  std::string name = to_lower(in.text);
  if (key.type == ValueType::Locations) {
    Location location;
    if (auto bad = parse_location(name, location); bad != std::string_view::npos) {
      return ValueProblem{Errc::BadValue, in.at[std::min(bad, in.text.size())],
                          "a location such as gz.cn or *.cn"};
    }
    out.names.push_back(to_string(location));
    return std::nullopt;
  }
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!is_name_char(name[i]) || i == kMaxLabelBytes) {
      return ValueProblem{Errc::BadValue, in.at[i], "a name of at most 63 letters, digits, '-', '_' and '.'"};
    }
  }
  if (key.type == ValueType::Choice) {
    std::string_view rest = key.choices;
    bool found = false;
    while (!found && !rest.empty()) {
      auto bar = rest.find('|');
      found = rest.substr(0, bar) == name;
      rest = bar == std::string_view::npos ? std::string_view{} : rest.substr(bar + 1);
    }
    if (!found) {
      std::string list(key.choices);
      std::replace(list.begin(), list.end(), '|', ' ');
      return ValueProblem{Errc::BadValue, in.at[0], "one of: " + list};
    }
  }
  out.names.push_back(std::move(name));
  return std::nullopt;
}

bool is_list(const Key& key) { return key.type == ValueType::Names || key.type == ValueType::Locations; }

}  // namespace

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::optional<std::size_t> decode(std::string_view raw, std::size_t offset, Decoded& out) {
  out.text.clear();
  out.at.clear();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    out.at.push_back(offset + i);
    if (raw[i] != '%') {
      if (!is_pchar(raw[i])) return offset + i;
      out.text += raw[i];
      continue;
    }
    int high = i + 1 < raw.size() ? hex_digit(raw[i + 1]) : -1;
    int low = i + 2 < raw.size() ? hex_digit(raw[i + 2]) : -1;
    int byte = high * 16 + low;
    if (high < 0 || low < 0 || byte < 0x20 || byte == 0x7f) return offset + i;
    out.text += static_cast<char>(byte);
    i += 2;
  }
  out.at.push_back(offset + raw.size());
  return std::nullopt;
}

std::string encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    if (is_pchar(c)) {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::optional<ValueProblem> parse_value(const Key* key, std::string_view raw, std::size_t offset,
                                        Value& out) {
  out = Value{};
  std::string expected = key == nullptr                   ? "text"
                         : key->type == ValueType::Choice ? "one of its choices"
                         : is_list(*key)                  ? "a name"
                                                          : std::string(wanted(key->type));
  for (std::size_t start = 0; start <= raw.size();) {
    std::size_t end =
        key != nullptr && is_list(*key) ? std::min(raw.find(',', start), raw.size()) : raw.size();
    Decoded part;
    if (auto bad = decode(raw.substr(start, end - start), offset + start, part)) {
      return ValueProblem{raw[*bad - offset] == '%' ? Errc::BadEscape : Errc::BadValue, *bad, expected};
    }
    if (part.text.empty()) return ValueProblem{Errc::MissingValue, offset + start, expected};
    std::optional<ValueProblem> problem;
    if (key == nullptr) {
      out.names.push_back(part.text);
    } else if (is_list(*key) || key->type == ValueType::Choice) {
      problem = parse_name(*key, part, out);
    } else {
      problem = parse_number(key->type, part, out);
    }
    if (problem) return problem;
    start = end + 1;
  }
  std::sort(out.names.begin(), out.names.end());
  out.names.erase(std::unique(out.names.begin(), out.names.end()), out.names.end());
  return std::nullopt;
}

std::string format_value(const Key* key, const Value& value) {
  if (!value.names.empty()) {
    std::string text;
    for (const auto& name : value.names) {
      if (!text.empty()) text += ',';
      text += encode(name);
    }
    return text;
  }
  return std::to_string(value.number) + (key == nullptr ? "" : std::string(units(key->type).front().name));
}

}  // namespace qanat::c_url
