// The OpenAPI 3.1 document of this interface, embedded at build from openapi.json; a test holds it to what is served.
#pragma once

#include <string_view>

namespace qanat::northbound {

extern const std::string_view kOpenApi;

}  // namespace qanat::northbound
