#include "identifiers/ids/sid.hh"

#include "identifiers/ids/number_text.hh"

namespace qanat::ids {

std::string to_string(Sid sid) {
  std::string text = to_string(sid.node());
  if (sid.plane().value != 0) text += ":x" + std::to_string(sid.plane().value);
  return text;
}

std::optional<Sid> parse_sid(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto node = parse_node_id(text.substr(0, colon));
  if (!node) return std::nullopt;
  if (colon == std::string_view::npos) return Sid::end(*node);
  const std::string_view function = text.substr(colon + 1);
  if (!function.starts_with('x')) return std::nullopt;
  const auto plane = parse_number(function.substr(1), PlaneId::kMax);
  if (!plane || *plane == 0) return std::nullopt;
  return Sid::end_x(*node, PlaneId{static_cast<std::uint8_t>(*plane)});
}

}  // namespace qanat::ids
