#include "base/trace_context.hh"

#include <algorithm>

#include "base/hex.hh"

namespace qanat::base {
namespace {

constexpr std::size_t kLength = 55;

// Lower case only, as the specification has it.
template <std::size_t N>
bool read(std::string_view text, std::array<std::uint8_t, N>& out) {
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != 2 * N || !std::all_of(text.begin(), text.end(), digit)) return false;
  const auto value = [](char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
  for (std::size_t i = 0; i < N; ++i)
    out[i] = static_cast<std::uint8_t>(value(text[2 * i]) << 4 | value(text[2 * i + 1]));
  return true;
}

template <std::size_t N>
bool zero(const std::array<std::uint8_t, N>& id) {
  return std::all_of(id.begin(), id.end(), [](std::uint8_t b) { return b == 0; });
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  TraceContext out;
  std::array<std::uint8_t, 1> version{}, flags{};
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  if (!read(text.substr(0, 2), version) || version[0] == 0xff) return std::nullopt;
  // Later versions may say more, after another dash.
  if (text.size() > kLength && (version[0] == 0 || text[kLength] != '-')) return std::nullopt;
  if (!read(text.substr(3, 32), out.trace) || !read(text.substr(36, 16), out.span)) return std::nullopt;
  if (!read(text.substr(53, 2), flags) || zero(out.trace) || zero(out.span)) return std::nullopt;
  out.sampled = (flags[0] & 1) != 0;
  return out;
}

std::string to_string(const TraceContext& context) {
  return "00-" + to_hex(context.trace) + '-' + to_hex(context.span) + (context.sampled ? "-01" : "-00");
}

}  // namespace qanat::base
