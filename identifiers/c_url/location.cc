#include "identifiers/c_url/location.hh"

#include <algorithm>

namespace qanat::c_url {
namespace {

constexpr std::string_view kWildcard = "*";

bool is_label_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

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

std::size_t parse_location(std::string_view text, Location& out) {
  out.labels.clear();
  if (text.empty()) return 0;
  std::string label;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != '.') {
      char c = lower(text[i]);
      bool wildcard = c == '*';
      if (wildcard ? !label.empty() : (!is_label_char(c) || label == kWildcard)) return i;
      if (label.empty() && c == '-') return i;
      if (label.size() == kMaxLabelBytes) return i;
      label += c;
      continue;
    }
    if (label.empty() || label.back() == '-') return label.empty() ? i : i - 1;
    if (out.labels.size() == kMaxLabels) return i;
    out.labels.push_back(std::move(label));
    label.clear();
  }
  if (out.labels.size() == 1 && out.labels[0] == "any") out.labels.clear();
  auto reserved = std::find(out.labels.begin(), out.labels.end(), "any");
  if (reserved != out.labels.end()) {  // "any" among other labels would read as a place
    std::size_t offset = 0;
    for (auto it = out.labels.begin(); it != reserved; ++it) offset += it->size() + 1;
    return offset;
  }
  return std::string_view::npos;
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
