#include "tools/sim/exchanges.hh"

#include <fmt/format.h>

#include <algorithm>

namespace qanat::sim {
namespace {

constexpr std::size_t kColumn = 34;

std::string label_of(const Exchange& e) {
  constexpr const char* kTypes[] = {"?",      "handshake init", "handshake response",
                                    "cookie", "sealed",         "routed"};
  constexpr const char* kBodies[] = {"?",       "enrol",  "enrolled",  "hello", "delta",  "ack",  "telemetry",
                                     "refusal", "report", "directive", "mint",  "minted", "ping", "pong"};
  switch (e.kind) {
    case Exchange::Kind::Arrived:
    case Exchange::Kind::Lost:
      return fmt::format("{} {} B p{} #{:04x}", e.type < 6 ? kTypes[e.type] : "?", e.size, e.plane,
                         e.digest & 0xffff);
    case Exchange::Kind::Control: return e.type < 14 ? kBodies[e.type] : "message";
    case Exchange::Kind::Delivered: return fmt::format("packet {} for vni {}", e.digest, e.size);
    case Exchange::Kind::Fault: return e.type != 0 ? "FAULT begins" : "fault ends";
  }
  return {};
}

void put(std::u32string& line, std::size_t at, const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (at + i < line.size()) line[at + i] = static_cast<unsigned char>(text[i]);
}

std::string utf8(const std::u32string& line) {
  std::string out;
  for (const char32_t c : line) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      out += static_cast<char>(0xe0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (c & 0x3f));
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

void Exchanges::between(std::span<const std::uint32_t> involved, std::vector<Exchange>& out) const {
  const auto in = [&](std::uint32_t node) {
    return std::find(involved.begin(), involved.end(), node) != involved.end();
  };
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    const Exchange& e = ring_[(next_ + i) % ring_.size()];
    if (in(e.from) && in(e.to)) out.push_back(e);
  }
}

std::string sequence_diagram(std::vector<Exchange> exchanges, std::span<const std::uint32_t> nodes,
                             std::span<const std::string> names, base::Time start, std::size_t most) {
  std::stable_sort(exchanges.begin(), exchanges.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  if (exchanges.size() > most)
    exchanges.erase(exchanges.begin(), exchanges.end() - static_cast<std::ptrdiff_t>(most));
  const auto column = [&](std::uint32_t node) {
    const auto at = std::find(nodes.begin(), nodes.end(), node) - nodes.begin();
    return 16 + static_cast<std::size_t>(at) * kColumn;
  };
  const std::size_t width = 16 + (nodes.size() - 1) * kColumn + 24;
  std::u32string head(width, U' ');
  for (const std::uint32_t node : nodes) {
    const std::string name = node < names.size() ? names[node] : "?";
    const std::size_t middle = column(node);
    put(head, middle - std::min(middle, name.size() / 2), name);
  }
  std::string out = utf8(head) + "\n";
  for (const Exchange& e : exchanges) {
    std::u32string line(width, U' ');
    const double ms = std::chrono::duration<double, std::milli>(e.at - start).count();
    put(line, 0, fmt::format("{:10.3f} ms", ms));
    for (const std::uint32_t node : nodes) line[column(node)] = U'│';
    const std::string label = ' ' + label_of(e) + ' ';
    const std::size_t a = column(e.from), b = column(e.to);
    if (a == b) {
      put(line, a + 1, label);
    } else {
      const std::size_t left = std::min(a, b), right = std::max(a, b);
      const bool lost = e.kind == Exchange::Kind::Lost;
      for (std::size_t i = left + 1; i < right; ++i) line[i] = U'─';
      put(line, left + 1 + (right - left - std::min(right - left, label.size())) / 2, label);
      if (a < b) {
        line[lost ? right - 3 : right - 1] = lost ? U'╳' : U'>';
      } else {
        line[lost ? left + 3 : left + 1] = lost ? U'╳' : U'<';
      }
    }
    out += utf8(line) + "\n";
  }
  return out;
}

}  // namespace qanat::sim
