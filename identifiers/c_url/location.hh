// Location: where compute may stand, as labels from the most specific to the least ("guian.gz.cn").
// In a request, the label `*` matches one or more labels and `any` alone matches every location.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::c_url {

inline constexpr std::size_t kMaxLabels = 16;
inline constexpr std::size_t kMaxLabelBytes = 63;

struct Location {
  std::vector<std::string> labels;  // lower case; empty: any

  bool any() const { return labels.empty(); }
  bool has_wildcard() const;
  // Labels that are not wildcards: how much the pattern says.
  std::size_t exact_labels() const;
  auto operator<=>(const Location&) const = default;
};

// "any", or the labels joined by dots.
std::string to_string(const Location& location);
// Splits lower-case text into its labels ("any": none), views into it; returns as parse_location does.
std::size_t split_labels(std::string_view text, std::array<std::string_view, kMaxLabels>& out,
                         std::size_t& count);
// Parses lower- or upper-case text; returns the offset of the first offending byte, or npos when all is well.
std::size_t parse_location(std::string_view text, Location& out);

// Does `pattern` take in the place `where`, which has no wildcard? `*` stands for one or more labels.
bool matches(const Location& pattern, const Location& where);
// Does `pattern` take in `where` or a region that contains it: "cn" takes in "guian.gz.cn". For `within=` (residency).
bool contains(const Location& region, const Location& where);

}  // namespace qanat::c_url
