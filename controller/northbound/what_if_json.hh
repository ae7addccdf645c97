// A what-if question read from JSON, its answer written as JSON (openapi.json: WhatIf, WhatIfAnswer).
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "controller/northbound/json_views.hh"
#include "controller/session/what_if.hh"

namespace qanat::northbound {

std::variant<session::WhatIf, Problems> parse_what_if(std::string_view body);
std::string to_json(const session::WhatIfAnswer& answer);

}  // namespace qanat::northbound
