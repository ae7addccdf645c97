#include "tools/linkem/spec_cursor.hh"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace qanat::linkem {
namespace {

constexpr double kMaxDurationNs = 3600e9;  // one hour

}  // namespace

std::string_view Cursor::word() {
  const std::size_t from = at;
  while (!done() && ((text[at] >= 'a' && text[at] <= 'z') || text[at] == '%')) ++at;
  return text.substr(from, at - from);
}

std::string_view Cursor::until(std::string_view ends) {
  const std::size_t from = at;
  at = std::min(text.find_first_of(ends, at), text.size());
  return text.substr(from, at - from);
}

Cursor::Result<double> Cursor::number(std::string_view example) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data() + at, end, value, std::chars_format::fixed);
  if (code != std::errc{} || !std::isfinite(value) || value < 0)
    return error(fmt::format("expected a number, as in {}", example));
  at = static_cast<std::size_t>(stop - text.data());
  return value;
}

Cursor::Result<std::uint64_t> Cursor::count(std::string_view example) {
  std::uint64_t value = 0;
  const auto [stop, code] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (code != std::errc{} || value == 0)
    return error(fmt::format("expected a whole number from 1, as in {}", example));
  at = static_cast<std::size_t>(stop - text.data());
  return value;
}

Cursor::Result<base::Duration> Cursor::duration(std::string_view example) {
  const std::size_t start = at;
  const auto value = number(example);
  if (!value) return value.error();
  const std::size_t unit_at = at;
  const auto unit = word();
  const double scale = unit == "ns"   ? 1
                       : unit == "us" ? 1e3
                       : unit == "ms" ? 1e6
                       : unit == "s"  ? 1e9
                       : unit == "m"  ? 60e9
                       : unit == "h"  ? 3600e9
                                      : 0;
  if (scale == 0) return SpecError{unit_at, "expected a unit of time: ns, us, ms, s, m or h"};
  if (*value * scale > kMaxDurationNs * 24) return SpecError{start, "expected at most a day"};
  return base::Duration(std::llround(*value * scale));
}

Cursor::Result<double> Cursor::share() {
  const std::size_t start = at;
  const auto value = number("1% or 0.01");
  if (!value) return value;
  const double part = take('%') ? *value / 100 : *value;
  if (part > 1) return SpecError{start, "expected at most 100% (a bare number is a share: 0.01 is 1%)"};
  return part;
}

Cursor::Result<void> Cursor::expect(char c, std::string_view context) {
  if (take(c)) return {};
  return error(fmt::format("expected '{}'{}{}", c, context.empty() ? "" : " ", context));
}

}  // namespace qanat::linkem
