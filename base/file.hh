// Whole files: read with a bound, written so that a crash leaves the old or the new one, never half of one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qanat::base {

// Throws std::system_error that names the file; file_too_large beyond the limit.
std::string read_file(const std::string& path, std::size_t limit = 16 * 1024 * 1024);
// Temporary file beside it, fsync, rename, fsync of the folder. Throws std::system_error that names the file.
void write_file(const std::string& path, std::string_view content, unsigned mode = 0600);

}  // namespace qanat::base
