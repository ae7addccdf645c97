#include "tools/qanat/table.hh"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace qanat::cli {
namespace {

constexpr std::size_t kGap = 2;
std::optional<std::size_t> set_width;

constexpr std::size_t kLeast = 6;  // no column is cut below this

// The next character of UTF-8 text: its bytes, and the columns it takes (East Asian wide ones take two; UAX #11).
struct Character {
  std::size_t bytes = 1;
  std::size_t columns = 1;
};

Character next_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  std::size_t length = 1;
  if (lead >= 0xc0) length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  length = std::min(length, text.size());
  std::uint32_t point = length == 1 ? lead : lead & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  constexpr std::pair<std::uint32_t, std::uint32_t> kWide[] = {
      {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
      {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x20000, 0x3fffd}};
  const bool wide = std::any_of(std::begin(kWide), std::end(kWide), [&](const auto& range) {
    return point >= range.first && point <= range.second;
  });
  return {length, wide ? 2u : 1u};
}

// What fits into `width` columns, the last one an ellipsis where something was cut.
std::string cut(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string{text};
  std::string out;
  for (std::size_t taken = 0; !text.empty();) {
    const Character c = next_character(text);
    if (taken + c.columns >= width) break;
    taken += c.columns;
    out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out + "…";
}

}  // namespace

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

std::string Table::text(std::size_t width) const {
  std::vector<std::size_t> widths(right_.size(), 0);
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  const auto total = [&] {
    std::size_t sum = kGap * (widths.size() - 1);
    for (const std::size_t w : widths) sum += w;
    return sum;
  };
  while (width > 0 && total() > width) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kLeast) break;
    --*widest;
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = cut(row[i], widths[i]);
      const std::string padding(widths[i] - display_width(cell), ' ');
      if (i > 0) line.append(kGap, ' ');
      line += right_[i] ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

void set_terminal_width(std::optional<std::size_t> columns) { set_width = columns; }

std::size_t terminal_width() {
  if (set_width) return *set_width;
  winsize size{};
  if (::isatty(STDOUT_FILENO) != 1 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character c = next_character(text);
    columns += c.columns;
    text.remove_prefix(c.bytes);
  }
  return columns;
}

std::string milliseconds(double microseconds) { return fmt::format("{:.1f} ms", microseconds / 1000); }

std::string bytes(double count) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; count >= 1000 && unit + 1 < std::size(kUnits); ++unit) count /= 1000;
  return unit == 0 ? fmt::format("{:.0f} B", count) : fmt::format("{:.1f} {}", count, kUnits[unit]);
}

std::string percent(double ppm) { return fmt::format("{:.2f} %", ppm / 10000); }

}  // namespace qanat::cli
