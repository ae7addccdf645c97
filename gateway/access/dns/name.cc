#include "gateway/access/dns/name.hh"

namespace qanat::dns {

std::optional<std::string> to_wire(std::string_view dotted) {
  if (dotted.ends_with('.')) dotted.remove_suffix(1);
  std::string wire;
  while (!dotted.empty()) {
    const auto dot = dotted.find('.');
    const std::string_view label = dotted.substr(0, dot);
    if (label.empty() || label.size() > kMaxLabelBytes) return std::nullopt;
    wire += static_cast<char>(label.size());
    for (char c : label) wire += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (dot == std::string_view::npos) break;
    dotted.remove_prefix(dot + 1);
    if (dotted.empty()) return std::nullopt;
  }
  wire += '\0';
  if (wire.size() > kMaxNameBytes) return std::nullopt;
  return wire;
}

std::string to_dotted(std::string_view wire) {
  std::string text;
  while (!wire.empty() && wire.front() != '\0') {
    const auto size = static_cast<unsigned char>(wire.front());
    if (!text.empty()) text += '.';
    for (char c : wire.substr(1, size)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte > 0x20 && byte < 0x7f && c != '.' && c != '\\') {
        text += c;
        continue;
      }
      text += '\\';
      for (unsigned scale : {100u, 10u, 1u}) text += static_cast<char>('0' + byte / scale % 10);
    }
    if (size + 1u >= wire.size()) break;
    wire.remove_prefix(size + 1u);
  }
  return text.empty() ? "." : text;
}

}  // namespace qanat::dns
