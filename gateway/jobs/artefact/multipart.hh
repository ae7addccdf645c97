// multipart/form-data (RFC 7578), as OpenAI's clients upload files: the parts of a body that is at hand, as views.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/errc.hh"

namespace qanat::jobs {

struct FormPart {
  std::string name, file_name;  // file_name: empty for plain fields
  std::string_view content;     // into the body
};

// `content_type`: the request's header, with its boundary. Total on any bytes; at most 32 parts.
Result<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body) noexcept;

}  // namespace qanat::jobs
