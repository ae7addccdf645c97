#include "identifiers/c_url/location.hh"

#include <algorithm>

#include "identifiers/c_url/character.hh"

namespace qanat::c_url {
namespace {

constexpr std::string_view kWildcard = "*";

bool matches_from(const Location& pattern, std::size_t p, const Location& where, std::size_t w) {
  if (p == pattern.labels.size()) return w == where.labels.size();
  if (w == where.labels.size()) return false;
  if (pattern.labels[p] != kWildcard) {
    return pattern.labels[p] == where.labels[w] && matches_from(pattern, p + 1, where, w + 1);
  }
  // Each wildcard takes at least one label, so the depth is bounded by kMaxLabels; runs of wildcards cost a few
  // thousand steps at the very worst.
  for (std::size_t taken = w + 1; taken <= where.labels.size(); ++taken) {
    if (matches_from(pattern, p + 1, where, taken)) return true;
  }
  return false;
}

}  // namespace

bool Location::has_wildcard() const {
  return any() || std::find(labels.begin(), labels.end(), kWildcard) != labels.end();
}

std::size_t Location::exact_labels() const {
  return labels.size() - static_cast<std::size_t>(std::count(labels.begin(), labels.end(), kWildcard));
}

std::string to_string(const Location& location) {
  if (location.any()) return "any";
  std::string text;
  for (const auto& label : location.labels) {
    if (!text.empty()) text += '.';
    text += label;
  }
  return text;
}

std::size_t split_labels(std::string_view text, std::array<std::string_view, kMaxLabels>& out,
                         std::size_t& count) {
  count = 0;
  if (text.empty()) return 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != '.') {
      const char c = text[i];
      const bool wildcard = c == '*', first = i == start;
      if (wildcard ? !first : (!is(c, kLabel) || (!first && text[start] == '*'))) return i;
      if ((first && c == '-') || i - start == kMaxLabelBytes) return i;
      continue;
    }
    if (i == start) return i;
    if (text[i - 1] == '-') return i - 1;
    if (count == kMaxLabels) return i;
    out[count++] = text.substr(start, i - start);
    start = i + 1;
  }
  if (text == "any") {
    count = 0;
    return std::string_view::npos;
  }
  // "any" among other labels would read as a place.
  for (std::size_t i = 0; i < count; ++i)
    if (out[i] == "any") return static_cast<std::size_t>(out[i].data() - text.data());
  return std::string_view::npos;
}

std::size_t parse_location(std::string_view text, Location& out) {
  std::string small(text);
  for (char& c : small) c = lower(c);
  std::array<std::string_view, kMaxLabels> labels;
  std::size_t count = 0;
  const std::size_t bad = split_labels(small, labels, count);
  out.labels.assign(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(count));
  return bad;
}

bool matches(const Location& pattern, const Location& where) {
  return pattern.any() || matches_from(pattern, 0, where, 0);
}

bool contains(const Location& region, const Location& where) {
  if (matches(region, where)) return true;
  Location outer = where;
  while (outer.labels.size() > 1) {
    outer.labels.erase(outer.labels.begin());
    if (matches(region, outer)) return true;
  }
  return false;
}

}  // namespace qanat::c_url
