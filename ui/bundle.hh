// The web pages' files as they are embedded in the programs: written at build time by embed.mjs from what Vite made.
// Empty where npm was not there to build them.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace qanat::ui {

struct Asset {
  std::string_view name;          // "operator.html", "operator-D2x8.js"
  std::string_view content_type;  // "text/javascript; charset=utf-8"
  std::string_view etag;          // quoted, of the content
  std::string_view gzip;          // the content, compressed
  std::size_t size = 0;           // of the content
};

std::span<const Asset> bundle() noexcept;

}  // namespace qanat::ui
