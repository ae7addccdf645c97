// TraceContext: which trace a request belongs to, as W3C's traceparent header says it (Trace Context, level 1).
// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": version, trace, parent span, flags; bit 0: sampled.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::base {

struct TraceContext {
  std::array<std::uint8_t, 16> trace{};
  std::array<std::uint8_t, 8> span{};
  bool sampled = false;
};

// Total on any bytes. nullopt for what the specification says to ignore: a wrong length or digit, version ff, ids of zeros.
std::optional<TraceContext> parse_traceparent(std::string_view text);
std::string to_string(const TraceContext& context);

}  // namespace qanat::base
