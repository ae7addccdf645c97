// The live page, embedded at build from page.html: it asks nothing of any other host.
#pragma once

#include <string_view>

namespace qanat::northbound {

extern const std::string_view kPage;

}  // namespace qanat::northbound
