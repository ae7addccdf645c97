// The plan's data files as they travel inside the programs (plan/data/*.toml, embedded by the build).
#pragma once

#include <string_view>

namespace qanat::pool {

extern const std::string_view kSitesToml;
extern const std::string_view kImagesToml;

}  // namespace qanat::pool
