// What HTTP client and server share: headers, query strings, the error body.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qanat::base {

// In order of appearance; names as received, compared without case.
class Headers {
 public:
  using Entry = std::pair<std::string, std::string>;
  Headers() = default;
  Headers(std::initializer_list<Entry> entries) : entries_(entries) {}
  // The first value, or null.
  const std::string* find(std::string_view name) const;
  std::string_view value_or(std::string_view name, std::string_view fallback) const;
  void add(std::string name, std::string value) { entries_.emplace_back(std::move(name), std::move(value)); }
  // Replaces every value of that name.
  void set(std::string_view name, std::string value);
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

bool equal_ignoring_case(std::string_view a, std::string_view b);
// "%41" → "A"; nullopt on a broken escape. With `plus_is_space`, as in query strings.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
// Everything but RFC 3986's unreserved characters becomes %XX.
std::string percent_encode(std::string_view text);
// The decoded value of the first `name=value` in a query string.
std::optional<std::string> query_parameter(std::string_view query, std::string_view name);
std::string_view status_text(int status);
// {"error":{"code":…,"message":…,"type":…,"param":null,"hint":…}} (seams.md §1); an empty hint is left out.
std::string error_body(std::string_view code, std::string_view message, std::string_view hint);
// The same as RFC 9457 has it: {"type":"urn:qanat:error:CODE","title","status","detail","hint","error":{…}}.
std::string problem_body(int status, std::string_view code, std::string_view message, std::string_view hint);

}  // namespace qanat::base
