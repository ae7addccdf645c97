// Name: a DNS name in wire form and lower case (RFC 1035 §3.1): length-prefixed labels, the root's empty one at the end.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qanat::dns {

inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::size_t kMaxLabelBytes = 63;

// "infer.qanat" → wire form; a dot at the end may be there. nullopt: an empty or too long label, or too long a name.
std::optional<std::string> to_wire(std::string_view dotted);
// Without the final dot; "." for the root. Bytes that are not printable stand as \DDD.
std::string to_dotted(std::string_view wire);

}  // namespace qanat::dns
