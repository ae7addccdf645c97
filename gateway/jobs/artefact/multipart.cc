#include "gateway/jobs/artefact/multipart.hh"

#include <algorithm>
#include <cctype>
#include <optional>

namespace qanat::jobs {
namespace {

constexpr std::size_t kMaxParts = 32, kMaxHeaders = 4096;

bool starts_with_ignoring_case(std::string_view text, std::string_view begin) {
  return text.size() >= begin.size() &&
         std::equal(begin.begin(), begin.end(), text.begin(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
         });
}

// The value of `; key="value"` or `; key=value`.
std::optional<std::string> attribute(std::string_view header, std::string_view key) {
  for (std::size_t at = header.find(';'); at != std::string_view::npos; at = header.find(';', at + 1)) {
    std::string_view rest = header.substr(at + 1);
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    if (!starts_with_ignoring_case(rest, key) || rest.size() <= key.size() || rest[key.size()] != '=')
      continue;
    rest.remove_prefix(key.size() + 1);
    if (!rest.starts_with('"')) return std::string(rest.substr(0, rest.find_first_of("; \t\r")));
    std::string value;
    for (std::size_t i = 1; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
      value += rest[i];
    }
    return value;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body) noexcept {
  if (!starts_with_ignoring_case(content_type, "multipart/form-data")) return Errc::BadMultipart;
  const auto boundary = attribute(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) return Errc::BadMultipart;
  const std::string first = "--" + *boundary, delimiter = "\r\n" + first;
  if (!body.starts_with(first)) return Errc::BadMultipart;
  body.remove_prefix(first.size());
  std::vector<FormPart> parts;
  while (!body.starts_with("--")) {
    if (!body.starts_with("\r\n") || parts.size() == kMaxParts) return Errc::BadMultipart;
    body.remove_prefix(2);
    const std::size_t head = body.starts_with("\r\n") ? 0 : body.substr(0, kMaxHeaders).find("\r\n\r\n");
    if (head == std::string_view::npos) return Errc::BadMultipart;
    FormPart part;
    for (std::string_view headers = body.substr(0, head); !headers.empty();) {
      const std::string_view line = headers.substr(0, headers.find("\r\n"));
      if (starts_with_ignoring_case(line, "content-disposition:")) {
        part.name = attribute(line, "name").value_or("");
        part.file_name = attribute(line, "filename").value_or("");
      }
      headers.remove_prefix(std::min(headers.size(), line.size() + 2));
    }
    body.remove_prefix(head == 0 ? 2 : head + 4);
    const std::size_t end = body.find(delimiter);
    if (end == std::string_view::npos || part.name.empty()) return Errc::BadMultipart;
    part.content = body.substr(0, end);
    parts.push_back(std::move(part));
    body.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace qanat::jobs
